"""Intervals of means: over voices and their clips, over seeds."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student


def interval(
    values: ArrayLike, voices: ArrayLike | None = None, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean of some scores and its 95 % interval, by percentile bootstrap clustered by voice.

    A resample draws as many voices as there are, with replacement, then for every drawn voice as
    many of its clips as it has: clips of one voice are alike, and only new voices tell how the
    mean carries over to others. From few voices that is told badly: the variance between V
    voices comes out (V - 1) / V as large, and the interval too narrow: in simulations with 30 clips
    of each of 3 voices, which differed half as much as clips do, it held the true mean 82 times in
    100 (one over clips alone 53 times), with 10 voices 93 times, with 40 voices 96 times. Where
    voices do not differ at all it is up to 1.4 times as wide as it need be, since clips are drawn
    at both levels. With one voice this is the bootstrap over its clips, and the interval speaks for
    that voice alone.

    Args:
        values: One finite score per clip, any unit.
        voices: The voice of each clip, any labels; all clips are of one when left out.
        resamples: Bootstrap samples drawn.
        seed: Seed of their own generator: the same scores always give the same interval.

    Returns:
        (mean, low, high); low and high are NaN for fewer than two values, from which no spread can
        be told.

    Raises:
        ValueError: No values, a value that is not finite, or not one voice for each.

    References:
        Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13; Davison, Hinkley,
        "Bootstrap Methods and their Application", 1997, section 3.8, strategy with replacement at
        both levels.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"interval() needs a list of finite scores, got {values!r}")
    voices = np.zeros(len(values)) if voices is None else np.asarray(voices)
    if voices.shape != values.shape:
        raise ValueError(
            f"interval() needs one voice per clip, got {voices.shape} for {values.shape}"
        )
    names, owner = np.unique(voices, return_inverse=True)
    by_voice = [values[owner == index] for index in range(len(names))]
    return _bootstrap(values, by_voice, resamples, seed)


def paired_difference(
    a: ArrayLike, b: ArrayLike, voices: ArrayLike, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean of ``a - b`` over clips and its 95 % interval, by paired bootstrap clustered by voice.

    Args:
        a: One finite score per clip of the one system, any unit.
        b: Those of the other system, for the same clips in the same order.
        voices, resamples, seed: As in :func:`interval`.

    Returns:
        (mean, low, high); low and high are NaN for a single clip.

    Raises:
        ValueError: Lists of different lengths, no clips, or a score that is not finite.
    """
    a, b = (np.asarray(each, dtype=np.float64) for each in (a, b))
    voices = np.asarray(voices)
    if not a.shape == b.shape == voices.shape or a.ndim != 1:
        raise ValueError(
            "paired_difference() needs one score of each system and one voice per clip, got "
            f"{a.shape}, {b.shape} and {voices.shape}"
        )
    difference = a - b
    if not difference.size or not np.isfinite(difference).all():
        raise ValueError(f"paired_difference() needs finite scores, got {a!r} and {b!r}")
    return interval(difference, voices, resamples, seed)


def _bootstrap(
    values: NDArray[np.float64], by_voice: list[NDArray[np.float64]], resamples: int, seed: int
) -> tuple[float, float, float]:
    """Mean of values and the ends of its interval, by resampling voices and their clips."""
    if values.size == 1:
        return float(values[0]), math.nan, math.nan
    generator = np.random.default_rng(seed)
    # About a million scores at once, so that memory does not grow with the test set: a voice is
    # drawn once in a resample, on average.
    block = max(1, 1_000_000 // max(len(by_voice), *map(len, by_voice)))
    means = [
        _resampled_means(by_voice, min(block, resamples - start), generator)
        for start in range(0, resamples, block)
    ]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def _resampled_means(
    by_voice: list[NDArray[np.float64]], resamples: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Means over all clips of two-level resamples, (resamples,)."""
    sizes = np.array([len(each) for each in by_voice])
    drawn = generator.integers(len(by_voice), size=(resamples, len(by_voice)))
    sums = np.empty(drawn.shape)
    for index, values in enumerate(by_voice):
        chosen = drawn == index
        clips = generator.integers(len(values), size=(np.count_nonzero(chosen), len(values)))
        sums[chosen] = values[clips].sum(axis=1)
    return sums.sum(axis=1) / sizes[drawn].sum(axis=1)


def over_seeds(values: list[float]) -> tuple[float, list[float] | None]:
    """Mean over seeds and its 95 % interval, by Student's t; no interval from one seed.

    It speaks for other seeds with the same test clips, and takes the seeds' values for normal.
    """
    values = np.asarray(values, dtype=np.float64)
    mean, seeds = float(values.mean()), len(values)
    if seeds < 2:
        return mean, None
    half = float(student.ppf(0.975, seeds - 1) * values.std(ddof=1) / seeds**0.5)
    return mean, [mean - half, mean + half]
