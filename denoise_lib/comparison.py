"""Differences between two systems on the same clips, with intervals that respect the voices."""

import math

import numpy as np

from .labels import label

SAME = 1e-3  # two noisy scores of one clip that differ by more are of different damage


def paired_difference(a, b, voices, resamples=10_000, seed=0):
    """Mean of `a - b` over clips and its 95 % interval, by paired bootstrap clustered by voice.

    A resample draws as many voices as there are, with replacement, then for every drawn voice as
    many of its clips as it has: clips of one voice are alike, and only new voices tell how the
    difference carries over to others. From few voices that is told badly: the variance between V
    voices comes out (V - 1) / V as large, and the interval too narrow: in simulations with 30 clips
    of each of 3 voices, which differed half as much as clips do, it held the true mean 82 times in
    100 (one over clips alone 53 times), with 10 voices 93 times, with 40 voices 96 times. Where
    voices do not differ at all it is up to 1.4 times as wide as it need be, since clips are drawn
    at both levels. With one voice this is the bootstrap over its clips, and the interval speaks for
    that voice alone.

    Args:
        a, b: one finite score per clip of either system, the same clips in one order, any unit.
        voices: the voice of each clip, any labels.
        resamples: bootstrap samples drawn, with a generator of their own seeded by `seed`.

    Returns:
        (mean, low, high) as floats; low and high are NaN for a single clip.

    Raises:
        ValueError: lists of different lengths, no clips, or a score that is not finite.

    Source: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8,
        strategy with replacement at both levels.
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
    if difference.size == 1:
        return float(difference[0]), math.nan, math.nan
    names, owner = np.unique(voices, return_inverse=True)
    by_voice = [difference[owner == index] for index in range(len(names))]
    generator = np.random.default_rng(seed)
    # About a million scores at once, so that memory does not grow with the test set: a voice is
    # drawn once in a resample, on average.
    block = max(1, 1_000_000 // max(len(names), *map(len, by_voice)))
    means = [
        _resampled_means(by_voice, min(block, resamples - start), generator)
        for start in range(0, resamples, block)
    ]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(difference.mean()), float(low), float(high)


def _resampled_means(by_voice, resamples, generator):
    """Means over all clips of two-level resamples, (resamples,)."""
    sizes = np.array([len(each) for each in by_voice])
    drawn = generator.integers(len(by_voice), size=(resamples, len(by_voice)))
    sums = np.empty(drawn.shape)
    for index, values in enumerate(by_voice):
        chosen = drawn == index
        clips = generator.integers(len(values), size=(np.count_nonzero(chosen), len(values)))
        sums[chosen] = values[clips].sum(axis=1)
    return sums.sum(axis=1) / sizes[drawn].sum(axis=1)


def difference_row(clips, a, b, *, condition, split, metric):
    """One line of results: system `a` minus system `b` on the clips that both have a score of.

    Args:
        clips: records of single clips, one per metric, with the keys of `results.CLIP_COLUMNS`.
        a, b: a model ("dcunet"), or (experiment, model) where several experiments have scored it.
            As `b`, "noisy" stands for what `a` was given.

    Returns:
        {condition, split, metric, a, b, a_experiment, b_experiment, mean, ci95, n, total, voices}:
        `mean` and `ci95` of the difference over `n` clips out of `total`, None where there are
        none, from a number of `voices`.

    Raises:
        KeyError: no such scores, or of several experiments.
        ValueError: the systems were not scored on the same clips with the same damage.
    """
    where = {"condition": condition, "split": split, "metric": metric}
    one, a_experiment, a = _scores(clips, a, where)
    if b == "noisy":
        other = {name: {**each, "denoised": each["noisy"]} for name, each in one.items()}
        b_experiment = a_experiment
    else:
        other, b_experiment, b = _scores(clips, b, where)
    _check_pairs(one, other, f"{a} and {b}, {condition}, {split}, {metric}")
    pairs = [
        (each["denoised"], other[name]["denoised"], each["voice"])
        for name, each in one.items()
        if None not in (each["denoised"], other[name]["denoised"])
    ]
    mean, low, high = paired_difference(*zip(*pairs, strict=True)) if pairs else [math.nan] * 3
    return {
        **where,
        "a": a,
        "b": b,
        "a_experiment": a_experiment,
        "b_experiment": b_experiment,
        "mean": None if math.isnan(mean) else mean,
        "ci95": None if math.isnan(low) else [low, high],
        "n": len(pairs),
        "total": len(one),
        "voices": len({voice for _, _, voice in pairs}),
    }


def _scores(clips, system, where):
    """({clip: record}, experiment, model) of one system."""
    wanted = where | (
        {"model": system}
        if isinstance(system, str)
        else dict(zip(("experiment", "model"), system, strict=True))
    )
    found = [each for each in clips if wanted.items() <= each.items()]
    experiments = sorted({each["experiment"] for each in found})
    if len(experiments) != 1:
        raise KeyError(
            f"{len(experiments)} experiments hold {wanted}"
            + (f": {', '.join(experiments)}; name one" if experiments else "")
        )
    by_clip = {each["clip"]: each for each in found}
    if len(by_clip) != len(found):
        raise ValueError(f"{experiments[0]} holds clips of {wanted} twice")
    return by_clip, experiments[0], wanted["model"]


def _check_pairs(one, other, what):
    """Refuse systems whose scores cannot be paired."""
    if one.keys() != other.keys():
        raise ValueError(
            f"{what}: not the same clips, {len(one.keys() - other.keys())} of the first are not "
            f"among the second's and {len(other.keys() - one.keys())} the other way round"
        )
    for name, each in one.items():
        noisy = each["noisy"], other[name]["noisy"]
        if None not in noisy and not math.isclose(*noisy, rel_tol=SAME, abs_tol=SAME):
            raise ValueError(
                f"{what}: not the same damage, {name} scores {noisy[0]:.4f} and {noisy[1]:.4f} "
                "when noisy"
            )


def by_measure(run, models, condition, metrics, *, experiment, split="test"):
    """Lines of a table: a system each, then its mean in every measure.

    Args:
        run: :class:`denoise_lib.results.Run` that holds the rows.
        models: Names of the systems, in the order of the lines.
    """
    return [
        [label(model)]
        + [run.value(condition, model, each, split, experiment)["denoised"] for each in metrics]
        for model in models
    ]


def by_condition(run, models, conditions, metric="wsdr", *, experiment, split="test"):
    """Lines of a table: a condition each, then the noisy mean and that of every system.

    Args:
        run: :class:`denoise_lib.results.Run` that holds the rows.
        models: Names of the systems, in the order of the columns.
    """
    lines = []
    for condition in conditions:
        rows = [run.value(condition, model, metric, split, experiment) for model in models]
        lines.append([condition, rows[0]["noisy"], *(row["denoised"] for row in rows)])
    return lines
