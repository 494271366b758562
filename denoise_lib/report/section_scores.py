"""The scores of one section's networks as a table: the rows that the head of the page quotes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from denoise_lib.display.mean import means_over
from denoise_lib.names import METRICS, SPLITS, label
from denoise_lib.names import condition as written
from denoise_lib.report.glance import STAGES

Row = dict[str, Any]  # of results.json
CLIPS = SPLITS | {"train": "training clips"}


@dataclass
class Scores:
    """A line of the table: one system on one kind of clips, with a row of results per measure."""

    experiment: str
    condition: str
    model: str
    split: str
    rows: dict[str, Row] = field(default_factory=dict)  # by measure, in the order of METRICS

    @property
    def name(self) -> str:
        """The system as it is written on the page."""
        return label(self.model)

    @property
    def damage(self) -> str:
        """On what damage it was scored."""
        return written(self.condition) + STAGES.get(self.experiment.partition(":")[2], "")

    @property
    def clips(self) -> str:
        """On what clips it was scored, and over how many of how many voices its means are."""
        over = means_over(self.rows.values())
        return f"{CLIPS.get(self.split, self.split)}: {over}"

    @property
    def anchor(self) -> str:
        """Where the line stands on the page."""
        return anchor(next(iter(self.rows.values())))


def anchor(row: Row) -> str:
    """Anchor of the line that holds a row, if the page has such a line."""
    parts = (row["experiment"], row["condition"], row["model"], row["split"])
    return "scores-" + "-".join(re.sub(r"\W+", "-", part) for part in parts)


def quoted(results: dict[str, Any], row: Row) -> bool:
    """Whether a line of these tables holds a row."""
    return row["experiment"] in results["headline"] and row["metric"] in METRICS


def section_scores(results: dict[str, Any], section: str) -> list[Scores]:
    """The lines of a section: test clips first, then the voice that was kept out of training.

    Args:
        results: Content of results.json.
        section: Name of the notebook, such as "04_dcunet".
    """
    lines: dict[str, Scores] = {}
    for row in results["results"]:
        if row["experiment"].partition(":")[0] == section and quoted(results, row):
            names = (row["experiment"], row["condition"], row["model"], row["split"])
            lines.setdefault(anchor(row), Scores(*names)).rows[row["metric"]] = row
    splits = list(SPLITS)
    return sorted(
        lines.values(), key=lambda line: splits.index(line.split) if line.split in splits else 9
    )


def groups(lines: list[Scores]) -> list[list[Scores]]:
    """Lines with the same clips beneath each other, in their order."""
    found: dict[str, list[Scores]] = {}
    for line in lines:
        found.setdefault(line.clips, []).append(line)
    return list(found.values())


def measures(lines: list[Scores]) -> list[str]:
    """Measures that any line has, in the order of METRICS."""
    return [metric for metric in METRICS if any(metric in line.rows for line in lines)]
