"""Differences between two systems on the same clips, with intervals that respect the voices."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from denoise_lib.metrics.evaluate import failed
from denoise_lib.metrics.intervals import paired_difference

Record = dict[str, Any]  # of one clip in one metric, with the keys of run.CLIP_COLUMNS
System = str | tuple[str, str]  # a model, or (experiment, model)
SAME = 1e-3  # two noisy scores of one clip that differ by more are of different damage


def difference_row(
    clips: Iterable[Record], a: System, b: System, *, condition: str, split: str, metric: str
) -> dict[str, Any]:
    """One line of results: system `a` minus system `b` on the clips that both have a score of.

    Args:
        clips: Records of single clips, one per metric.
        a, b: A model ("dcunet"), or (experiment, model) where several experiments have scored it.
            As `b`, "noisy" stands for what `a` was given.

    Returns:
        {condition, split, metric, a, b, a_experiment, b_experiment, mean, ci95, n, total, voices}:
        `mean` and `ci95` of the difference over `n` clips out of `total`, from a number of
        `voices`. Both are None where there are none, and where one of the two gave no score of a
        clip that has one when noisy: the clips that are left would flatter it.

    Raises:
        KeyError: There are no such scores, or of several experiments.
        ValueError: The systems were not scored on the same clips with the same damage.
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
    lost = any(_failed(each) for each in (*one.values(), *other.values()))
    mean, low, high = [math.nan] * 3
    if pairs and not lost:
        mean, low, high = paired_difference(*zip(*pairs, strict=True))
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


def _failed(record: Record) -> bool:
    """Whether a system gave no score of a clip that has one when noisy."""
    sides = {side: {record["metric"]: record[side]} for side in ("noisy", "denoised")}
    return failed({**sides, "reason": {record["metric"]: record.get("reason")}}, record["metric"])


def _scores(
    clips: Iterable[Record], system: System, where: dict[str, str]
) -> tuple[dict[str, Record], str, str]:
    """Records by clip, experiment and model of one system."""
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


def _check_pairs(one: dict[str, Record], other: dict[str, Record], what: str) -> None:
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
