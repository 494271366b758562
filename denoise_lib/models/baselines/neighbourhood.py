"""Repair from the neighbours: what the fixed damage invites, without training.

In a spectrogram of speech a large coefficient makes large neighbours likely. So one that is out of
line with its neighbours was probably touched, and their average is a guess at what it was.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from denoise_lib.damage.corruption import Corruption
from denoise_lib.models.base import Denoiser

AXES = ("time", "frequency", "both")
AVERAGES = ("mean", "median")
SIDES = ("low", "high", "both")


def surroundings(magnitude: Tensor, axis: str, reach: int, average: str) -> Tensor:
    """Average of each coefficient's neighbours, itself left out.

    Args:
        magnitude: (batch, freq, frames), 0 or more.
        axis: "time" or "frequency": the nearest ``reach`` on either side along it; "both": the
            square of ``2 reach + 1`` around the coefficient.
        reach: 1 or more. Neighbours beyond the spectrogram's edges do not count.
        average: "mean", or "median" (the lower of two middle ones).

    Returns:
        The same shape; a coefficient without any neighbour keeps its own magnitude.
    """
    rows = reach if axis in ("frequency", "both") else 0
    columns = reach if axis in ("time", "both") else 0
    # NaN marks what is beyond the edges.
    padded = F.pad(magnitude, (columns, columns, rows, rows), value=torch.nan)
    windows = padded.unfold(1, 2 * rows + 1, 1).unfold(2, 2 * columns + 1, 1).flatten(3)
    centre = windows.shape[-1] // 2
    # (batch, freq, frames, neighbours)
    around = torch.cat([windows[..., :centre], windows[..., centre + 1 :]], dim=-1)
    averaged = around.nanmean(-1) if average == "mean" else around.nanmedian(-1).values
    return torch.where(averaged.isnan(), magnitude, averaged)


def out_of_line(magnitude: Tensor, around: Tensor, threshold: float, side: str) -> Tensor:
    """Which coefficients are further from their surroundings than a factor ``threshold``."""
    low, high = magnitude * threshold < around, magnitude > around * threshold
    return {"low": low, "high": high, "both": low | high}[side]


class Neighbourhood(Denoiser):
    """Brings magnitudes that are out of line towards the average of their neighbours; phase kept.

    The defaults are what :func:`best_neighbourhood` chose for the default damage, zeroing and
    raising, on validation clips of the default corpus. A coefficient that is exactly 0 has no phase
    and stays 0.

    Args:
        axis: Where neighbours are: along "time", along "frequency", or "both".
        reach: How far, in frames and bins.
        average: "mean" or "median" of them.
        threshold: Out of line is what differs by more than this factor; 1 or more.
        side: Touch those that are too "low", too "high", or "both".
        blend: How far to go, from 0 (nothing changes) to 1 (the neighbours' average itself).
        procedure: Whose STFT to work in; by default the fixed damage's, 640 / 160 samples.

    Shape:
        (batch, time) -> (batch, time), time >= 1. A long recording comes out of chunks as it does
        of one pass.

    Raises:
        ValueError: A parameter is out of its range.
    """

    name = "neighbourhood"

    def __init__(
        self,
        axis: str = "time",
        reach: int = 2,
        average: str = "mean",
        threshold: float = 1.0,
        side: str = "low",
        blend: float = 0.25,
        procedure: Corruption | None = None,
    ) -> None:
        super().__init__()
        for what, value, known in (
            ("axis", axis, AXES),
            ("average", average, AVERAGES),
            ("side", side, SIDES),
        ):
            if value not in known:
                raise ValueError(
                    f"Neighbourhood: {what} must be one of {', '.join(known)}, got {value!r}"
                )
        if reach < 1 or threshold < 1 or not 0 <= blend <= 1:
            raise ValueError(
                "Neighbourhood: reach and threshold must be 1 or more and blend in [0, 1], "
                f"got {reach}, {threshold} and {blend}"
            )
        self.procedure = procedure or Corruption()

    @property
    def stride(self) -> int:
        """Samples from one frame to the next."""
        return self.procedure.hop

    @property
    def context(self) -> int:
        """Samples on either side that an output sample can depend on."""
        return self.procedure.n_fft + self.config["reach"] * self.procedure.hop

    def forward(self, noisy: Tensor) -> Tensor:
        """Denoise waveforms, (batch, time) -> (batch, time)."""
        spectrum = self.procedure.stft(noisy)
        return self.procedure.istft(self.repair(spectrum), noisy.shape[-1])

    def repair(self, spectrum: Tensor) -> Tensor:
        """Complex (batch, freq, frames) -> the same shape."""
        config = self.config
        magnitude = spectrum.abs()
        around = surroundings(magnitude, config["axis"], config["reach"], config["average"])
        touched = out_of_line(magnitude, around, config["threshold"], config["side"])
        return spectrum + config["blend"] * difference(spectrum, around, touched)


def difference(spectrum: Tensor, around: Tensor, touched: Tensor) -> Tensor:
    """What to add to the touched coefficients so that they have their neighbours' magnitude."""
    return (spectrum.sgn() * around - spectrum) * touched
