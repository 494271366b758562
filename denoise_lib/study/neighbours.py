"""Similarity of neighbouring spectrogram coefficients, and repair that relies on it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import torch
from torch import Tensor

from denoise_lib.damage.corruption import Corruption
from denoise_lib.metrics.wsdr import wsdr
from denoise_lib.models.baselines.neighbourhood import (
    AVERAGES,
    AXES,
    SIDES,
    Neighbourhood,
    difference,
    out_of_line,
    surroundings,
)
from denoise_lib.models.unet import one_time_origin

FLOOR_DB = -60.0  # below a clip's largest coefficient; less is silence, and its logarithm noise


def log_magnitude(spectrum: Tensor) -> Tensor:
    """Level of every coefficient in dB re the clip's largest, at least ``FLOOR_DB``.

    Shape:
        complex (freq, frames) -> (freq, frames)
    """
    magnitude = spectrum.abs()
    level = 20 * torch.log10(magnitude / magnitude.max().clamp_min(1e-12) + 1e-12)
    return level.clamp_min(FLOOR_DB)


def correlation(levels: Iterable[Tensor], axis: str, reach: int) -> list[float]:
    """Pearson correlation of coefficients that are 0, 1, ... ``reach`` apart, pairs of all clips.

    The mean level of each bin within its clip is taken off first: that low bins of speech are
    louder than high ones would correlate, and says nothing about neighbours.

    Args:
        levels: One tensor per clip, (freq, frames), such as :func:`log_magnitude` gives.
        axis: "time" or "frequency": in which direction they are apart.
        reach: Largest distance, in frames or bins; less than any clip has.

    Returns:
        ``reach + 1`` numbers in [-1, 1]; the first is 1.

    Raises:
        ValueError: Another axis, no clip, or a clip too small for the reach.
    """
    if axis not in ("time", "frequency"):
        raise ValueError(f'correlation: axis must be "time" or "frequency", got {axis!r}')
    sums = torch.zeros(reach + 1, 6, dtype=torch.float64)
    for level in levels:
        centred = (level - level.mean(1, keepdim=True)).double()
        x = centred if axis == "time" else centred.T
        if x.shape[1] <= reach:
            raise ValueError(f"correlation: {x.shape[1]} along {axis}, reach {reach} needs more")
        for distance in range(reach + 1):
            one, other = x[:, : x.shape[1] - distance], x[:, distance:]
            sums[distance] += torch.stack(
                [
                    torch.tensor(float(one.numel()), dtype=torch.float64),
                    one.sum(),
                    other.sum(),
                    (one * one).sum(),
                    (other * other).sum(),
                    (one * other).sum(),
                ]
            )
    if not sums[0, 0]:
        raise ValueError("correlation: at least one clip is needed, got none")
    count, one, other, squares, other_squares, products = sums.T
    covariance = products - one * other / count
    spread = (squares - one**2 / count) * (other_squares - other**2 / count)
    return (covariance / spread.sqrt()).tolist()


def mean_neighbourhood(
    spectrum: Tensor, centres: Tensor, procedure: Corruption, reach: int, own_phase: bool
) -> Tensor:
    """Real part of what surrounds certain coefficients, on average, in units of their magnitude.

    Neighbours in other frames are turned so that a steady tone in the middle of the bin would
    stand still.

    Args:
        spectrum: STFT of one clip, complex (freq, frames).
        centres: Which coefficients to align on, boolean (freq, frames); those nearer than
            ``reach`` to an edge are left out.
        procedure: Whose STFT it is.
        reach: Bins and frames on either side.
        own_phase: Read them in the phase of the coefficient in the middle, otherwise as they are.

    Returns:
        (2 reach + 1, 2 reach + 1), (bins, frames) away.
    """
    size, frames = 2 * reach + 1, spectrum.shape[-1]
    turn = one_time_origin(procedure.n_fft, procedure.hop)
    turn = turn.repeat(1, -(-frames // turn.shape[1]))[:, :frames]
    inside = centres[reach:-reach, reach:-reach].nonzero(as_tuple=True)
    near = spectrum.unfold(0, size, 1).unfold(1, size, 1)[inside]  # (centres, bins, frames)
    bins = inside[0] + reach
    steady = turn.unfold(1, size, 1)[bins, inside[1]]  # (centres, frames)
    near = near * steady[:, None]
    centre = near[:, reach, reach]
    back = centre.conj() / centre.abs() if own_phase else steady[:, reach].conj()
    return (near * back[:, None, None]).real.mean(0) / centre.abs().mean()


# What best_neighbourhood tries.
REACHES = (1, 2, 4)


THRESHOLDS = (1.0, 1.5, 2.0, 4.0, 8.0)


SETTINGS = ("axis", "reach", "average", "threshold", "side", "blend")  # that are scanned
BLENDS = (0.0, 0.25, 0.5, 0.75, 1.0)


def best_neighbourhood(
    noisy: Tensor, clean: Tensor, procedure: Corruption | None = None
) -> tuple[Neighbourhood, float]:
    """Scan a grid of settings on damaged clips: the best of them by mean wSDR, and its value.

    The grid is every axis, average and side with ``REACHES``, ``THRESHOLDS`` and ``BLENDS``; a
    blend of 0 is among them, so where nothing helps, what comes back does nothing. A mere change
    of level moves wSDR too: compare with :class:`~denoise_lib.models.baselines.gain.Gain` and with
    SI-SDR.

    Args:
        noisy, clean: Validation clips, such as ``fixed_batch`` makes them, (batch, time).
        procedure: Whose STFT to work in.

    Example:
        ``best_neighbourhood(*fixed_batch(corpus, corpus.split("valid"), damage, seed=0,
        seconds=2.0, max_clips=24))``
    """
    procedure = procedure or Corruption()
    spectrum = procedure.stft(noisy)
    magnitude = spectrum.abs()
    best, lowest = {}, torch.inf
    for axis, reach, average in product(AXES, REACHES, AVERAGES):
        around = torch.cat([surroundings(clip[None], axis, reach, average) for clip in magnitude])
        for threshold, side in product(THRESHOLDS, SIDES):
            touched = out_of_line(magnitude, around, threshold, side)
            # The inverse STFT is linear, so one of the whole change serves every blend.
            change = procedure.istft(difference(spectrum, around, touched), noisy.shape[-1])
            for blend in BLENDS:
                value = float(wsdr(noisy + blend * change, clean, noisy).mean())
                if value < lowest:
                    lowest = value
                    best = {
                        "axis": axis,
                        "reach": reach,
                        "average": average,
                        "threshold": threshold,
                        "side": side,
                        "blend": blend,
                    }
    return Neighbourhood(**best, procedure=procedure), lowest
