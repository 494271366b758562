"""One strided convolution and its transpose: the study's smallest network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from denoise_lib.models.base import Denoiser


class ConvAutoencoder(Denoiser):
    """Conv1d(1, channels, kernel, stride) -> tanh -> ConvTranspose1d back to a waveform.

    With the defaults it holds 32 values for every 32 samples: as many as it reads.

    Args:
        channels: Filters, which is also the width of the code.
        kernel: Filter length in samples; even.
        stride: Samples from one code frame to the next; even.
        tanh: Squash the code, as the original study did.

    Shape:
        (batch, time) -> (batch, time), time >= 1.
    """

    name = "autoencoder"

    def __init__(
        self, channels: int = 32, kernel: int = 2048, stride: int = 32, tanh: bool = True
    ) -> None:
        super().__init__()
        if kernel % 2 or stride % 2 or kernel < stride:
            raise ValueError(
                f"ConvAutoencoder: kernel and stride must be even, kernel >= stride; "
                f"got {kernel} and {stride}"
            )
        padding = kernel // 2 - 1
        self.encoder = nn.Conv1d(1, channels, kernel, stride, padding)
        # n frames come back as (n - 1) * stride - 2 * padding + kernel = n * stride - stride + 2
        # samples; output_padding makes up the rest.
        self.decoder = nn.ConvTranspose1d(
            channels, 1, kernel, stride, padding, output_padding=stride - 2
        )

    @property
    def stride(self) -> int:
        """Samples from one code frame to the next."""
        return self.config["stride"]

    @property
    def context(self) -> int:
        """Samples on either side that an output sample can depend on."""
        return self.config["kernel"]

    def forward(self, noisy: Tensor) -> Tensor:
        """Denoise waveforms, (batch, time) -> (batch, time)."""
        length = noisy.shape[-1]
        code = self.encode(F.pad(noisy, (0, -length % self.stride)))
        if self.config["tanh"]:
            code = torch.tanh(code)
        return self.decoder(code)[:, 0, :length]

    def encode(self, waveform: Tensor) -> Tensor:
        """``self.encoder`` as a matrix product, (batch, time) -> (batch, channels, frames).

        The same numbers, but on a CPU oneDNN's convolution of one long channel is twenty to a
        hundred times slower than on the short one of a training crop.
        """
        convolution = self.encoder
        padded = F.pad(waveform, (convolution.padding[0], convolution.padding[0]))
        frames = padded.unfold(-1, self.config["kernel"], self.stride)  # (batch, frames, kernel)
        return F.linear(frames, convolution.weight[:, 0], convolution.bias).transpose(1, 2)
