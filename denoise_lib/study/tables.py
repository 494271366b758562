"""Lines of the tables that notebooks show, from the rows of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from denoise_lib.display.mean import Mean
from denoise_lib.metrics.intervals import interval
from denoise_lib.names import METRICS, SPLITS, heading, label, number, over
from denoise_lib.names import condition as written
from denoise_lib.names import score as scored
from denoise_lib.study.run import Row, Run
from denoise_lib.study.verdicts import outcome

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
    """Lines of a table: a system each, then its mean in every measure; "identity" is "noisy".

    Args:
        run: Holds the rows.
        models: Names of the systems, in the order of the lines.
    """
    return [
        ["noisy" if model == "identity" else label(model)]
        + [Mean(run.value(condition, model, each, split, experiment)) for each in metrics]
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
        lines.append([written(condition), Mean(noisy_row(rows), "noisy"), *map(Mean, rows)])
    return lines


def noisy_row(rows: list[Row]) -> Row:
    """The row with the most clips: what the noisy clips score does not depend on the system."""
    return max(rows, key=lambda row: row["n"])


def winners(
    run: Run,
    models: Iterable[str],
    places: Iterable[tuple[str, str]],
    metrics: Iterable[str],
    *,
    experiment: str,
) -> list[list[str]]:
    """Lines of a table: a condition, whose clips, how many, then the best system by each measure.

    Args:
        run: Holds the rows.
        models: Names of the systems that count.
        places: (condition, split) of each line.

    Returns:
        One line for each place, such as ["street noise", "test clips, training voices", "32 clips
        of 3 voices", "RNNoise (8.5 dB)"]; an en dash where no system has a value. A system whose
        mean leaves clips out that others' means are over does not win.
    """
    models, metrics, lines = list(models), list(metrics), []
    for condition, split in places:
        line, found = [], []
        for metric in metrics:
            sign = 1 if METRICS[metric].better == "higher" else -1
            rows = [run.value(condition, model, metric, split, experiment) for model in models]
            rows = [row for row in rows if row["denoised"] is not None]
            rows = [row for row in rows if row["n"] == max(row["n"] for row in rows)]
            best = max(rows, key=lambda row: sign * row["denoised"], default=None)
            found += [best] if best else []
            line.append(
                f"{label(best['model'])} ({scored(metric, best['denoised'])})"
                if best
                else number(None)
            )
        where = [written(condition), SPLITS.get(split, split)]
        lines.append([*where, over(found) if found else number(None), *line])
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


def measured(found: dict[str, Row], metric: str) -> list[list[Any]]:
    """Lines of a table: a system each and its mean, the best first, those without one last.

    Args:
        found: By system, measurements over clips.
        metric: In which measure.
    """
    sign = 1 if METRICS[metric].better == "higher" else -1
    means = {
        name: Mean(row | {"metric": metric, "denoised": row["value"], "total": row["n"]})
        for name, row in found.items()
    }
    order = sorted(means, key=lambda name: (math.isnan(means[name]), -sign * means[name]))
    return [[label(name), means[name]] for name in order]


def point(values: list[float], voices: list[str]) -> tuple[float, list[float] | None]:
    """A mean over clips and its interval, over voices and their clips: what ``sweep`` draws."""
    mean, low, high = interval(values, voices)
    return mean, None if math.isnan(low) else [low, high]


def points(lines: Iterable[Row]) -> list[tuple[float, list[float] | None]]:
    """Values and intervals of rows or measurements: what ``figures.sweep`` draws."""
    return [(line.get("denoised", line.get("value")), line["ci95"]) for line in lines]
