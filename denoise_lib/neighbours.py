"""How alike neighbouring coefficients of a spectrogram are: what repair from neighbours lives on."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

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
                    torch.tensor(float(one.numel()), dtype=torch.float64), one.sum(), other.sum(),
                    (one * one).sum(), (other * other).sum(), (one * other).sum(),
                ]
            )  # fmt: skip
    if not sums[0, 0]:
        raise ValueError("correlation: no clips")
    count, one, other, squares, other_squares, products = sums.T
    covariance = products - one * other / count
    spread = (squares - one**2 / count) * (other_squares - other**2 / count)
    return (covariance / spread.sqrt()).tolist()
