"""U-Net on the damage's own spectrogram, which reads each coefficient in its own phase."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from denoise_lib.models.base import Denoiser

# Encoder layers over all bins: (channels, kernel (freq, frames), stride (freq, frames)).
LAYERS = {
    "small": [
        (48, (7, 5), (2, 2)),
        (48, (5, 3), (2, 2)),
        (48, (5, 3), (2, 1)),
        (48, (5, 3), (2, 1)),
    ],
    "large": [
        (96, (7, 5), (2, 2)),
        (96, (5, 3), (2, 2)),
        (96, (5, 3), (2, 1)),
        (96, (5, 3), (2, 1)),
    ],
    "tiny": [(8, (7, 5), (2, 2)), (8, (5, 3), (2, 2))],
}
READ = 5  # input channels: real and imaginary part, as they are and turned, and the level
WRITTEN = 4  # output channels: a complex factor and a complex term
REACH = (3, 4)  # neighbours on either side that the fine branch reads, (freq, frames)
FLOOR = 0.03  # of a squared magnitude: less than a fifth of what a raised coefficient becomes
# With vectors of 512 bits, and on a GPU, convolutions with the channels innermost take half the
# time; with AVX2's 256 bits a step of training takes a quarter more.
NARROW = not torch.cuda.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX2"
LAYOUT = torch.contiguous_format if NARROW else torch.channels_last


class UNet(Denoiser):
    """STFT -> real-valued U-Net -> factor and term -> iSTFT.

    The clean spectrum is estimated as ``Y + F * Y + T``: the factor F repairs what is left of a
    coefficient, the term T takes away what was written into it. Both start at zero, so that the
    untrained network is the identity.

    The U-Net works at half the resolution and below. Speech has nearly all its energy in the
    lowest bins, so only those get a branch at full resolution on top, which reads each
    coefficient's neighbours in that coefficient's own phase (:class:`Neighbours`).

    Args:
        layers: Name of a layer table (``LAYERS``) or a table like those; first stride (2, 2).
        n_fft, hop: Frame and hop in samples, the fixed damage's by default; rectangular window,
            centred, so that a touched coefficient stays within its bin and its frames.
        fine_bins: Lowest bins that are also read at full resolution; even.
        fine_channels: Width of that branch; even.
        fine_blocks: Its residual convolutions.
        own_phase: Read neighbours in the coefficient's own phase, too; otherwise only as they are.
        offset: Samples by which its frames lie before the damage's; 0 is aligned.
        writes: What it writes, of "factor" and "term".

    Shape:
        (batch, time) -> (batch, time), time >= 1.

    Raises:
        ValueError: Another first stride, fine_bins that are odd or more than there are, an offset
            outside [0, hop), or something else to write.

    References:
        Ronneberger et al., "U-Net", MICCAI 2015 (arXiv 1505.04597); up-sampling by pixel shuffle,
        Shi et al., CVPR 2016 (arXiv 1609.05158). The two resolutions and the reading in a
        coefficient's own phase are this project's.
    """

    name = "unet"
    bfloat16 = True

    PRESETS = {
        "small": {},
        "large": {"layers": "large", "fine_channels": 96},
        "fine": {"fine_bins": 318},
        "tiny": {"layers": "tiny", "fine_channels": 4, "fine_blocks": 1},
    }

    def __init__(
        self,
        layers: str | list = "small",
        n_fft: int = 640,
        hop: int = 160,
        fine_bins: int = 64,
        fine_channels: int = 48,
        fine_blocks: int = 6,
        own_phase: bool = True,
        offset: int = 0,
        writes: list[str] | tuple = ("factor", "term"),
    ) -> None:
        super().__init__()
        table = LAYERS[layers] if isinstance(layers, str) else layers
        if tuple(table[0][2]) != (2, 2):
            raise ValueError(f"UNet: the first stride must be (2, 2), got {table[0][2]}")
        if fine_bins % 2 or not 2 <= fine_bins <= n_fft // 2 + 1 - REACH[0]:
            raise ValueError(
                f"UNet: fine_bins must be even and in [2, {n_fft // 2 + 1 - REACH[0]}], "
                f"got {fine_bins}"
            )
        if not 0 <= offset < hop:
            raise ValueError(f"UNet: offset must be in [0, {hop}), got {offset}")
        if not writes or set(writes) - {"factor", "term"}:
            raise ValueError(f'UNet: writes must be of "factor" and "term", got {list(writes)}')
        self.n_fft, self.hop, self.fine_bins = n_fft, hop, fine_bins
        self.offset, self.writes = offset, set(writes)
        self.strides = [tuple(stride) for _, _, stride in table]
        self.register_buffer("window", torch.ones(n_fft), persistent=False)
        self.register_buffer("turn", one_time_origin(n_fft, hop), persistent=False)
        widths = [channels for channels, _, _ in table]

        self.encoder = nn.ModuleList(
            _Block(inputs, *layer)
            for inputs, layer in zip([READ, *widths[:-1]], table, strict=True)
        )
        self.up, self.decoder = nn.ModuleList(), nn.ModuleList()
        for level in range(len(table) - 1, 0, -1):
            outputs = widths[level - 1]
            self.up.append(nn.Conv2d(widths[level], outputs * math.prod(self.strides[level]), 1))
            self.decoder.append(_Block(2 * outputs, outputs, (3, 3)))
        self.out = nn.Conv2d(widths[0], WRITTEN * 4, 1)
        self.fine_up = nn.Conv2d(widths[0], fine_channels * 4, 1, bias=False)
        self.neighbours = Neighbours(fine_channels, own_phase)
        self.fine_norm = nn.BatchNorm2d(fine_channels)
        self.fine = nn.Sequential(
            *(_Block(fine_channels, fine_channels, (3, 3)) for _ in range(fine_blocks))
        )
        self.fine_out = nn.Conv2d(fine_channels, WRITTEN, 1)
        for last in (self.out, self.fine_out):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.to(memory_format=LAYOUT)

    @property
    def stride(self) -> int:
        """Samples by which the input can move so that every layer's grid moves along.

        The turned copy of the input repeats every ``n_fft / hop`` frames, so they count too.
        """
        return self.hop * math.lcm(math.prod(t for _, t in self.strides), len(self.turn[0]))

    @property
    def context(self) -> int:
        """Samples on either side that an output sample can depend on (an upper bound)."""
        frames, step = 2 + 2 * REACH[1] + len(self.fine), 1  # what the fine branch adds
        for block, (_, stride) in zip(self.encoder, self.strides, strict=True):
            # Down once; up again through a 3x3 convolution; and what a coarse grid rounds off.
            frames += step * (block.convolution.padding[1] + 1 + 2 * (stride - 1))
            step *= stride
            frames += step
        return frames * self.hop + self.n_fft + self.offset

    def forward(self, noisy: Tensor) -> Tensor:
        """Denoise waveforms, (batch, time) -> (batch, time)."""
        frame = {"n_fft": self.n_fft, "hop_length": self.hop, "window": self.window}
        padded = F.pad(noisy, (self.offset, 0))
        spectrum = torch.stft(padded, **frame, pad_mode="constant", return_complex=True)
        denoised = torch.istft(self.estimate(spectrum), **frame, length=padded.shape[-1])
        return denoised[..., self.offset :]

    def estimate(self, spectrum: Tensor) -> Tensor:
        """Noisy to denoised spectrum, complex (batch, freq, frames)."""
        period, frames = self.turn.shape[1], spectrum.shape[-1]
        turn = self.turn.repeat(1, (frames + period - 1) // period)[:, :frames]
        # Square roots of magnitudes: a network sees 60 dB of speech better as 30 dB.
        power = spectrum.real.square() + spectrum.imag.square()
        root = spectrum * (power + FLOOR) ** -0.25
        turned = root * turn
        level = 0.2 * (power + FLOOR).log()
        x = torch.stack([root.real, root.imag, turned.real, turned.imag, level], 1)
        out = self.unet(x.to(memory_format=LAYOUT), root, turn).float()
        estimate = spectrum
        if "factor" in self.writes:
            estimate = estimate + spectrum * torch.complex(out[:, 0], out[:, 1])
        if "term" in self.writes:
            estimate = estimate + torch.complex(out[:, 2], out[:, 3])
        return estimate

    def unet(self, x: Tensor, root: Tensor, turn: Tensor) -> Tensor:
        """(batch, READ, freq, frames) -> (batch, WRITTEN, freq, frames)."""
        freq, frames = x.shape[-2], x.shape[-1]
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        skips.pop()
        for up, block, stride in zip(self.up, self.decoder, self.strides[:0:-1], strict=True):
            skip = skips.pop()
            size = skip.shape[-2], skip.shape[-1]  # a slice of shape would be a constant in ONNX
            x = block(torch.cat([_shuffle(up(x), stride, size), skip], 1))
        out = _shuffle(self.out(x), (2, 2), (freq, frames))
        fine = (self.fine_bins, frames)
        wide = _shuffle(self.fine_up(x[:, :, : self.fine_bins // 2]), (2, 2), fine)
        near = self.neighbours(root[:, : self.fine_bins + REACH[0]], turn[: self.fine_bins])
        fine = self.fine_out(self.fine(F.relu_(self.fine_norm(wide + near))))
        return out + F.pad(fine, (0, 0, 0, freq - self.fine_bins))


class Neighbours(nn.Module):
    """Each coefficient's neighbours, seen from that coefficient.

    A zeroed coefficient is a dip in an otherwise smooth course, whatever phase it has. So half of
    the channels read the neighbourhood in the phase of the coefficient in its middle: a complex
    convolution, turned back by that phase and divided by the neighbourhood's level. A raised
    coefficient has a phase of its own, that of the value written into it, so the other half read
    the same neighbourhood as it is.

    Args:
        channels: Outputs; even.
        own_phase: Whether the first half is turned; otherwise both halves read what is there.

    References:
        This project's. Without it, a convolution would have to learn to multiply phases.
    """

    def __init__(self, channels: int, own_phase: bool = True) -> None:
        super().__init__()
        freq, frames = self.kernel = tuple(2 * reach + 1 for reach in REACH)
        self.own_phase = own_phase
        scale = (2 * freq * frames) ** -0.5
        # Real parts of the complex channels, then imaginary ones.
        self.weight = nn.Parameter(scale * torch.randn(2 * channels, freq, 1, frames))
        self.levels = nn.Conv2d(2, channels, 1, bias=False)

    def forward(self, spectrum: Tensor, turn: Tensor) -> Tensor:
        """Read the neighbourhoods of the lowest bins.

        Args:
            spectrum: Complex (batch, bins + REACH[0], frames), from bin 0 on.
            turn: Phases that make a steady tone stand still, complex (bins, frames).

        Returns:
            (batch, channels, bins, frames).
        """
        (above, beside), bins = REACH, len(turn)
        # A real signal's spectrum goes on below 0 Hz as its own mirror image.
        spectrum = torch.cat([spectrum[:, 1 : above + 1].flip(1).conj(), spectrum], 1)
        near = torch.stack([spectrum[:, d : d + bins] for d in range(2 * above + 1)], 1) * turn
        x = torch.cat([near.real, near.imag], 1).to(memory_format=LAYOUT)
        real, imaginary = self.weight.chunk(2)
        weight = torch.cat([torch.cat([real, -imaginary], 1), torch.cat([imaginary, real], 1)])
        real, imaginary = F.conv2d(x, weight, padding=(0, beside)).chunk(2, 1)

        power = spectrum.real.square() + spectrum.imag.square() + FLOOR
        level = F.avg_pool2d(F.pad(power, (beside, beside))[:, None], self.kernel, 1)[:, 0]
        centre = power[:, above : above + bins]
        as_is = turn.conj()[None]
        own = near[:, above].conj() * (centre * level).rsqrt() if self.own_phase else as_is
        half = real.shape[1] // 2
        read = _turned(real[:, :half], imaginary[:, :half], own)
        read = read + _turned(real[:, half:], imaginary[:, half:], as_is)
        levels = torch.stack([level.log(), (centre / level).log()], 1)
        return self.levels(levels.to(memory_format=LAYOUT)) + read


class _Block(nn.Module):
    """Convolution, batch norm, ReLU; added to its input where the shapes allow it."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1)
    ) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.residual = inputs == outputs and tuple(stride) == (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, freq, frames) -> (batch, outputs, ...)."""
        y = F.relu_(self.norm(self.convolution(x)))
        return x + y if self.residual else y


def _shuffle(x: Tensor, stride: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """(batch, channels * f * t, freq, frames) -> (batch, channels, freq * f, frames * t), cut."""
    f, t = stride
    x = x.unflatten(1, (-1, f, t)).permute(0, 4, 2, 5, 3, 1).flatten(3, 4).flatten(1, 2)
    x = x.permute(0, 3, 1, 2)[..., : size[0], : size[1]]
    return x.contiguous(memory_format=LAYOUT)


def _turned(real: Tensor, imaginary: Tensor, phase: Tensor) -> Tensor:
    """Complex channels times phases, (batch, freq, frames): real parts, then imaginary ones."""
    cos, sin = (each[:, None].to(real.dtype) for each in (phase.real, phase.imag))
    return torch.cat([real * cos - imaginary * sin, real * sin + imaginary * cos], 1)


def one_time_origin(n_fft: int, hop: int) -> Tensor:
    """Phases that turn each frame's coefficients to one time origin, complex (freq, period).

    ``torch.stft`` counts time from each frame's start, so a steady tone's phase runs from frame
    to frame; counted from the signal's first sample it stands still.
    """
    period = n_fft // math.gcd(n_fft, hop)
    starts = torch.arange(period) * hop - n_fft // 2
    cycles = torch.outer(torch.arange(n_fft // 2 + 1), starts) % n_fft / n_fft
    return torch.polar(torch.ones_like(cycles), -2 * torch.pi * cycles)
