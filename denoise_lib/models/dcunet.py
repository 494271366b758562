"""Deep Complex U-Net: a complex U-Net on the spectrogram that predicts a complex mask."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from denoise_lib.models.base import Denoiser
from denoise_lib.models.complex_layers import ComplexBatchNorm2d, ComplexConv2d, complex_leaky_relu

# Encoder layers: (complex channels, kernel (freq, frames), stride (freq, frames)).
# The decoder mirrors them. Choi et al. 2019, appendix B, figures 7 to 9.
LAYERS = {
    "dcunet10": [
        (32, (7, 5), (2, 2)),
        (64, (7, 5), (2, 2)),
        (64, (5, 3), (2, 2)),
        (64, (5, 3), (2, 2)),
        (64, (5, 3), (2, 1)),
    ],
    "dcunet16": [
        (32, (7, 5), (2, 2)),
        (32, (7, 5), (2, 1)),
        (64, (7, 5), (2, 2)),
        (64, (5, 3), (2, 1)),
        (64, (5, 3), (2, 2)),
        (64, (5, 3), (2, 1)),
        (64, (5, 3), (2, 2)),
        (64, (5, 3), (2, 1)),
    ],
    "dcunet20": [
        (32, (7, 1), (1, 1)),
        (32, (1, 7), (1, 1)),
        (64, (7, 5), (2, 2)),
        (64, (7, 5), (2, 1)),
        (64, (5, 3), (2, 2)),
        (64, (5, 3), (2, 1)),
        (64, (5, 3), (2, 2)),
        (64, (5, 3), (2, 1)),
        (64, (5, 3), (2, 2)),
        (90, (5, 3), (2, 1)),
    ],
    "small": [
        (16, (7, 5), (2, 2)),
        (32, (7, 5), (2, 2)),
        (32, (5, 3), (2, 2)),
        (64, (5, 3), (2, 2)),
        (64, (5, 3), (2, 1)),
    ],
}


class DCUnet(Denoiser):
    """STFT -> complex U-Net -> mask -> iSTFT.

    Args:
        layers: Name of a layer table (``LAYERS``) or a table like those.
        n_fft, hop: The network's own frame and hop in samples; Hann window, centred.
        mask: "polar" keeps the output's phase and bounds its magnitude,
            ``tanh(|O|) exp(i angle(O))`` times the input (the paper's); "residual" adds
            ``O`` times the input to the input, unbounded, so that it starts as the identity and
            can raise what was zeroed.
        compression: The U-Net reads ``|X| ** compression`` with X's phase; 1 is the paper's.
        tied: Complex convolutions; otherwise real ones of the same cost (:class:`ComplexConv2d`).

    Shape:
        (batch, time) -> (batch, time), time >= 1.

    References:
        Choi et al., "Phase-aware Speech Enhancement with Deep Complex U-Net", ICLR 2019, sec. 3.
        Differs from it in the frame, which follows the damage (640/160 at 16 kHz; there 1024/256).
    """

    name = "dcunet"
    bfloat16 = True

    PRESETS = {
        "10": {"layers": "dcunet10"},
        "16": {"layers": "dcunet16"},
        "20": {"layers": "dcunet20"},
        "small": {"layers": "small", "mask": "residual", "compression": 0.5},
    }

    def __init__(
        self,
        layers: str | list = "dcunet16",
        n_fft: int = 640,
        hop: int = 160,
        mask: str = "polar",
        compression: float = 1.0,
        tied: bool = True,
    ) -> None:
        super().__init__()
        table = LAYERS[layers] if isinstance(layers, str) else layers
        if mask not in ("polar", "residual"):
            raise ValueError(f'DCUnet: mask must be "polar" or "residual", got "{mask}"')
        self.n_fft, self.hop, self.mask, self.compression = n_fft, hop, mask, compression
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        widths = [1] + [channels for channels, _, _ in table]
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        self.encoder_norms, self.decoder_norms = nn.ModuleList(), nn.ModuleList()
        for level, (channels, kernel, stride) in enumerate(table):
            self.encoder.append(ComplexConv2d(widths[level], channels, kernel, stride, tied=tied))
            self.encoder_norms.append(ComplexBatchNorm2d(channels))
            # The innermost decoder layer has no skip; the others read it beside their input.
            inputs = channels if level == len(table) - 1 else 2 * channels
            self.decoder.insert(
                0, ComplexConv2d(inputs, widths[level], kernel, stride, transposed=True, tied=tied)
            )
            if level:
                self.decoder_norms.insert(0, ComplexBatchNorm2d(widths[level]))
        if mask != "polar":
            nn.init.zeros_(self.decoder[-1].weight)

    @property
    def stride(self) -> int:
        """Samples by which the input can move so that every layer's grid moves along."""
        return self.hop * math.prod(layer.stride[1] for layer in self.encoder)

    @property
    def context(self) -> int:
        """Samples on either side that an output sample can depend on (an upper bound)."""
        frames, step = 0, 1
        for layer in self.encoder:
            # Once on the way down and once on the way up, and what a coarse grid rounds off.
            frames += step * (2 * layer.padding[1] + layer.stride[1] - 1)
            step *= layer.stride[1]
        return frames * self.hop + self.n_fft

    def forward(self, noisy: Tensor) -> Tensor:
        """Denoise waveforms, (batch, time) -> (batch, time)."""
        frame = {"n_fft": self.n_fft, "hop_length": self.hop, "window": self.window}
        spectrum = torch.stft(noisy, **frame, pad_mode="constant", return_complex=True)
        return torch.istft(self.estimate(spectrum), **frame, length=noisy.shape[-1])

    def estimate(self, spectrum: Tensor) -> Tensor:
        """Noisy to denoised spectrum, complex (batch, freq, frames)."""
        out = self.unet(self.read(spectrum))[:, :, 0].float()
        out = torch.complex(out[:, 0], out[:, 1])
        if self.mask == "polar":
            magnitude = out.abs().clamp_min(1e-8)
            return spectrum * out * (torch.tanh(magnitude) / magnitude)
        return spectrum + spectrum * out

    def read(self, spectrum: Tensor) -> Tensor:
        """What the U-Net is given: (batch, freq, frames) -> (batch, 2, 1, freq, frames)."""
        parts = torch.stack([spectrum.real, spectrum.imag], 1)  # (batch, 2, freq, frames)
        power = parts.square().sum(1, keepdim=True) + 1e-8
        scale = power ** ((self.compression - 1) / 2)
        return (parts * scale)[:, :, None]

    def unet(self, x: Tensor) -> Tensor:
        """(batch, 2, channels read, freq, frames) -> (batch, 2, 1, freq, frames)."""
        # Sizes are followed from the first one on: an ONNX file would have those of skips fixed.
        skips, sizes = [], [(x.shape[-2], x.shape[-1])]
        for convolution, norm in zip(self.encoder, self.encoder_norms, strict=True):
            skips.append(x)
            steps = zip(sizes[-1], convolution.stride, strict=True)
            sizes.append(tuple((have + step - 1) // step for have, step in steps))
            x = complex_leaky_relu(norm(convolution(x)))
        for level, convolution in enumerate(self.decoder):
            skip = skips.pop()
            x = convolution(x, size=sizes[-2 - level])
            if level == len(self.decoder) - 1:
                break
            x = complex_leaky_relu(self.decoder_norms[level](x))
            x = torch.cat([x, skip], dim=2)
        return x
