"""U-Net on the damage's own spectrogram: real-valued, fine where speech has its energy."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Encoder layers over all bins: (channels, kernel (freq, frames), stride (freq, frames)).
LAYERS = {
    "small": [
        (48, (7, 5), (2, 2)),
        (64, (5, 3), (2, 2)),
        (64, (5, 3), (2, 2)),
        (96, (5, 3), (2, 2)),
        (96, (5, 3), (2, 1)),
    ],
    "tiny": [(8, (7, 5), (2, 2)), (8, (5, 3), (2, 2))],
}
READ = 4  # input channels: real and imaginary part, as they are and turned to one time origin
WRITTEN = 4  # output channels: a complex factor and a complex term
SLOPE = 0.1  # of the leaky ReLU


class UNet(nn.Module):
    """STFT -> real-valued U-Net -> factor and term -> iSTFT.

    The clean spectrum is estimated as ``Y + F * Y + T``: the factor F repairs what is left of a
    coefficient, the term T takes away what was written into it. Both start at zero, so that the
    untrained network is the identity.

    The U-Net works at half the resolution and below. Speech has nearly all its energy in the
    lowest bins, so only those get a branch at full resolution on top.

    Args:
        layers: Name of a layer table (``LAYERS``) or a table like those; the first stride is (2, 2).
        n_fft, hop: Frame and hop in samples, the fixed damage's by default; rectangular window,
            centred, so that a touched coefficient stays within its bin and its frames.
        fine_bins: Lowest bins that are also read at full resolution; even.
        fine_channels: Width of that branch.

    Shape:
        (batch, time) -> (batch, time), time >= 1.

    Raises:
        ValueError: Another first stride, or fine_bins that are odd or more than there are.

    References:
        Ronneberger et al., "U-Net", MICCAI 2015 (arXiv 1505.04597); up-sampling by pixel shuffle,
        Shi et al., CVPR 2016 (arXiv 1609.05158). The two-resolution design is this project's.
    """

    PRESETS = {"small": {}, "tiny": {"layers": "tiny", "fine_channels": 4}}

    def __init__(
        self,
        layers: str | list = "small",
        n_fft: int = 640,
        hop: int = 160,
        fine_bins: int = 128,
        fine_channels: int = 32,
    ) -> None:
        super().__init__()
        table = LAYERS[layers] if isinstance(layers, str) else layers
        if tuple(table[0][2]) != (2, 2):
            raise ValueError(f"UNet: the first stride must be (2, 2), got {table[0][2]}")
        if fine_bins % 2 or not 2 <= fine_bins <= n_fft // 2 + 1:
            raise ValueError(
                f"UNet: fine_bins must be even and in [2, {n_fft // 2 + 1}], got {fine_bins}"
            )
        self.config = {
            "layers": layers, "n_fft": n_fft, "hop": hop, "fine_bins": fine_bins,
            "fine_channels": fine_channels,
        }  # fmt: skip
        self.n_fft, self.hop, self.fine_bins = n_fft, hop, fine_bins
        self.strides = [tuple(stride) for _, _, stride in table]
        self.register_buffer("window", torch.ones(n_fft), persistent=False)
        self.register_buffer("turn", _one_time_origin(n_fft, hop), persistent=False)
        widths = [channels for channels, _, _ in table]

        self.fine_in = _Block(READ, fine_channels, (3, 7))
        self.fine_down = _convolution(fine_channels, widths[0], (5, 5), (2, 2))
        self.down = _convolution(READ, widths[0], *table[0][1:])
        self.down_norm = nn.BatchNorm2d(widths[0])
        self.encoder = nn.ModuleList(
            _Block(inputs, *layer) for inputs, layer in zip(widths[:-1], table[1:], strict=True)
        )
        self.up, self.decoder = nn.ModuleList(), nn.ModuleList()
        for level in range(len(table) - 1, 0, -1):
            outputs = widths[level - 1]
            self.up.append(nn.Conv2d(widths[level], outputs * math.prod(self.strides[level]), 1))
            self.decoder.append(_Block(2 * outputs, outputs, (3, 3)))
        self.out = nn.Conv2d(widths[0], WRITTEN * 4, 1)
        self.fine_up = nn.Conv2d(widths[0], fine_channels * 4, 1)
        self.fine = _Block(2 * fine_channels, fine_channels, (3, 3))
        self.fine_out = nn.Conv2d(fine_channels, WRITTEN, 1)
        for last in (self.out, self.fine_out):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        # Convolutions with the channels innermost take half the time on a CPU.
        self.to(memory_format=torch.channels_last)

    @classmethod
    def from_preset(cls, name: str, **changes) -> UNet:
        """Build one of ``PRESETS``, with some arguments changed."""
        return cls(**{**cls.PRESETS[name], **changes})

    @property
    def stride(self) -> int:
        """Samples by which the input can move so that every layer's grid moves along.

        The turned copy of the input repeats every ``n_fft / hop`` frames, so they count too.
        """
        return self.hop * math.lcm(math.prod(t for _, t in self.strides), len(self.turn[0]))

    @property
    def context(self) -> int:
        """Samples on either side that an output sample can depend on (an upper bound)."""
        frames, step = 6, 1  # 6: what the fine branch adds
        kernels = [self.down, *(block.convolution for block in self.encoder)]
        for convolution, (_, stride) in zip(kernels, self.strides, strict=True):
            # Down once; up again through a 3x3 convolution; and what a coarse grid rounds off.
            frames += step * (convolution.padding[1] + 1 + 2 * (stride - 1))
            step *= stride
            frames += step
        return frames * self.hop + self.n_fft

    def forward(self, noisy: Tensor) -> Tensor:
        frame = {"n_fft": self.n_fft, "hop_length": self.hop, "window": self.window}
        spectrum = torch.stft(noisy, **frame, pad_mode="constant", return_complex=True)
        return torch.istft(self.estimate(spectrum), **frame, length=noisy.shape[-1])

    def estimate(self, spectrum: Tensor) -> Tensor:
        """Noisy to denoised spectrum, complex (batch, freq, frames)."""
        period = self.turn.shape[1]
        turn = self.turn.repeat(1, -(-spectrum.shape[-1] // period))[:, : spectrum.shape[-1]]
        # Square roots of magnitudes: a network sees 60 dB of speech better as 30 dB.
        root = (spectrum.real.square() + spectrum.imag.square() + 1e-6) ** -0.25
        as_it_is = spectrum * root
        parts = torch.cat([torch.view_as_real(as_it_is), torch.view_as_real(as_it_is * turn)], -1)
        out = self.unet(parts.movedim(-1, 1)).float()  # (batch, 4, freq, frames)
        factor, term = torch.complex(out[:, 0], out[:, 1]), torch.complex(out[:, 2], out[:, 3])
        return spectrum + spectrum * factor + term

    def unet(self, x: Tensor) -> Tensor:
        """(batch, READ, freq, frames) -> (batch, WRITTEN, freq, frames)."""
        freq, frames = x.shape[-2:]
        x = x.contiguous(memory_format=torch.channels_last)
        fine = self.fine_in(x[:, :, : self.fine_bins])
        coarse, finer = self.down(x), self.fine_down(fine)
        x = coarse + F.pad(finer, (0, 0, 0, coarse.shape[2] - finer.shape[2]))
        x = F.leaky_relu(self.down_norm(x), SLOPE)
        skips = []
        for block in self.encoder:
            skips.append(x)
            x = block(x)
        for up, block, stride in zip(self.up, self.decoder, self.strides[:0:-1], strict=True):
            skip = skips.pop()
            x = block(torch.cat([_shuffle(up(x), stride, skip.shape[-2:]), skip], 1))
        out = _shuffle(self.out(x), (2, 2), (freq, frames))
        half = x[:, :, : self.fine_bins // 2]
        fine = torch.cat([_shuffle(self.fine_up(half), (2, 2), fine.shape[-2:]), fine], 1)
        fine = self.fine_out(self.fine(fine))
        return out + F.pad(fine, (0, 0, 0, freq - self.fine_bins))


class _Block(nn.Module):
    """Convolution, batch norm, leaky ReLU."""

    def __init__(self, inputs, outputs, kernel, stride=(1, 1)) -> None:
        super().__init__()
        self.convolution = _convolution(inputs, outputs, kernel, stride)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.convolution(x)), SLOPE)


def _convolution(inputs, outputs, kernel, stride) -> nn.Conv2d:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)


def _shuffle(x: Tensor, stride: tuple[int, int], size) -> Tensor:
    """(batch, channels * f * t, freq, frames) -> (batch, channels, freq * f, frames * t), cut."""
    f, t = stride
    x = x.unflatten(1, (-1, f, t)).permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)
    return x[..., : size[0], : size[1]]


def _one_time_origin(n_fft: int, hop: int) -> Tensor:
    """Phases that turn each frame's coefficients to one time origin, complex (freq, period).

    ``torch.stft`` counts time from each frame's start, so a steady tone's phase runs from frame
    to frame; counted from the signal's first sample it stands still.
    """
    period = n_fft // math.gcd(n_fft, hop)
    starts = torch.arange(period) * hop - n_fft // 2
    cycles = torch.outer(torch.arange(n_fft // 2 + 1), starts) % n_fft / n_fft
    return torch.polar(torch.ones_like(cycles), -2 * torch.pi * cycles)
