"""Means as tables show them: with their interval, and over how many clips of how many voices."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from denoise_lib.names import heading, listed, number, over


class Mean(float):
    """A mean over clips, which is a number and knows how well it is known; NaN where there is none.

    Args:
        row: A row of results.
        side: "denoised" or "noisy".
    """

    def __new__(cls, row: dict[str, Any], side: str = "denoised") -> Mean:
        """The number itself."""
        value = row[side]
        mean = super().__new__(cls, math.nan if value is None else value)
        mean.row, mean.ci95 = row, row.get("ci95" if side == "denoised" else "noisy_ci95")
        # The noisy clips of a system that failed have their scores.
        mean.complete = row["n"] == row["total"] or (side == "noisy" and row["denoised"] is None)
        return mean

    def text(self, decimals: int) -> str:
        """The mean with its interval, where it has one: "0.90 [0.88, 0.92]"."""
        between = ", ".join(number(each, decimals) for each in self.ci95 or ())
        return number(self, decimals) + (f" [{between}]" if between else "")

    @property
    def lacking(self) -> str:
        """Which clips are missing, as words; empty where none is."""
        if self.complete:
            return ""
        if math.isnan(self):
            return f"no score of {self.row['total'] - self.row['n']} of {self.row['total']} clips"
        return f"{self.row['n']} of {self.row['total']} clips"


def means_over(rows: Iterable[dict[str, Any]]) -> str:
    """Over how many clips and voices the means of some rows are, by measure where they differ.

    A row without any score says so itself, and does not count.
    """
    measures: dict[str, list[dict[str, Any]]] = {}
    rows = list(rows)
    for row in [each for each in rows if each["n"]] or rows:
        measures.setdefault(row["metric"], []).append(row)
    alike: dict[str, list[str]] = {}
    for metric, found in measures.items():
        alike.setdefault(over(found), []).append(heading(metric))
    if len(alike) < 2:
        return "".join(alike)
    return "; ".join(f"{listed(metrics)} over {clips}" for clips, metrics in alike.items())


def footnote(means: Iterable[Mean]) -> str:
    """A sentence on what the means of a table are over; empty for no means."""
    if not (clips := means_over(mean.row for mean in means)):
        return ""
    where = f": {clips}" if " over " in clips else f" over {clips}"
    return f"Means with 95 % intervals{where}."
