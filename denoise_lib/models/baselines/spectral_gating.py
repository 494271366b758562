"""Spectral gating as `noisereduce` does it: what a search for "python denoise" finds first."""

from __future__ import annotations

import torch
from torch import Tensor

from denoise_lib import RATE
from denoise_lib.models.base import Denoiser

DITHER = 1e-7  # -140 dB re full scale


class SpectralGating(Denoiser):
    """``noisereduce.reduce_noise(y, sr=16000)`` with its default settings.

    Those are the non-stationary gate: a coefficient of the STFT (1024-sample Hann window, hop 256)
    is passed where its magnitude is well above its own average over about 2 s, by the sigmoid of
    slope 10 around three times that average; the mask is smoothed over 500 Hz and 50 ms.

    A recording is averaged over what the call sees of it, so chunks differ slightly from one
    pass; ``context`` is the 2 s of the average.

    Shape:
        (batch, time) -> (batch, time), time >= 1, at 16 kHz; computed on the CPU, without gradient.

    References:
        Sainburg, Thielk, Gentner, "Finding, visualizing, and quantifying latent structure across
        diverse animal vocal repertoires", PLoS Computational Biology 16(10), 2020; noisereduce 3.
    """

    name = "spectral_gating"
    stride = 256  # the STFT's hop
    context = 2 * RATE

    @torch.no_grad()
    def forward(self, noisy: Tensor) -> Tensor:
        """Denoise waveforms, (batch, time) -> (batch, time)."""
        from noisereduce import reduce_noise  # takes seconds to import

        # The gate divides by an average magnitude, which is 0 in digital silence.
        generator = torch.Generator().manual_seed(0)
        dither = DITHER * torch.randn(noisy.shape[-1], generator=generator)
        gated = reduce_noise((noisy.float().cpu() + dither).numpy(), sr=RATE)
        return torch.from_numpy(gated).to(noisy)
