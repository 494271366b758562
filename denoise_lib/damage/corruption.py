"""The fixed damage: zero some of the largest STFT coefficients, raise some of the smallest.

Drawing positions and applying them are separate steps, so that one draw can be replayed,
inspected or inverted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from denoise_lib import RATE
from denoise_lib.damage.extremes import extremes

FIXED = ("zero", "raise", "both")  # conditions of the fixed procedure


FRAME, HOP = 640, 160  # samples at 16 kHz: 40 ms every 10 ms


# One for a batch, or one for each clip of it; None for the global one.
Generators = torch.Generator | list[torch.Generator] | None


class Positions(NamedTuple):
    """Touched coefficients: two boolean masks, each (batch, freq, frames)."""

    zeroed: Tensor
    raised: Tensor


@dataclass(frozen=True)
class Corruption:
    """Two changes in the STFT domain, the second made on the result of the first.

    They are made on the device of the waveform; on Apple's GPU, which has no numbers of 64 bits,
    positions are drawn on the processor. A quantile over the whole clip needs all its coefficients
    at once: 60 to 80 MB for each minute at 16 kHz.

    1. zero: of the ``1 - quantile`` largest coefficients, a random fraction ``zero`` becomes 0;
    2. raise: of the ``quantile`` smallest, a random fraction ``raised`` becomes ``value`` (real).

    Counts are exact (rounded to the nearest coefficient) and the quantile is taken per clip, so a
    clip's damage does not depend on the batch it is in. The waveform should be at an RMS level of
    0.05 (-26 dBFS; see ``audio.to_level``), because ``value`` is absolute.

    Args:
        quantile: Share of coefficients that counts as small, in [0, 1].
        zero: Share of the large coefficients that becomes 0, in [0, 1].
        raised: Share of the small coefficients that becomes ``value``, in [0, 1].
        value: What a raised coefficient becomes (real part; the imaginary part is 0).
        n_fft: Frame length in samples (40 ms at 16 kHz; see :func:`frame_at` for other rates).
        hop: Hop in samples (10 ms at 16 kHz), at most ``n_fft``; at most half of that with "hann".
        window: "rect" or "hann"; frames are centred and the signal zero-padded at both ends.

    Raises:
        ValueError: A parameter is out of its range.
    """

    quantile: float = 0.9
    zero: float = 0.2
    raised: float = 0.5
    value: float = 1.0
    n_fft: int = FRAME
    hop: int = HOP
    window: str = "rect"

    def __post_init__(self) -> None:
        for name in ("quantile", "zero", "raised"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Corruption: {name} must be in [0, 1], got {getattr(self, name)}")
        if not 1 <= self.hop <= self.n_fft:
            raise ValueError(f"Corruption: hop must be in [1, n_fft], got {self.hop}")
        if self.window not in ("rect", "hann"):
            raise ValueError(f'Corruption: window must be "rect" or "hann", got "{self.window}"')
        if self.window == "hann" and self.hop > self.n_fft // 2:
            raise ValueError(
                f"Corruption: hann windows of {self.n_fft} samples every {self.hop} leave gaps "
                "that nothing can be put back into: shorten the hop"
            )

    @classmethod
    def for_condition(cls, condition: str, **parameters: Any) -> Corruption:
        """The procedure with one change switched off: "zero" alone, "raise" alone, or "both"."""
        if condition not in FIXED:
            raise ValueError(f"condition must be one of {', '.join(FIXED)}, got {condition!r}")
        procedure = cls(**parameters)
        if condition == "zero":
            return replace(procedure, raised=0.0)
        if condition == "raise":
            return replace(procedure, zero=0.0)
        return procedure

    @property
    def parameters(self) -> dict:
        """Constructor arguments as plain values, for records."""
        return asdict(self)

    def stft(self, waveform: Tensor) -> Tensor:
        """(batch, time) -> complex (batch, freq, frames), frames = 1 + time // hop.

        Where frames overlap by less than half there may be one frame more: what lies behind the
        middle of the last one would else be in no frame.
        """
        if self.hop > self.n_fft // 2:
            waveform = F.pad(waveform, (0, -waveform.shape[-1] % self.hop + self.n_fft % 2))
        return torch.stft(
            waveform,
            self.n_fft,
            self.hop,
            window=self.window_like(waveform),
            center=True,
            pad_mode="constant",
            return_complex=True,
        )

    def istft(self, spectrum: Tensor, length: int) -> Tensor:
        """Complex (batch, freq, frames) -> (batch, length)."""
        return torch.istft(
            spectrum,
            self.n_fft,
            self.hop,
            window=self.window_like(spectrum.real),
            center=True,
            length=length,
        )

    def draw(self, spectrum: Tensor, generator: Generators = None) -> Positions:
        """Choose the coefficients to touch.

        Args:
            spectrum: Complex STFT, (batch, freq, frames).
            generator: One generator for the batch, or a list with one for each clip.
        """
        magnitude = spectrum.abs().contiguous()
        large = _largest(magnitude, self.quantile)
        zeroed = _random_subset(large, self.zero, generator)
        large = _largest(magnitude.masked_fill_(zeroed, 0), self.quantile)
        raised = _random_subset(~large, self.raised, generator)
        return Positions(zeroed, raised)

    def apply(self, spectrum: Tensor, positions: Positions) -> Tensor:
        """Write 0 and ``value`` into the drawn positions of a copy of ``spectrum``."""
        return self._write(spectrum.clone(), positions)

    def _write(self, spectrum: Tensor, positions: Positions) -> Tensor:
        """Write into the spectrum itself."""
        for mask, value in zip(positions, (0, self.value), strict=True):
            # An STFT lies frame by frame in memory: a mask that does, too, is faster.
            frames_first = mask.transpose(1, 2).contiguous().transpose(1, 2)
            spectrum.masked_fill_(frames_first, value)
        return spectrum

    def __call__(self, waveform: Tensor, generator: Generators = None) -> Tensor:
        """Damage waveforms, (time,) or (batch, time); same shape out, on the same device."""
        batch = torch.atleast_2d(waveform)
        spectrum = self.stft(batch)
        spectrum = self._write(spectrum, self.draw(spectrum, generator))
        return self.istft(spectrum, batch.shape[-1]).reshape(waveform.shape)

    def window_like(self, like: Tensor) -> Tensor:
        """The analysis window, (n_fft,), of the kind and on the device of a real tensor."""
        make = torch.ones if self.window == "rect" else torch.hann_window
        return make(self.n_fft, dtype=like.dtype, device=like.device)


def frame_at(rate: int, n_fft: int = 0, hop: int = 0) -> dict[str, int]:
    """Frame and hop of the damage at a sample rate, as arguments of :class:`Corruption`.

    Args:
        rate: Samples per second.
        n_fft, hop: In samples; 40 ms and 10 ms where they are 0. The original study's at 48 kHz
            are 2048 and 512.
    """
    return {"n_fft": n_fft or FRAME * rate // RATE, "hop": hop or HOP * rate // RATE}


def _largest(magnitude: Tensor, quantile: float) -> Tensor:
    """Mask of the ``1 - quantile`` largest of each clip, (batch, freq, frames); exact count."""
    flat = magnitude.flatten(1)
    return extremes(flat, round((1 - quantile) * flat.shape[1]), largest=True).view_as(magnitude)


def _random_subset(candidates: Tensor, fraction: float, generator: Generators) -> Tensor:
    """A random ``fraction`` of each clip's candidates; exact count.

    Every coefficient gets a random key and the smallest keys among the candidates win. Keys are
    float64 because float32 has ties at this size, and a tie would leave the choice to the device.
    All clips of a batch have the same shape, hence the same number of candidates.
    """
    if candidates.device.type == "mps":
        return _random_subset(candidates.cpu(), fraction, generator).to(candidates.device)
    count = round(fraction * int(candidates[0].sum()))
    keys = _random_keys(candidates, generator)
    return extremes(keys, count, among=candidates.flatten(1)).view_as(candidates)


def _random_keys(like: Tensor, generator: Generators) -> Tensor:
    """Uniform float64 keys, (batch, freq * frames), drawn where the generator lives."""

    def keys(batch: int, source: torch.Generator | None) -> Tensor:
        device = source.device if source is not None else like.device
        drawn = torch.rand(
            batch, like[0].numel(), dtype=torch.float64, generator=source, device=device
        )
        return drawn.to(like.device)

    if isinstance(generator, list):
        return torch.cat([keys(1, each) for each in generator])
    return keys(len(like), generator)
