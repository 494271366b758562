"""A DCUnet that is told more about the noisy spectrum: its MFCC, or its harmonics."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchaudio.functional import create_dct, melscale_fbanks

from denoise_lib import RATE
from denoise_lib.models.complex_layers import ComplexConv2d
from denoise_lib.models.dcunet import DCUnet

MEL_BANDS = 40


class InformedDCUnet(DCUnet):
    """A DCUnet whose first layer also reads channels that are computed from the noisy spectrum.

    They are real-valued, each brought to mean 0 and variance 1 by a batch norm without weights. The
    other layers, and the mask, are the DCUnet's.

    Args:
        mfcc: Number of mel-frequency cepstral coefficients, each the same for all bins of a frame.
        multiples: For each ratio r a channel that holds, at the bin of frequency f, the compressed
            magnitude of the bin nearest to r f; 0 beyond the highest bin. With whole ratios it is
            the convolution over harmonics that a fixed shift makes on a logarithmic axis; 1 is
            the bin's own magnitude.
        arguments: The DCUnet's.

    Shape:
        (batch, time) -> (batch, time), time >= 1.

    Raises:
        ValueError: Nothing to add, or more MFCC than there are mel bands.

    References:
        Davis, Mermelstein, "Comparison of Parametric Representations for Monosyllabic Word
        Recognition", IEEE Trans. ASSP 28 (4), 1980, for MFCC. Bittner et al., "Deep Salience
        Representations for F0 Estimation in Polyphonic Music", ISMIR 2017, sec. 3.1, for stacking
        multiples of each bin's frequency as channels.
    """

    name = "informed"

    def __init__(
        self, mfcc: int = 0, multiples: list[float] | tuple = (1.0,), **arguments: Any
    ) -> None:
        added = mfcc + len(multiples)
        if not added or not 0 <= mfcc <= MEL_BANDS:
            raise ValueError(
                f"InformedDCUnet: mfcc must be in [0, {MEL_BANDS}], and above 0 without multiples, "
                f"got {mfcc}"
            )
        super().__init__(**arguments)
        self.mfcc = mfcc
        first, bins = self.encoder[0], self.n_fft // 2 + 1
        channels, kernel = first.weight.shape[1], first.weight.shape[-2:]
        self.encoder[0] = ComplexConv2d(1 + added, channels, tuple(kernel), first.stride)
        self.norm = nn.BatchNorm2d(added, affine=False)
        mel = melscale_fbanks(bins, 0.0, RATE / 2, MEL_BANDS, RATE)  # (freq, bands)
        self.register_buffer("mel", mel, persistent=False)
        dct = create_dct(max(mfcc, 1), MEL_BANDS, "ortho")  # (bands, coefficients)
        self.register_buffer("dct", dct, persistent=False)
        ratios = torch.tensor(multiples, dtype=torch.float32)
        places = torch.outer(ratios, torch.arange(bins)).round().long()
        self.register_buffer("places", places.clamp_max(bins), persistent=False)

    def read(self, spectrum: Tensor) -> Tensor:
        """What the U-Net is given: (batch, 2, 1 + added, freq, frames)."""
        added = self.norm(torch.cat([self.cepstrum(spectrum), self.harmonics(spectrum)], 1))
        added = torch.stack([added, torch.zeros_like(added)], 1)
        return torch.cat([super().read(spectrum), added], 2)

    def cepstrum(self, spectrum: Tensor) -> Tensor:
        """MFCC, spread over all bins: (batch, mfcc, freq, frames)."""
        bands = spectrum.abs().square().transpose(1, 2) @ self.mel  # (batch, frames, bands)
        coefficients = (torch.log(bands + 1e-6) @ self.dct)[..., : self.mfcc].transpose(1, 2)
        return coefficients[:, :, None].expand(-1, -1, spectrum.shape[1], -1)

    def harmonics(self, spectrum: Tensor) -> Tensor:
        """Compressed magnitudes at multiples of each bin: (batch, multiples, freq, frames)."""
        magnitude = (spectrum.abs().square() + 1e-8) ** (self.compression / 2)
        beyond = torch.zeros_like(magnitude[:, :1])  # the bin that ratios past the last one read
        return torch.cat([magnitude, beyond], 1)[:, self.places]
