"""A network on recordings of any rate, channel by channel, a stretch at a time.

A recording is brought to the network's rate, mostly 16 kHz, and what the network changes there is
brought back to the recording's own rate and added to it. So nothing else is touched: a network that
changes nothing gives every sample back. What lies above the network's band, mostly 8 kHz, is turned
down as much, and as fast, as the network turns down the upper part of what it hears; or it is cut
off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from denoise_lib import RATE
from denoise_lib.models.base import Denoiser

NOMINAL = 0.05  # RMS of speech re full scale, -26 dB, at which networks are trained
NEAR = 0.04  # s; further than that from any sound digital silence stays what it is
MARGIN = 0.1  # s on either side, for the filters of the two resamplings
# For the gain of what lies above the network's band:
FRAME, HOP = 0.032, 0.01  # s
BAND = (0.25, 0.46875)  # the upper part of what a network hears, re its rate; 4 to 7.5 kHz of 16


@dataclass(frozen=True)
class Treatment:
    """How much of what a network does is done.

    Args:
        strength: How much of the noise goes, 0 to 1.
        limit_db: Noise goes down by at most so many dB.
        cut: Whether to cut off what lies above the network's band.
        chunk_seconds: Stretch that is processed at a time.
    """

    strength: float = 1.0
    limit_db: float = math.inf
    cut: bool = False
    chunk_seconds: float = 10.0

    @property
    def share(self) -> float:
        """Share of the network's change that is made."""
        return self.strength * (1 - 10 ** (-self.limit_db / 20))


