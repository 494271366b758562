"""Only louder or softer: how much of a wSDR is due to level alone."""

from __future__ import annotations

from torch import Tensor

from denoise_lib.models.base import Denoiser

# Any factor above 1 gives the same wSDR as the first, any below 1 as the second.
GAINS = {"twice the volume": 2.0, "half the volume": 0.5}


class Gain(Denoiser):
    """The noisy waveform times a factor: a control, not a denoiser.

    wSDR's second term compares directions, and the noise that a scaled copy implies,
    ``x - g x = (1 - g) x``, points along x for every g < 1 and against it for every g > 1, where
    the identity implies none and scores 0 in it. With noise uncorrelated with speech and
    ``a = |y|^2 / (|y|^2 + |n|^2)`` any g in (0, 1) so moves wSDR from ``-a ** 1.5`` to
    ``-a ** 1.5 - (1 - a) ** 1.5``, while SI-SDR does not change. What a method gains should be
    compared with that.

    Args:
        factor: Above 0 and not 1. Any other value on the same side of 1 gives the same wSDR.

    Shape:
        (batch, time) -> (batch, time), time >= 1.

    Raises:
        ValueError: The factor is out of its range.
    """

    name = "gain"
    rate = None

    def __init__(self, factor: float = 0.5) -> None:
        super().__init__()
        if not factor > 0 or factor == 1:
            raise ValueError(f"Gain: factor must be above 0 and not 1, got {factor}")

    def forward(self, noisy: Tensor) -> Tensor:
        """Denoise waveforms, (batch, time) -> (batch, time)."""
        return self.config["factor"] * noisy
