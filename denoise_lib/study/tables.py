"""Lines of the tables that notebooks show, from the rows of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from denoise_lib.names import label
from denoise_lib.study.run import Row, Run


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


def points(lines: Iterable[Row]) -> list[tuple[float, list[float] | None]]:
    """Values and intervals of rows or measurements: what ``figures.sweep`` draws."""
    return [(line.get("denoised", line.get("value")), line["ci95"]) for line in lines]
