"""Does nothing: the row that every network has to beat."""

from __future__ import annotations

from torch import Tensor

from denoise_lib.models.base import Denoiser


class Identity(Denoiser):
    """Returns what it is given."""

    name = "identity"
    rate = None

    def forward(self, noisy: Tensor) -> Tensor:
        """Denoise waveforms, (batch, time) -> (batch, time)."""
        return noisy
