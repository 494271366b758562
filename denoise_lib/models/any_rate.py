"""A stream of any rate around one at 16 kHz: what ``whole_band`` does, as the sound comes."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from denoise_lib import RATE
from denoise_lib.models import whole_band

FRAME, HOP = round(whole_band.FRAME * RATE), round(whole_band.HOP * RATE)  # samples
SMOOTHED = 1  # frames on either side that the gain of the upper band is a mean over


class Inner(Protocol):
    """A stream at 16 kHz."""

    latency: int

    def process(self, block: NDArray) -> NDArray:
        """The next samples in, those that are ready out."""

    def flush(self) -> NDArray:
        """What still waited."""


class AnyRate:
    """Brings blocks to 16 kHz and adds what a stream changes there to the blocks themselves.

    What lies above 8 kHz is turned down as the stream turns down the upper part of what it hears.

    Args:
        inner: The stream at 16 kHz.
        rate: Samples per second of what comes and goes.
    """

    def __init__(self, inner: Inner, rate: int) -> None:
        import soxr

        self.inner, self.rate = inner, rate
        self.down = soxr.ResampleStream(rate, RATE, 1, "float32", "HQ")
        self.up = soxr.ResampleStream(RATE, rate, 1, "float32", "HQ")
        self.up_low = soxr.ResampleStream(RATE, rate, 1, "float32", "HQ")
        self.gain = UpperGain() if rate > RATE else None
        held = (FRAME // 2 + (1 + SMOOTHED) * HOP) / RATE if self.gain else 0.0
        self.latency = round((inner.latency / RATE + held) * rate) + _held_back(rate)
        empty = np.zeros(0, np.float32)
        self.waiting, self.low, self.change, self.heard = empty, empty, empty, empty
        self.given = 0

    def process(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """The next samples (time,) in, those that are ready out."""
        low = self.down.resample_chunk(np.ascontiguousarray(block, np.float32))
        self.waiting = np.concatenate([self.waiting, block])
        return self._step(low, self.inner.process(low), last=False)

    def flush(self) -> NDArray[np.float32]:
        """What still waited."""
        low = self.down.resample_chunk(np.zeros(0, np.float32), last=True)
        estimate = np.concatenate([self.inner.process(low), self.inner.flush()])
        return self._step(low, estimate, last=True)

    def _step(self, low: NDArray, estimate: NDArray, last: bool) -> NDArray[np.float32]:
        self.low = np.concatenate([self.low, low])
        heard, self.low = self.low[: len(estimate)], self.low[len(estimate) :]
        change = self.up.resample_chunk(estimate - heard, last=last)
        self.change = np.concatenate([self.change, change])
        ready = len(self.waiting) if last else min(len(self.waiting), len(self.change))
        if self.gain:
            self.gain.push(heard, estimate, last)
            again = self.up_low.resample_chunk(np.ascontiguousarray(heard), last=last)
            self.heard = np.concatenate([self.heard, again])
            known = int(self.gain.known * self.rate / RATE) - self.given
            ready = ready if last else max(0, min(ready, len(self.heard), known))
        return self._given(ready)

    def _given(self, ready: int) -> NDArray[np.float32]:
        """So many samples, taken from all that waits."""
        out, self.waiting = self.waiting[:ready], self.waiting[ready:]
        change, self.change = _padded(self.change, ready), self.change[ready:]
        if self.gain:
            high = out - _padded(self.heard, ready)
            self.heard = self.heard[ready:]
            at = (self.given + np.arange(ready)) * (RATE / self.rate)
            change = change + (self.gain.at(at) - 1) * high
        self.given += ready
        return (out + change).astype(np.float32)


def _held_back(rate: int) -> int:
    """Samples that resampling to 16 kHz and back holds back at most, found by trying."""
    import soxr

    down = soxr.ResampleStream(rate, RATE, 1, "float32", "HQ")
    up = soxr.ResampleStream(RATE, rate, 1, "float32", "HQ")
    block, worst, given = np.zeros(max(1, rate // 100), np.float32), 0, 0
    for taken in range(len(block), 2 * rate, len(block)):
        given += len(up.resample_chunk(down.resample_chunk(block)))
        worst = max(worst, taken - given)
    return worst


def _padded(samples: NDArray, length: int) -> NDArray:
    """The first samples, with zeros where there are fewer."""
    return np.pad(samples[:length], (0, max(0, length - len(samples))))


class UpperGain:
    """What the upper part of a network's band is multiplied by, frame by frame; 1 at most.

    Attributes:
        known: Samples at 16 kHz up to which the gain is known.
    """

    def __init__(self) -> None:
        self.buffers = np.zeros((2, FRAME // 2), np.float32)  # heard and left
        self.window = np.hanning(FRAME + 1)[:-1]
        self.powers = np.zeros((2, 0))  # of frames from number ``first`` on
        self.first, self.taken, self.known = 0, 0, 0
        self.gains = np.zeros(0)  # of frames from number ``first`` on

    def push(self, heard: NDArray, left: NDArray, last: bool) -> None:
        """Take in what the network heard and what it left of it, (time,) each."""
        self.taken += len(heard)
        self.buffers = np.concatenate([self.buffers, np.stack([heard, left])], 1)
        if last:
            self.buffers = np.pad(self.buffers, ((0, 0), (0, FRAME // 2)))
        first, end = (round(part * FRAME) for part in whole_band.BAND)
        powers = [self.powers]
        while self.buffers.shape[1] >= FRAME:
            spectrum = np.fft.rfft(self.buffers[:, :FRAME] * self.window)[:, first:end]
            powers.append((np.abs(spectrum) ** 2).sum(1, keepdims=True))
            self.buffers = self.buffers[:, HOP:]
        self.powers = np.concatenate(powers, 1)
        self._smooth(last)

    def _smooth(self, last: bool) -> None:
        """Gains of the frames whose neighbours are known."""
        count = self.powers.shape[1]
        for at in range(len(self.gains), count if last else max(0, count - SMOOTHED)):
            near = slice(max(0, at - SMOOTHED), at + SMOOTHED + 1)
            heard, left = self.powers[:, near].mean(1)
            gain = np.sqrt(min(1.0, left / heard)) if heard > 1e-14 else 1.0
            self.gains = np.append(self.gains, gain)
        self.known = max(0, self.first + len(self.gains) - 1) * HOP
        drop = max(0, len(self.gains) - 2000)  # so that memory stays flat
        if drop:
            self.first, self.gains = self.first + drop, self.gains[drop:]
            self.powers = self.powers[:, drop:]

    def at(self, samples: NDArray) -> NDArray:
        """The gain at samples of 16 kHz, between frames along a line."""
        if not len(self.gains):
            return np.ones(len(samples))
        return np.interp(samples / HOP - self.first, np.arange(len(self.gains)), self.gains)
