"""The fixed damage as one would first write it: NumPy, loops over frames and coefficients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from denoise_lib.damage.corruption import Corruption


def damage(
    waveform: NDArray[np.float32], procedure: Corruption, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Damage one clip, (time,) -> (time,), by the steps of :class:`Corruption`; rectangular window.

    As there, the shares hold exactly: what changes is drawn without replacement.
    """
    size, hop = procedure.n_fft, procedure.hop
    padded = np.pad(np.asarray(waveform, np.float64), size // 2)
    starts = range(0, len(padded) - size + 1, hop)
    spectrum = np.array([np.fft.rfft(padded[start : start + size]) for start in starts])
    threshold, places = _threshold(np.abs(spectrum), procedure.quantile), []
    for time, frame in enumerate(spectrum):
        for index, value in enumerate(frame):
            if abs(value) >= threshold:
                places.append((time, index))
    for place in generator.permutation(len(places))[: round(procedure.zero * len(places))]:
        spectrum[places[place]] = 0
    threshold, places = _threshold(np.abs(spectrum), procedure.quantile), []
    for time, frame in enumerate(spectrum):
        for index, value in enumerate(frame):
            if abs(value) < threshold:
                places.append((time, index))
    for place in generator.permutation(len(places))[: round(procedure.raised * len(places))]:
        spectrum[places[place]] = procedure.value
    out, overlap = np.zeros(len(padded)), np.zeros(len(padded))
    for start, frame in zip(starts, spectrum, strict=True):
        out[start : start + size] += np.fft.irfft(frame, size)
        overlap[start : start + size] += 1
    return (out / np.maximum(overlap, 1))[size // 2 : size // 2 + len(waveform)]


def _threshold(magnitude: NDArray[np.float64], quantile: float) -> float:
    """The smallest of the magnitudes that count as large."""
    count = round((1 - quantile) * magnitude.size)
    return np.sort(magnitude, axis=None)[-count] if count else np.inf
