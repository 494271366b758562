"""Lines of the tables that notebooks show, from the rows of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from denoise_lib.names import METRICS, SPLITS, heading, label, number, shown_decimals
from denoise_lib.names import condition as written
from denoise_lib.names import score as scored
from denoise_lib.study.run import Row, Run
from denoise_lib.study.verdicts import outcome

DIFFERENCE = [
    "systems",
    "condition",
    "measure",
    "difference",
    "95 % interval",
    "clips",
    "voices",
    "what it shows",
]
OVER_SEEDS = ["systems", "measure", "difference", "95 % interval", "seeds", "what it shows"]


def by_measure(
    run: Run,
    models: Iterable[str],
    condition: str,
    metrics: Iterable[str],
    *,
    experiment: str,
    split: str = "test",
) -> list[list[Any]]:
    """Lines of a table: a system each, then its mean in every measure.

    Args:
        run: Holds the rows.
        models: Names of the systems, in the order of the lines.
    """
    return [
        [label(model)]
        + [run.value(condition, model, each, split, experiment)["denoised"] for each in metrics]
        for model in models
    ]


def by_condition(
    run: Run,
    models: Iterable[str],
    conditions: Iterable[str],
    metric: str = "wsdr",
    *,
    experiment: str,
    split: str = "test",
) -> list[list[Any]]:
    """Lines of a table: a condition each, then the noisy mean and that of every system.

    Args:
        run: Holds the rows.
        models: Names of the systems, in the order of the columns.
    """
    lines = []
    for condition in conditions:
        rows = [run.value(condition, model, metric, split, experiment) for model in models]
        lines.append([condition, rows[0]["noisy"], *(row["denoised"] for row in rows)])
    return lines


def winners(
    run: Run,
    models: Iterable[str],
    places: Iterable[tuple[str, str]],
    metrics: Iterable[str],
    *,
    experiment: str,
) -> list[list[str]]:
    """Lines of a table: a condition and whose clips, then the best system of every measure.

    Args:
        run: Holds the rows.
        models: Names of the systems that count.
        places: (condition, split) of each line.

    Returns:
        One line for each place, such as ["street noise", "test clips, training voices", "RNNoise
        (8.5 dB)"]; an en dash where no system has a value.
    """
    models, metrics, lines = list(models), list(metrics), []
    for condition, split in places:
        line = [written(condition), SPLITS.get(split, split)]
        for metric in metrics:
            sign = 1 if METRICS[metric].better == "higher" else -1
            rows = [run.value(condition, model, metric, split, experiment) for model in models]
            rows = [row for row in rows if row["denoised"] is not None]
            best = max(rows, key=lambda row: sign * row["denoised"], default=None)
            line.append(
                f"{label(best['model'])} ({scored(metric, best['denoised'])})"
                if best
                else number(None)
            )
        lines.append(line)
    return lines


def differences(rows: Iterable[Row]) -> list[list[Any]]:
    """Lines of a table with the columns ``DIFFERENCE``, from what ``Run.compare`` returned.

    A difference that is shown has as many decimals as it needs not to read as zero.
    """
    lines = []
    for row in rows:
        _, unit, decimals, better = METRICS[row["metric"]]
        low, high = row["ci95"] or (None, None)
        shown = "" if low is None else outcome(low, high, better)
        if shown in ("better", "worse"):
            decimals = shown_decimals(decimals, (row["mean"], low, high))
        interval = " to ".join(number(each, decimals) for each in (low, high))
        lines.append(
            [
                f"{label(row['a'])} minus {label(row['b'])}",
                written(row["condition"]),
                " (".join(filter(None, [heading(row["metric"]), unit and f"{unit})"])),
                number(row["mean"], decimals),
                interval if low is not None else number(None),
                row["n"],
                row["voices"],
                shown,
            ]
        )
    return lines


def differences_over_seeds(measured: Iterable[tuple[Row, str]]) -> list[list[Any]]:
    """Lines of a table with the columns ``OVER_SEEDS``.

    Args:
        measured: What :func:`denoise_lib.study.seeds.compare_seeds` returned, and the measure.
    """
    lines = []
    for row, metric in measured:
        _, unit, decimals, better = METRICS[metric]
        decimals += 1  # differences are small
        interval = " to ".join(number(each, decimals) for each in row["ci95"] or ())
        lines.append(
            [
                label(row["of"]),
                " (".join(filter(None, [heading(metric), unit and f"{unit})"])),
                number(row["value"], decimals),
                interval or number(None),
                row["n"],
                outcome(*row["ci95"], better) if row["ci95"] else "",
            ]
        )
    return lines


def points(lines: Iterable[Row]) -> list[tuple[float, list[float] | None]]:
    """Values and intervals of rows or measurements: what ``figures.sweep`` draws."""
    return [(line.get("denoised", line.get("value")), line["ci95"]) for line in lines]
