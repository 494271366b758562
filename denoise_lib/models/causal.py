"""A causal network for noise: convolutions over the spectrum, a complex factor out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from denoise_lib.models.base import Denoiser

FLOOR = 1e-8  # added to powers: 50 dB below those of speech at the nominal level
LAYOUT = torch.channels_last  # convolutions in bfloat16 on a CPU run at their full speed in it
SLOPE = 0.1  # of a leaky ReLU; on a CPU a PReLU's backward pass costs as much as the convolutions


class CausalNet(Denoiser):
    """Encoder over frequency, dilated convolutions over time, decoder with skips; no look-ahead.

    Real and imaginary part of the compressed spectrum and its log power go in. Each encoder layer
    halves the frequency resolution, residual 3 x 3 convolutions with growing dilation look back
    over seconds, and each decoder layer doubles the resolution and adds what the encoder had
    there. More residual 3 x 3 convolutions may follow at the finest resolution. Out comes
    ``factor``; the estimate is ``spectrum * (1 + factor)``. A fresh network is the identity, and
    the coefficient at the Nyquist frequency is left as it is.

    What a network is unsure of it makes too soft. So in use, not in training, a small share of the
    input stays in the output: noise goes down by that share at most, and soft speech is kept.

    Args:
        n_fft: Samples of a frame, divisible by ``2 ** (len(widths) + 1)``; the window is the square
            root of Hann's.
        hop: Samples from frame to frame; half a frame or a whole fraction of it.
        widths: Channels of the encoder's layers.
        frames: Frames that each encoder layer reads, its own and those before it.
        dilations: Frames between the three taps of each residual layer at the coarsest resolution.
        fine: The same for those at the finest resolution, behind the decoder.
        keep: Share of the input in the output, in [0, 1); 0.04 is 28 dB.

    Shape:
        (batch, time) -> (batch, time), time >= 1.

    Raises:
        ValueError: Frames that cannot be halved often enough, or one of the lists too short.

    References:
        This project's. Complex factor: Williamson, Wang, Wang, "Complex Ratio Masking for Monaural
        Speech Separation", IEEE/ACM TASLP 24 (3), 2016. Encoder over frequency with skips and
        causal time: Tan, Wang, "A Convolutional Recurrent Neural Network for Real-Time Speech
        Enhancement", Interspeech 2018, with dilated convolutions in the recurrence's place.
    """

    name = "causal"
    bfloat16 = True
    loss = "outside"
    PRESETS = {
        "default": {},
        "large": {
            "dilations": (1, 2, 4, 8, 16, 32, 1, 2, 4, 8, 16, 32),
            "fine": (1, 2, 4, 8, 1, 2, 4, 8),
        },
        "small": {"widths": (16, 24, 32, 48), "dilations": (1, 2, 4, 8, 16, 32)},
        "tiny": {
            "n_fft": 64,
            "hop": 32,
            "widths": (4, 6),
            "frames": (2, 1),
            "dilations": (1, 2),
            "fine": (1,),
        },
    }

    def __init__(
        self,
        n_fft: int = 512,
        hop: int = 256,
        widths: tuple[int, ...] = (24, 32, 48, 80),
        frames: tuple[int, ...] = (3, 2, 1, 1),
        dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 1, 2),
        fine: tuple[int, ...] = (),
        keep: float = 0.04,
    ) -> None:
        super().__init__()
        widths, frames, dilations = tuple(widths), tuple(frames), tuple(dilations)
        if not widths or len(frames) != len(widths) or n_fft % 2 ** (len(widths) + 1):
            raise ValueError(
                f"CausalNet: needs one of frames for each of widths and n_fft divisible by "
                f"{2 ** (len(widths) + 1)}, got {len(frames)}, {len(widths)} and {n_fft}"
            )
        if n_fft % hop or n_fft < 2 * hop:
            raise ValueError(
                f"CausalNet: hop must be a half of n_fft or a fraction, got {hop} of {n_fft}"
            )
        self.n_fft, self.hop, self.keep = n_fft, hop, keep
        self.register_buffer("window", torch.hann_window(n_fft).sqrt(), persistent=False)
        inputs = (3, *widths[:-1])
        self.encoder = nn.ModuleList(
            _Layer(read, write, (time, 5), stride=2)
            for read, write, time in zip(inputs, widths, frames, strict=True)
        )
        self.middle, self.fine = (
            nn.ModuleList(
                _Layer(width, width, (3, 3), dilation=each, residual=True) for each in frames_apart
            )
            for width, frames_apart in ((widths[-1], dilations), (widths[0], fine))
        )
        self.up, self.decoder = nn.ModuleList(), nn.ModuleList()
        for write, read in zip(widths[-2::-1], widths[:0:-1], strict=True):
            self.up.append(nn.Conv2d(read, 2 * write, 1))
            self.decoder.append(_Layer(write, write, (1, 3), residual=True))
        self.last = nn.Conv2d(widths[0], 2 * 2, (1, 3), padding=(0, 1))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.to(memory_format=LAYOUT)

    @property
    def latency(self) -> int:
        """Samples after an input sample that can change the output there: one frame.

        A frame's samples are all known before it is transformed, and no layer reads a later frame.
        """
        return self.n_fft

    @property
    def stride(self) -> int:
        """Samples by which the input can move so that the frames move along."""
        return self.hop

    @property
    def context(self) -> int:
        """Samples on either side that an output sample can depend on (an upper bound)."""
        layers = [*self.encoder, *self.middle, *self.fine]
        return self.n_fft + self.hop * sum(layer.past for layer in layers)

    def forward(self, noisy: Tensor) -> Tensor:
        """(batch, time) -> (batch, time)."""
        frame = {"n_fft": self.n_fft, "hop_length": self.hop, "window": self.window}
        # Half a frame of silence behind, so that the last samples lie in as many frames as others.
        # In fewer, the inverse divides what the network wrote there by the edge of a window.
        padded = F.pad(noisy, (0, self.n_fft // 2))
        spectrum = torch.stft(padded, **frame, pad_mode="constant", return_complex=True)
        return torch.istft(self.estimate(spectrum), **frame, length=noisy.shape[-1])

    def no_past(self) -> list[Tensor]:
        """What stands before the first frame: zeros for each layer that looks back.

        Returns:
            One tensor (1, channels, frames, freq) for each of those layers; :meth:`estimate` goes
            on from them.
        """
        places, freq = [], self.n_fft // 2
        for layer in (*self.encoder, *self.middle):
            places.append((layer, freq))
            freq //= layer.convolution.stride[1]
        places += [(layer, self.n_fft // 4) for layer in self.fine]
        return [
            self.window.new_zeros(1, layer.convolution.in_channels, layer.past, freq)
            for layer, freq in places
            if layer.past
        ]

    def estimate(self, spectrum: Tensor, past: list[Tensor] | None = None) -> Tensor:
        """Noisy to denoised spectrum, complex (batch, freq, frames).

        Args:
            spectrum: Frames of the noisy recordings.
            past: What the layers need of the frames before, :meth:`no_past` at first. Its tensors
                are replaced by what the frames after these need. If left out, nothing was before.
        """
        spectrum = spectrum.transpose(1, 2)  # (batch, frames, freq)
        real, imaginary = spectrum.real, spectrum.imag
        power = real.square() + imaginary.square() + FLOOR
        compress = power**-0.35  # |X| becomes |X| ** 0.3: 60 dB of speech are 18
        x = torch.stack([real * compress, imaginary * compress, 0.2 * power.log() + 1.0], 1)
        out = self.factor(x[..., :-1].contiguous(memory_format=LAYOUT), past).to(power.dtype)
        out = F.pad(out, (0, 1))  # 0 for the Nyquist frequency
        factor = torch.complex(out[:, 0], out[:, 1]) * (1.0 if self.training else 1 - self.keep)
        return (spectrum + spectrum * factor).transpose(1, 2)

    def factor(self, x: Tensor, past: list[Tensor] | None = None) -> Tensor:
        """(batch, 3, frames, freq) -> real and imaginary part, (batch, 2, frames, freq)."""
        memory, skips = _Memory(past), []
        for layer in self.encoder:
            x = memory.apply(layer, x)
            skips.append(x)
        for layer in self.middle:
            x = memory.apply(layer, x)
        for up, layer, skip in zip(self.up, self.decoder, skips[-2::-1], strict=True):
            x = layer(_widened(up(x)) + skip)
        for layer in self.fine:
            x = memory.apply(layer, x)
        return _widened(self.last(x))


class _Memory:
    """What the layers that look back need of the frames before, in the order of their use."""

    def __init__(self, past: list[Tensor] | None) -> None:
        self.past, self.used = past, 0

    def apply(self, layer: _Layer, x: Tensor) -> Tensor:
        """The layer's output for the frames ``x``, which are remembered for those after them."""
        if self.past is None or not layer.past:
            return layer(x)
        before = self.past[self.used]
        self.past[self.used] = torch.cat([before, x], 2)[:, :, -layer.past :]
        self.used += 1
        return layer(x, before)


