"""The comparison of a sweep as one page, in the style and the words of the report."""

from __future__ import annotations

import base64
import json
from itertools import groupby
from pathlib import Path
from typing import Any

from denoise_lib.display import style
from denoise_lib.files import atomic
from denoise_lib.names import METRICS, SPLITS, heading, label, number, score, shown_decimals
from denoise_lib.names import condition as in_words
from denoise_lib.paths import TEMPLATE
from denoise_lib.report import page as report_page
from denoise_lib.study.verdicts import outcome
from denoise_lib.sweep.grid import written

Row = dict[str, Any]


def build(results: Row, path: Path) -> Path:
    """Write the page of a sweep.

    Args:
        results: What results.json of the sweep holds.
        path: The file to write.
    """
    points = _unique([cell["point"] for cell in results["cells"]])
    varied = [name for name in results["grid"] if len(_unique([p[name] for p in points])) > 1]
    fixed = {name: points[0][name] for name in results["grid"] if name not in varied}
    cells = [{**cell, "name": _name(cell, varied)} for cell in results["cells"]]
    done = [cell for cell in cells if cell["status"] == "finished"]
    text = json.dumps(results, indent=1, ensure_ascii=False)
    html = (
        report_page.environment()
        .get_template("sweep.html.j2")
        .render(
            results=results,
            notebook=results["notebook"],
            points=points,
            varied=varied,
            fixed=written(fixed) if fixed else "",
            seeds=_unique([cell["seed"] for cell in results["cells"]]),
            done=done,
            failed=[cell for cell in cells if cell["status"] != "finished"],
            commits=_unique([cell["commit"] for cell in done]),
            tables=tables(results["comparison"]),
            style=style,
            command=results["command"],
            css=(TEMPLATE / "page.css").read_text(encoding="utf-8"),
            script=(TEMPLATE / "table.js").read_text(encoding="utf-8"),
            download=base64.b64encode(text.encode()).decode(),
        )
    )
    with atomic(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return path


def _name(cell: Row, varied: list[str]) -> str:
    """A run by what tells it from the others: "learning_rate 0.001, seed 2"."""
    seed = {} if cell["seed"] is None else {"seed": cell["seed"]}
    return written({name: cell["point"][name] for name in varied} | seed)


def tables(comparison: list[Row]) -> list[Row]:
    """A table for each experiment, condition, model and split: a line per point, all its measures.

    Tables of test clips on which the points differ come first and are open; the others are folded.
    """
    kind = ("experiment", "condition", "model", "split")

    def key(row: Row) -> tuple:
        return tuple(row[each] for each in kind)

    found = []
    for (experiment, condition, model, split), rows in groupby(sorted(comparison, key=key), key):
        rows = list(rows)
        metrics = _unique([row["metric"] for row in rows])
        alike = all(not row["difference"] for row in rows)
        where = f"{label(model)} on {in_words(condition)}, {SPLITS.get(split, split)}"
        suffix = experiment.partition(":")[2]
        found.append(
            {
                "title": f"{where} ({suffix})" if suffix else where,
                "open": split == "test" and not alike,
                "alike": alike,
                "noisy": ", ".join(
                    f"{heading(row['metric'])} {score(row['metric'], row['noisy'])}"
                    for row in rows
                    if row["point"] == rows[0]["point"]
                ),
                "metrics": metrics,
                "lines": [
                    _line(point, [row for row in rows if row["point"] == point], metrics)
                    for point in _unique([row["point"] for row in rows])
                ],
            }
        )
    return sorted(found, key=lambda table: not table["open"])


def _line(point: dict[str, Any], rows: list[Row], metrics: list[str]) -> Row:
    by_metric = {row["metric"]: row for row in rows}
    scores = [_score(by_metric.get(metric), metric) for metric in metrics]
    return {"point": point, "seeds": max(row["seeds"] for row in rows), "scores": scores}


def _score(row: Row | None, metric: str) -> Row:
    """One score of one point in words; empty where it has none."""
    texts = ("sorted", "value", "ci95", "sorted_difference", "difference", "difference_ci95")
    if row is None:
        return dict.fromkeys((*texts, "outcome"), "")
    _, _, decimals, better = METRICS[metric]
    ends = row["difference_ci95"]
    shown = [each for each in (row["difference"], *(ends or ())) if each is not None]
    decimals = shown_decimals(decimals, shown) if shown else decimals
    return {
        "sorted": row["value"],
        "value": score(metric, row["value"]),
        "ci95": _interval(row["ci95"], METRICS[metric].decimals),
        "sorted_difference": row["difference"] or 0,
        "difference": "" if row["difference"] is None else number(row["difference"], decimals),
        "difference_ci95": _interval(ends, decimals),
        "outcome": outcome(*ends, better) if ends else "",
    }


def _interval(ends: list[float] | None, decimals: int) -> str:
    return f"[{number(ends[0], decimals)}, {number(ends[1], decimals)}]" if ends else ""


def _unique(values: list[Any]) -> list[Any]:
    """The different values in their order, of any kind."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found
