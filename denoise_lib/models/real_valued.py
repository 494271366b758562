"""Networks in real numbers alone, as ONNX needs them: Fourier transforms and complex numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from denoise_lib.models.base import Denoiser
from denoise_lib.models.causal import CausalNet


class Whole(nn.Module):
    """A network, unchanged, that is run within :class:`RealNumbers`."""

    def __init__(self, model: Denoiser) -> None:
        super().__init__()
        self.model = with_pairs(model)

    def forward(self, noisy: Tensor) -> Tensor:
        """(batch, time) -> (batch, time)."""
        with RealNumbers():
            return self.model(noisy)


class Step(nn.Module):
    """One hop of a causal network whose frames overlap by half, with its state in and out."""

    def __init__(self, model: CausalNet) -> None:
        super().__init__()
        self.model = model
        self.shapes = [past.shape for past in model.no_past()]
        forth, back = waves(model.n_fft), waves(model.n_fft, inverse=True)
        self.register_buffer("forth", forth[:, 0] * model.window)  # (2 * freq, n_fft)
        self.register_buffer("back", back[:, 0] * model.window)

    def start(self) -> Tensor:
        """The state before the first hop: zeros."""
        return torch.zeros(2 * self.model.hop + sum(shape.numel() for shape in self.shapes))

    def forward(self, noisy: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(1, hop), state -> (1, hop) of the hop before, next state."""
        hop = self.model.hop
        heard, written, *past = state.split([hop, hop, *(shape.numel() for shape in self.shapes)])
        past = [each.view(shape) for each, shape in zip(past, self.shapes, strict=True)]
        real, imaginary = (self.forth @ torch.cat([heard, noisy[0]]))[None, :, None].chunk(2, 1)
        with RealNumbers():
            estimate = self.model.estimate(Pair(real, imaginary), past)
        frame = torch.cat([estimate.real, estimate.imag], 1)[0, :, 0] @ self.back
        state = torch.cat([noisy[0], frame[hop:], *(each.flatten() for each in past)])
        return (written + frame[:hop])[None], state


class Pair:
    """A complex tensor as two real ones, with what the networks do to complex tensors."""

    def __init__(self, real: Tensor, imag: Tensor) -> None:
        self.real, self.imag = real, imag

    @classmethod
    def __torch_function__(cls, *_: Any) -> Any:
        """Have torch's functions take a pair; :class:`RealNumbers` carries them out."""
        return NotImplemented

    @property
    def shape(self) -> torch.Size:
        """That of the complex tensor."""
        return self.real.shape

    def __len__(self) -> int:
        return len(self.real)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Pair:
        return Pair(change(self.real), change(self.imag))

    def __getitem__(self, index: Any) -> Pair:
        return self._each(lambda part: part[index])

    def transpose(self, *axes: int) -> Pair:
        """As of a tensor."""
        return self._each(lambda part: part.transpose(*axes))

    def flip(self, *axes: int) -> Pair:
        """As of a tensor."""
        return self._each(lambda part: part.flip(*axes))

    def repeat(self, *times: int) -> Pair:
        """As of a tensor."""
        return self._each(lambda part: part.repeat(*times))

    def conj(self) -> Pair:
        """As of a tensor."""
        return Pair(self.real, -self.imag)

    def abs(self) -> Tensor:
        """As of a tensor."""
        return (self.real.square() + self.imag.square()).sqrt()

    def __add__(self, other: Pair) -> Pair:
        return Pair(self.real + other.real, self.imag + other.imag)

    def __mul__(self, other: Pair | Tensor | float) -> Pair:
        if not isinstance(other, Pair):
            return self._each(lambda part: part * other)
        return Pair(
            self.real * other.real - self.imag * other.imag,
            self.real * other.imag + self.imag * other.real,
        )


class RealNumbers(TorchFunctionMode):
    """Within it, torch's functions for complex numbers take and give :class:`Pair`."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Call the function, or what stands for it here."""
        function = INSTEAD.get(function, function)
        if function in (torch.cat, torch.stack) and isinstance(args[0][0], Pair):
            joined, parts = function, args[0]
            return Pair(
                joined([part.real for part in parts], *args[1:]),
                joined([part.imag for part in parts], *args[1:]),
            )
        return function(*args, **(kwargs or {}))


def with_pairs(model: nn.Module) -> nn.Module:
    """A copy of a network whose complex buffers are pairs."""
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.is_complex():
                delattr(module, name)
                setattr(module, name, Pair(buffer.real.contiguous(), buffer.imag.contiguous()))
    return model


def stft(x: Tensor, n_fft: int, hop_length: int, window: Tensor, **others: Any) -> Pair:
    """``torch.stft`` by convolution: (batch, time) -> complex (batch, freq, frames)."""
    known = {"center": True, "pad_mode": "constant", "return_complex": True}
    if {"center": True} | {key: value for key, value in others.items() if value} != known:
        raise ValueError(f"stft: only centred frames with zeros around are known, got {others}")
    padded = F.pad(x, (n_fft // 2, n_fft // 2))[:, None]
    weight = waves(n_fft).to(window) * window
    return Pair(*F.conv1d(padded, weight, stride=hop_length).chunk(2, 1))


def istft(
    spectrum: Pair, n_fft: int, hop_length: int, window: Tensor, length: int, **others: Any
) -> Tensor:
    """``torch.istft`` by convolution: complex (batch, freq, frames) -> (batch, length)."""
    parts = torch.cat([spectrum.real, spectrum.imag], 1)
    weight = waves(n_fft, inverse=True).to(window) * window
    summed = F.conv_transpose1d(parts, weight, stride=hop_length)[:, 0]
    windows = window.square()[None, None]
    windows = F.conv_transpose1d(torch.ones_like(parts[:1, :1]), windows, stride=hop_length)[:, 0]
    inside = slice(n_fft // 2, n_fft // 2 + length)
    return summed[:, inside] / windows[:, inside]


def waves(n_fft: int, inverse: bool = False) -> Tensor:
    """Cosines, then negative sines, (2 * freq, 1, n_fft): a frame's Fourier transform.

    Inverse, all bins but the first and the last stand for two, and the sum is divided by n_fft.
    Made by NumPy, so that an exporter sees numbers and not how they were computed.
    """
    freq = np.arange(n_fft // 2 + 1)[:, None]
    angles = 2 * np.pi * (freq * np.arange(n_fft) % n_fft) / n_fft
    share = np.where(freq % (n_fft // 2), 2, 1) / n_fft if inverse else 1
    both = np.concatenate([share * np.cos(angles), -share * np.sin(angles)])
    return torch.from_numpy(both[:, None].astype(np.float32))


INSTEAD = {torch.stft: stft, torch.istft: istft, torch.complex: Pair}
