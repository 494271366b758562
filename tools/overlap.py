"""Find held-out noise that is in the training noise, too: two packages may hold one recording.

    denoise fetch wide
    python tools/overlap.py        # about half an hour on one core

Correlates three half seconds of each recording of the test and of the validation with all of the
training noise, at 4 kHz and both whitened, so that tones do not agree by chance; then, at 16 kHz,
with the recording that was most like it. What is in both is left out by
``denoise_lib.data.wide_corpora``; this prints what that has missed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft
from scipy.linalg import solve_toeplitz
from scipy.signal import correlate, decimate, lfilter
from tqdm import tqdm

ALIKE = 0.2  # correlation; of different recordings it is below that at 16 kHz
LOWER = 4  # times: the rate at which they are compared is 4 kHz
ORDER = 32  # of the prediction that whitens
PIECE = 2000  # samples of what is searched for, at that rate
BLOCK = 1 << 20  # samples that are searched at a time


def whitened(waveform: NDArray, lower: int = LOWER) -> NDArray[np.float32]:
    """What a linear prediction of a waveform leaves, at a rate that many times lower."""
    if len(waveform) < 2 * ORDER * lower:
        return np.zeros(0, np.float32)
    low = waveform.astype(np.float64)
    low = decimate(low, lower, ftype="fir") if lower > 1 else low
    power = np.square(np.abs(rfft(low, 2 * len(low))))
    alike = irfft(power)[: ORDER + 1]
    alike[0] = alike[0] * 1.000001 + 1e-12
    weights = solve_toeplitz(alike[:-1], alike[1:])
    return lfilter([1, *-weights], 1, low).astype(np.float32)


def pieces(waveform: NDArray, longest: int = PIECE) -> list[NDArray]:
    """Up to three parts of a whitened waveform, of which one is its loudest."""
    length = min(longest, len(waveform))
    if length < longest // 4:
        return []
    energy = np.convolve(np.square(waveform, dtype=np.float64), np.ones(length), "valid")
    starts = {int(energy.argmax()), len(energy) // 4, 3 * len(energy) // 4}
    return [waveform[at : at + length] for at in sorted(starts) if energy[at] > 1e-9 * length]


def alike(held: dict[str, NDArray], heard: dict[str, NDArray]) -> Iterator[tuple[float, str, str]]:
    """(correlation, held-out recording, the one that it is most like), the most alike first.

    Args:
        held, heard: {name: waveform at 16 kHz, (time,)}.
    """
    gap = np.zeros(PIECE, np.float32)
    parts, names, ends, total = [], [], [], 0
    for name, waveform in heard.items():
        part = whitened(waveform)
        parts += [part, gap]
        total += len(part) + len(gap)
        names.append(name)
        ends.append(total)
    everything = np.concatenate(parts)
    wanted = [(name, piece) for name in held for piece in pieces(whitened(held[name]))]
    best = dict.fromkeys(held, (0.0, ""))
    for start in tqdm(range(0, total, BLOCK - PIECE), unit="block"):
        block = np.zeros(BLOCK, np.float32)
        there = everything[start : start + BLOCK]
        block[: len(there)] = there
        spectrum = rfft(block)
        sums = np.concatenate([[0], np.cumsum(np.square(block, dtype=np.float64))])
        for name, piece in wanted:
            size = BLOCK - PIECE
            energy = sums[len(piece) : len(piece) + size] - sums[:size]
            found = np.abs(irfft(spectrum * np.conj(rfft(piece, BLOCK)), BLOCK)[:size])
            found /= np.sqrt(np.maximum(energy, 1e-9 * len(piece)) * np.dot(piece, piece))
            at = int(found.argmax())
            if found[at] > best[name][0]:
                where = int(np.searchsorted(ends, start + at, side="right"))
                best[name] = (float(found[at]), names[min(where, len(names) - 1)])
    yield from sorted(((value, name, other) for name, (value, other) in best.items()), reverse=True)


def closer(held: NDArray, heard: NDArray) -> float:
    """The highest correlation of parts of one recording with another, at the full rate."""
    searched, best = whitened(heard, 1), 0.0
    for piece in pieces(whitened(held, 1), LOWER * PIECE):
        if len(searched) >= len(piece):
            found = np.abs(correlate(searched, piece, "valid", "fft"))
            energy = correlate(np.square(searched), np.ones(len(piece)), "valid", "fft").clip(1e-12)
            loud = energy > 1e-3 * energy.max()
            best = max(best, (found / np.sqrt(energy) * loud).max() / np.linalg.norm(piece))
    return float(best)


def main() -> None:
    """Compare the wide noise with itself."""
    from denoise_lib.data.corpora import open_noise

    corpus = open_noise("wide")

    def waveforms(*splits: str) -> dict[str, NDArray]:
        clips = [clip for split in splits for clip in corpus.split(split)]
        return {clip.name: corpus.waveform(clip).numpy() for clip in clips}

    held, heard = waveforms("valid", "test"), waveforms("train")
    for value, name, other in alike(held, heard):
        if value >= ALIKE and (sure := closer(held[name], heard[other])) >= ALIKE:
            print(f"{sure:.2f}  {name}  is in  {other}")


if __name__ == "__main__":
    main()