@dataclass
class WholeBand:
    """Denoises a recording that comes in blocks.

    Args:
        model: A network in evaluation mode, on its device.
        rate: Samples per second of the recording.
        level: RMS of speech in each channel re full scale; 0 for a silent one.
        offset: Constant part of each channel; it is taken off.
        treatment: How much is done.
        device: Where the model is.
    """

    model: Denoiser
    rate: int
    level: np.ndarray
    offset: np.ndarray
    treatment: Treatment = field(default_factory=Treatment)
    device: str | torch.device = "cpu"

    def __post_init__(self) -> None:
        self.own = self.model.rate or RATE
        common = math.gcd(self.rate, self.own)
        # The stretches start where samples of both rates, the model's grid and the frames of the
        # upper band's gain meet: so it does not matter where they start.
        grid = math.lcm(self.model.stride, self.own // common, round(HOP * self.own))
        seconds = grid / self.own
        chunks = max(1, round(self.treatment.chunk_seconds / seconds))
        ahead = getattr(self.model, "latency", self.model.context) / self.own + MARGIN
        before = max(self.model.context / self.own, NEAR) + MARGIN
        self.step = chunks * self._samples(grid)
        self.before = math.ceil(before / seconds) * self._samples(grid)
        self.ahead = math.ceil(max(ahead, NEAR) * self.rate)

    def _samples(self, grid: int) -> int:
        """So many samples at the network's rate as samples of the recording."""
        return grid * self.rate // self.own

    def blocks(self, source: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Blocks of a recording, float32 (time, channels), to denoised blocks of the same length.

        The blocks that come out begin and end elsewhere; together they are as long.
        """
        for window, lead, size in stretches(source, self.step, self.before, self.ahead):
            yield self.stretch(window)[lead : lead + size]

    @torch.inference_mode()
    def stretch(self, window: np.ndarray) -> np.ndarray:
        """One stretch with what lies around it, (time, channels) -> (time, channels)."""
        out = np.empty_like(window)
        for channel in range(window.shape[1]):
            x = window[:, channel] - np.float32(self.offset[channel])
            out[:, channel] = self._channel(x, float(self.level[channel]))
        return out

    def _channel(self, x: np.ndarray, level: float) -> np.ndarray:
        if not x.any() or not level > 0:
            return np.zeros_like(x)
        length = math.ceil(len(x) * self.own / self.rate)
        low = torch.from_numpy(resampled(x, self.rate, self.own, length))
        gain = NOMINAL / level
        estimate = self.model((low * gain).to(self.device)[None])[0].cpu() / gain
        change = (estimate - low) * self.treatment.share
        out = x + resampled(change.numpy(), self.own, self.rate, len(x))
        if self.rate > self.own:
            high = x - resampled(low.numpy(), self.own, self.rate, len(x))
            rates = self.own, self.rate
            high_gain = 0.0 if self.treatment.cut else _upper_gain(low, low + change, rates, len(x))
            out = out + (high_gain - 1) * high
        return np.where(near_sound(x, round(NEAR * self.rate)), out, np.float32(0))


def stretches(
    source: Iterable[np.ndarray], step: int, before: int, ahead: int
) -> Iterator[tuple[np.ndarray, int, int]]:
    """Cut blocks (time, channels) into stretches with what lies around them.

    Args:
        source: Blocks of any lengths.
        step: Samples of a stretch.
        before, ahead: Samples before and after it that come along, where there are any.

    Yields:
        The samples, where in them the stretch begins, and how long it is.
    """
    waiting, there, done = [], 0, 0  # there: samples that wait; done: of them, stretches given out
    for block in source:
        waiting.append(block)
        there += len(block)
        while there - done >= step + ahead:
            joined = np.concatenate(waiting)
            yield joined[: done + step + ahead], done, step
            drop = max(0, done + step - before)
            joined, done = joined[drop:], done + step - drop
            waiting, there = [joined], len(joined)
    if there - done > 0:
        joined = np.concatenate(waiting)
        while there - done > 0:
            size = min(step, there - done)
            first = max(0, done - before)
            yield joined[first : done + size + ahead], done - first, size
            done += size


def resampled(x: np.ndarray, source: int, target: int, length: int | None = None) -> np.ndarray:
    """A waveform (time,) at another rate, cut or padded to a length where one is given."""
    if source != target:
        import soxr

        x = soxr.resample(np.ascontiguousarray(x, np.float32), source, target, "HQ")
    if length is None or len(x) == length:
        return x
    return np.pad(x[:length], (0, max(0, length - len(x))))


def _upper_gain(low: Tensor, denoised: Tensor, rates: tuple[int, int], length: int) -> np.ndarray:
    """What the upper part of the network's band was multiplied by, smooth; 1 at most.

    Args:
        low, denoised: What the network heard and what became of it, (time,).
        rates: Samples per second of these, and of the gain that is returned.
        length: Of that gain, (length,).
    """
    own, rate = rates
    frame, hop = round(FRAME * own), round(HOP * own)
    first, last = (round(part * frame) for part in BAND)
    powers = []
    for each in (low, denoised):
        window = torch.hann_window(frame)
        spectrum = torch.stft(
            each, frame, hop, window=window, pad_mode="constant", return_complex=True
        )
        power = spectrum[first:last].abs().square().sum(0)  # (frames,)
        powers.append(F.avg_pool1d(power[None], 3, 1, 1, count_include_pad=False))
    heard, left = powers
    gain = torch.where(heard > 1e-14, left / heard.clamp_min(1e-14), 1.0).clamp(0, 1).sqrt()
    # The frame of number k lies around sample k * hop.
    at = np.arange(length) * (own / rate / hop)
    return np.interp(at, np.arange(gain.shape[1]), gain[0].numpy()).astype(np.float32)


def near_sound(x: np.ndarray, near: int) -> np.ndarray:
    """Where a sample that is not zero lies within so many samples; bool, (time,)."""
    sounding = x != 0
    if sounding.all():
        return sounding
    count = np.pad(np.cumsum(sounding, dtype=np.int32), (near + 1, 0))
    last = np.minimum(np.arange(len(x), dtype=np.int32) + 2 * near + 1, len(count) - 1)
    return count[last] > count[: len(x)]
