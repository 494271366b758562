"""Rows of results in words: the clauses of a notebook's verdicts."""

from __future__ import annotations

import math

from denoise_lib.names import METRICS, condition, counted, label, number, shown_decimals
from denoise_lib.study.run import Row, Run


def describe(row: Row, what: str) -> str:
    """Verdict clause of a result row: before, after, interval, number of clips and voices."""
    interval = f" [{number(row['ci95'][0])}, {number(row['ci95'][1])}]" if row["ci95"] else ""
    return (
        f"{what}: {condition(row['condition'])} goes from wSDR "
        f"{number(row['noisy'])} to {number(row['denoised'])}{interval} on "
        + counted(row["n"], row["voices"], "test clip")
        + f", {row['total'] - row['n']} more have no score" * (row["n"] < row["total"])
    )


def describe_unseen(run: Run, condition: str, model: str, *, experiment: str | None = None) -> str:
    """Verdict clause of a voice that was kept out of training; says so where there is none."""
    try:
        row = run.value(condition, model, split="unseen_voice", experiment=experiment)
    except KeyError:
        return "this corpus keeps no voice out of training"
    return (
        f"for a voice never heard in training it goes from {number(row['noisy'])} to "
        f"{number(row['denoised'])} on {row['n']} clips"
    )


def describe_difference(row: Row) -> str:
    """Verdict clause of a difference between two systems: how much, interval, what it shows."""
    name, unit, decimals, better = METRICS[row["metric"]]
    what = f"{label(row['a'])} minus {label(row['b'])}"
    where = condition(row["condition"])
    if row["mean"] is None:
        return f"{what}: no clip of {where} has a {name} of both"
    low, high = row["ci95"] or (-math.inf, math.inf)
    if apart := low > 0 or high < 0:
        decimals = shown_decimals(decimals, (row["mean"], low, high))
    written = " ".join(filter(None, [name, number(row["mean"], decimals), unit]))
    number_of = f"on {counted(row['n'], row['voices'])}"
    if row["ci95"] is None:
        return f"{what}: {written} for {where} {number_of}"
    shown = "no difference is shown"
    if apart:
        shown = "better" if (low > 0) == (better == "higher") else "worse"
    return (
        f"{what}: {written} [{number(low, decimals)}, {number(high, decimals)}] for {where} "
        f"{number_of}, {shown}"
    )


def describe_seeds(measured: Row, metric: str) -> str:
    """Verdict clause of a difference over seeds: how much, interval, what it shows.

    Args:
        measured: What :func:`denoise_lib.study.seeds.compare_seeds` returned for this metric.
    """
    name, unit, decimals, better = METRICS[metric]
    decimals += 1  # differences are small
    written = f"{label(measured['of'])}: {name} {number(measured['value'], decimals)}"
    written += f" {unit}" if unit else ""
    if measured["ci95"] is None:
        return f"{written} from {measured['n']} seed"
    low, high = measured["ci95"]
    shown = "no difference is shown"
    if low > 0 or high < 0:
        shown = "better" if (low > 0) == (better == "higher") else "worse"
    interval = f"[{number(low, decimals)}, {number(high, decimals)}]"
    return f"{written} {interval} over {measured['n']} seeds, {shown}"


def sorted_out(differences: list[Row]) -> str:
    """Verdict clauses of the lines that :meth:`~denoise_lib.study.run.Run.compare` gave.

    They say which are worse than the first, which better, and of which neither is shown by these
    clips.
    """
    found = {"worse": [], "better": [], "no difference is shown": []}
    for row in sorted(differences, key=lambda row: -row["mean"]):
        low, high = row["ci95"] or (-1.0, 1.0)
        side = "worse" if low > 0 else "better" if high < 0 else "no difference is shown"
        by = "" if side.startswith("no") else f" by {number(abs(row['mean']), 4)}"
        found[side].append(f"{label(row['a'])}{by}")
    return "; ".join(f"{side}: {', '.join(names)}" for side, names in found.items() if names)
