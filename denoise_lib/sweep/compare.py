"""The points of a sweep compared: means over seeds, their intervals, differences to the first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from denoise_lib.metrics.intervals import over_seeds

Row = dict[str, Any]
KEY = ("experiment", "condition", "model", "split", "metric")


def comparison(cells: Sequence[Row]) -> list[Row]:
    """One row for each point and each score, over the seeds that are finished.

    The interval is Student's over seeds: it speaks for other seeds, which fix the weights, the
    crops and the damage. From one seed there is none. Differences to the first point are taken
    seed by seed, over the seeds that both have.

    Args:
        cells: {"point", "seed", "results"} of each, in the order of the grid.

    Returns:
        Rows of {"point", experiment, condition, model, split, metric, "seeds", "noisy", "value",
        "ci95", "difference", "difference_ci95"}, by score and then in the order of the points; a
        difference is None for the first point.
    """
    points: list[dict[str, Any]] = []
    scores: dict[tuple, dict[int, dict[Any, Row]]] = {}
    for cell in cells:
        if cell["point"] not in points:
            points.append(cell["point"])
        index = points.index(cell["point"])
        for row in cell["results"]:
            if row["denoised"] is not None:
                key = tuple(row[each] for each in KEY)
                scores.setdefault(key, {}).setdefault(index, {})[cell["seed"]] = row
    return [
        _line(dict(zip(KEY, key, strict=True)), points[index], by_point[index], by_point.get(0, {}))
        for key, by_point in scores.items()
        for index in sorted(by_point)
    ]


def _line(key: Row, point: dict[str, Any], rows: dict[Any, Row], first: dict[Any, Row]) -> Row:
    mean, ci95 = over_seeds([row["denoised"] for row in rows.values()])
    line = {"point": point, **key, "seeds": len(rows)}
    line["noisy"] = math.fsum(row["noisy"] for row in rows.values()) / len(rows)
    line |= {"value": mean, "ci95": ci95, "difference": None, "difference_ci95": None}
    both = [seed for seed in rows if seed in first]
    if rows is not first and both:
        gaps = [rows[seed]["denoised"] - first[seed]["denoised"] for seed in both]
        line["difference"], line["difference_ci95"] = over_seeds(gaps)
    return line