class _Layer(nn.Module):
    """Convolution over frames up to its own, batch norm, leaky ReLU; where residual, added."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int],
        *,
        stride: int = 1,
        dilation: int = 1,
        residual: bool = False,
    ) -> None:
        super().__init__()
        frames, freq = kernel
        self.past = (frames - 1) * dilation  # frames before its own that it reads
        self.convolution = nn.Conv2d(
            inputs, outputs, kernel, (1, stride), (0, freq // 2), (dilation, 1), bias=False
        )
        self.norm = nn.BatchNorm2d(outputs)
        self.residual = residual

    def forward(self, x: Tensor, before: Tensor | None = None) -> Tensor:
        """(batch, inputs, frames, freq) -> (batch, outputs, ...); zeros stand before if nothing."""
        if before is not None:
            heard = torch.cat([before, x], 2)
        else:
            heard = F.pad(x, (0, 0, self.past, 0)) if self.past else x
        y = F.leaky_relu_(self.norm(self.convolution(heard)), SLOPE)
        return x + y if self.residual else y


def _widened(x: Tensor) -> Tensor:
    """(batch, 2 * channels, frames, freq) -> (batch, channels, frames, 2 * freq), no copy."""
    batch, channels, frames, freq = x.shape
    x = x.permute(0, 2, 3, 1).reshape(batch, frames, 2 * freq, channels // 2)
    return x.permute(0, 3, 1, 2)
