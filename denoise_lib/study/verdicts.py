"""Rows of results in words: the clauses of a notebook's verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterable

from denoise_lib.names import METRICS, change_of_ratio, counted, listed, number, score
from denoise_lib.names import condition as written
from denoise_lib.study.run import Row, Run


def describe_network(
    run: Run, condition: str, model: str, what: str, *, experiment: str | None = None
) -> str:
    """A verdict's sentence: what a network does to SI-SDR, where it was taken, and to wSDR."""
    row = run.value(condition, model, experiment=experiment)
    if row["denoised"] is None:
        return f"For {written(condition)}, {what} has no result: {row.get('reason', 'no scores')}."
    interval = f" [{number(row['ci95'][0])}, {number(row['ci95'][1])}]" if row["ci95"] else ""
    wsdr = f"wSDR from {number(row['noisy'])} to {number(row['denoised'])}{interval}"
    over = "on " + counted(row["n"], row["voices"], "test clip")
    over += f"; {row['total'] - row['n']} more have no score" * (row["n"] < row["total"])
    where = f"For {written(condition)}, {what}"
    if not (ratio := _ratio(run, condition, model, experiment)):
        return f"{where} takes the mean {wsdr} {over}."
    return f"{where} {change_of_ratio(ratio)} ({wsdr}) {over}."


def describe_harm(
    run: Run, conditions: Iterable[str], model: str, *, experiment: str | None = None
) -> str:
    """Further sentences where a network does harm: where its SI-SDR is below that of the noisy.

    Each begins with a space; empty where there is no harm, or nothing to tell it by. The voice that
    was kept out of the training is told of where it fares worse than the others.
    """
    ratios = {
        split: {each: _ratio(run, each, model, experiment, split) for each in conditions}
        for split in ("test", "unseen_voice")
    }
    harmed = {
        split: [each for each, row in rows.items() if row and row["denoised"] < row["noisy"]]
        for split, rows in ratios.items()
    }
    parts = [
        f"for {written(each)}, where SI-SDR falls from {score('si_sdr', row['noisy'])} to "
        f"{score('si_sdr', row['denoised'])}"
        for each in harmed["test"]
        for row in [ratios["test"][each]]
    ]
    text = f" It does harm {' and '.join(parts)}." if parts else ""
    if set(harmed["unseen_voice"]) - set(harmed["test"]):
        falls = listed([f"for {written(each)}" for each in harmed["unseen_voice"]])
        text += f" On the voice never heard in training, SI-SDR falls {falls}."
    return text


def _ratio(
    run: Run, condition: str, model: str, experiment: str | None, split: str = "test"
) -> Row | None:
    """The row of SI-SDR on the clips of a split, if it was taken."""
    try:
        row = run.value(condition, model, "si_sdr", split=split, experiment=experiment)
    except KeyError:
        return None
    return row if row["denoised"] is not None else None


def with_interval(row: Row, decimals: int) -> str:
    """A difference that ``Run.compare`` gave, with its interval: "0.12 [0.08, 0.15]"."""
    low, high = (number(each, decimals) for each in row["ci95"] or (None, None))
    return f"{number(row['mean'], decimals)} [{low}, {high}]"


def outcome(low: float, high: float, better: str) -> str:
    """What the interval of a difference shows.

    Args:
        better: "higher" or "lower", the direction in which the measure is better.
    """
    if low <= 0 <= high:
        return "no difference shown"
    return "better" if (low > 0) == (better == "higher") else "worse"


def copy_db(wsdr: float | None) -> float | None:
    """SI-SDR of a copy, dB, from its wSDR, which without noise is minus the cosine similarity."""
    if wsdr is None:
        return None
    cosine = min(-wsdr, 1 - 1e-12)
    return 10 * math.log10(cosine**2 / (1 - cosine**2))


PASSED_DB = 15.0  # SI-SDR of a copy with which the identity check is passed


def describe_identity(what: str, row: Row, steps: int) -> str:
    """A verdict's sentences: whether a network that was trained to copy its input can.

    Args:
        what: The network, as the subject of a sentence.
        row: Of results, of the copies; undamaged clips have no noise, so wSDR tells SI-SDR.
        steps: Optimiser steps of the training.
    """
    reached = copy_db(row["denoised"])
    passed = reached is not None and reached >= PASSED_DB
    outcome = "passed" if passed else "not passed"
    return (
        f"Identity check {outcome}. After {steps} steps on {row['n']} clips {what} copies them "
        f"with an SI-SDR of {score('si_sdr', reached)} (wSDR {number(row['denoised'])}; a perfect "
        f"copy scores {number(-1, 0)})."
    )


def describe_unseen(run: Run, condition: str, model: str, *, experiment: str | None = None) -> str:
    """Verdict clause of a voice that was kept out of training; says so where there is none."""
    try:
        row = run.value(condition, model, split="unseen_voice", experiment=experiment)
    except KeyError:
        return "this corpus keeps no voice out of training"
    return (
        f"for a voice never heard in training wSDR goes from {number(row['noisy'])} to "
        f"{number(row['denoised'])} on {counted(row['n'], row['voices'])}"
    )


def describe_seeds(measured: Row, metric: str, what: str) -> str:
    """A verdict's sentence on a difference over seeds: how much, interval, what it shows.

    Args:
        measured: What :func:`denoise_lib.study.seeds.compare_seeds` returned for this metric.
        what: What made the difference, as the subject of a sentence.
    """
    name, unit, decimals, better = METRICS[metric]
    decimals += 1  # differences are small
    text = f"{what} changes {name} by {number(measured['value'], decimals)}"
    text += f" {unit}" if unit else ""
    if measured["ci95"] is None:
        return f"{text}, with {measured['n']} seed."
    low, high = (number(each, decimals) for each in measured["ci95"])
    shown = {"better": "an improvement", "worse": "harm"}.get(
        outcome(*measured["ci95"], better), "no difference is shown"
    )
    return f"{text} [{low}, {high}] over {measured['n']} seeds: {shown}."
