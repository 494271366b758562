"""How loud speech is, whatever else a recording holds: pauses, an offset, a thump.

The level is that of active speech, after ITU-T P.56: the mean power of the stretches that are less
than 15.9 dB below it. What is loud for less than a second in all counts no more than 6 dB above
the rest, so that a thump does not decide.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STRETCH = 0.02  # s of which a power is taken
MARGIN_DB = 15.9  # P.56: what lies further below the level is a pause
RARE = 1.0  # s in all: what is louder than the rest for less than that
ABOVE_DB = 6.0  # what is rare counts no more than this above the rest
MEANS = 8192  # stretches at most of which the mean is kept
LOWEST, BIN_DB, BINS = -160.0, 0.1, 3600  # dB re full scale: a histogram from -160 to 200
INTEGERS = 128.0  # a float recording with peaks beyond this holds integers, not a full scale of 1


class Meter:
    """Measures every channel of a recording that comes block by block, in constant memory.

    Args:
        rate: Samples per second.
        channels: Number of channels.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self.size = max(1, round(STRETCH * rate))
        self.frames, self.rate = 0, rate
        self.products = np.zeros((channels, channels))
        self.peak = np.zeros(channels)
        self.finite = True
        # The offset is known at the end only, so powers are taken around each stretch's own mean;
        # 20 ms hold a period of every voice.
        self.counts = np.zeros((channels, BINS), np.int64)
        self.rest = np.zeros((0, channels), np.float32)
        self.means, self.every, self.seen = [], 1, 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Take in a block, (time, channels)."""
        if not len(block):
            return
        if not np.isfinite(block).all():
            self.finite = False
            block = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
        exact = block.astype(np.float64)
        self.frames += len(block)
        self.products += exact.T @ exact
        self.peak = np.maximum(self.peak, np.abs(block).max(0))
        joined = np.concatenate([self.rest, block])
        whole = len(joined) // self.size * self.size
        self._count(joined[:whole])
        self.rest = joined[whole:]

    def _count(self, stretches: NDArray[np.float32]) -> None:
        if not len(stretches):
            return
        stretches = stretches.reshape(-1, self.size, stretches.shape[1]).astype(np.float64)
        self._keep_means(stretches.mean(axis=1))
        power = stretches.var(axis=1, ddof=min(1, self.size - 1))
        for channel, each in enumerate(power.T):
            each = each[each > 10 ** (LOWEST / 10)]
            place = ((10 * np.log10(each) - LOWEST) / BIN_DB).astype(int).clip(0, BINS - 1)
            self.counts[channel] += np.bincount(place, minlength=BINS)

    def _keep_means(self, means: NDArray[np.float64]) -> None:
        """Keep the means of some thousand stretches, evenly over the recording."""
        self.means += list(means[-self.seen % self.every :: self.every])
        self.seen += len(means)
        while len(self.means) > MEANS:
            self.means, self.every = self.means[::2], 2 * self.every

    @property
    def offset(self) -> NDArray[np.float64]:
        """The constant part of each channel, where it is more than a tenth of the level.

        It is the median of what stretches have, so that a thump to one side is none.
        """
        if self.frames < self.rate / 2:
            return np.zeros(len(self.peak))
        mean = np.median(self.means, axis=0)
        return np.where(np.abs(mean) > 0.1 * self._active(), mean, 0.0)

    @property
    def level(self) -> NDArray[np.float64]:
        """RMS of active speech in each channel re full scale, without offset; 0 for silence."""
        if self.counts.any():
            return self._active()
        if not self.frames:
            return np.zeros(len(self.peak))
        return np.sqrt(np.diag(self.products) / self.frames)  # shorter than a stretch

    def _active(self) -> NDArray[np.float64]:
        return np.array([active_level(each, RARE / STRETCH) for each in self.counts])

    def opposite(self) -> bool:
        """Whether a mean of the channels would lose most of what they hold."""
        alone = np.trace(self.products) / len(self.peak)
        mixed = self.products.sum() / len(self.peak) ** 2
        sounding = self.products.diagonal() > 1e-4 * self.products.diagonal().max()
        return bool(sounding.sum() > 1 and mixed < 0.05 * alone)

    def weights(self) -> NDArray[np.float32]:
        """What each channel is multiplied by in a mix: silent ones 0, opposite ones -1.

        The sum over the channels that sound is divided by their number: a voice that is in one
        channel alone keeps its level, and one that is in two with opposite signs is not lost.
        """
        energy = self.products.diagonal()
        if not energy.max() > 0:
            return np.full(len(energy), 1 / len(energy), np.float32)
        sounding = energy > 1e-4 * energy.max()
        loudest = int(energy.argmax())
        signs = np.ones(len(energy))
        if self.opposite():
            signs = np.where(self.products[loudest] < 0, -1.0, 1.0)
        return (signs * sounding / sounding.sum()).astype(np.float32)


def active_level(counts: NDArray[np.int64], rare: float) -> float:
    """RMS of active speech re full scale from a histogram of powers in dB.

    Args:
        counts: Stretches in each bin of ``BIN_DB`` from ``LOWEST`` on.
        rare: Number of stretches that can be a thump.
    """
    total = counts.sum()
    if not total:
        return 0.0
    decibels = LOWEST + BIN_DB * (np.arange(BINS) + 0.5)
    louder = counts[::-1].cumsum()[::-1]  # stretches as loud as this bin or louder
    common = np.flatnonzero(louder >= min(rare, total / 4))[-1]
    power = 10 ** (np.minimum(decibels, decibels[common] + ABOVE_DB) / 10)
    level, active = (counts * power).sum() / total, None
    for _ in range(50):
        chosen = decibels >= 10 * np.log10(level) - MARGIN_DB
        if active is not None and (chosen == active).all():
            break
        active = chosen
        level = (counts * power)[active].sum() / max(1, counts[active].sum())
    return float(np.sqrt(level))


def integer_scale(peak: float) -> float:
    """What a float recording with that peak must be divided by: 1, or an integer's full scale."""
    if peak <= INTEGERS:
        return 1.0
    return next((scale for scale in (2.0**15, 2.0**23, 2.0**31) if peak <= scale), 1.0)
