"""Several denoisers in a row."""

from __future__ import annotations

import math

from torch import Tensor, nn

from denoise_lib.models.base import Denoiser


class Chain(Denoiser):
    """The output of each denoiser is the input of the next.

    Shape:
        (batch, time) -> (batch, time), time >= 1.
    """

    name = "chain"

    def __init__(self, *parts: Denoiser) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.stride = math.lcm(*(part.stride for part in parts))
        self.context = sum(part.context for part in parts)
        self.rate = next((part.rate for part in parts if part.rate), None)

    def forward(self, noisy: Tensor) -> Tensor:
        """Denoise waveforms, (batch, time) -> (batch, time)."""
        for part in self.parts:
            noisy = part(noisy)
        return noisy
