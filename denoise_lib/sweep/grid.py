"""The cells of a sweep: every point of a grid of parameters, from every seed."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from denoise_lib.errors import UserError
from denoise_lib.report.runner import Study

Point = dict[str, Any]  # {parameter: value}


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Args:
        point: The parameters that are varied.
        seed: The notebook's parameter of that name; None where it has none.
    """

    point: Point
    seed: int | None

    @property
    def values(self) -> Point:
        """All parameters that this run sets."""
        return self.point if self.seed is None else {**self.point, "seed": self.seed}

    @property
    def name(self) -> str:
        """How it is called, such as "learning_rate 0.001, seed 2"."""
        return written(self.values)

    @property
    def folder(self) -> str:
        """Name of its folder: readable, and another one for other values, whatever their text."""
        digest = hashlib.sha256(json.dumps(self.values, sort_keys=True).encode()).hexdigest()
        words = "_".join(re.findall(r"[\w.-]+", self.name))[:60].rstrip(".")
        return f"{words or 'as_it_is'}-{digest[:8]}"


def written(point: Point) -> str:
    """A point in words: "learning_rate 0.001, preset small"."""
    parts = [
        f"{name} {value if isinstance(value, str) else json.dumps(value)}"
        for name, value in point.items()
    ]
    return ", ".join(parts) or "as the profile has it"


def grid(study: Study, notebook: str, given: dict[str, list[Any]], seeds: int) -> list[Cell]:
    """All cells, the seeds of one point side by side.

    Args:
        study: Knows the notebook's parameters.
        notebook: Its name, such as "04_dcunet".
        given: {parameter: texts or values}.
        seeds: How many; they follow on the notebook's own.

    Raises:
        UserError: The notebook or a parameter is unknown, a value has the wrong type or is given
            twice, or there is nothing to sweep.
    """
    if seeds < 1:
        raise UserError(f"--seeds must be 1 or more, got {seeds}")
    axes: dict[str, list[Any]] = {}
    for name, texts in given.items():
        trial = with_values(study, notebook, {})
        for text in texts:
            trial.override(notebook, {name: text})
            axes.setdefault(name, []).append(trial.parameters(notebook)[name])
        if any(axes[name].count(each) > 1 for each in axes[name]):
            raise UserError(f"-p {name}: a value is given twice")
    trial = with_values(study, notebook, {})
    own = trial.parameters(notebook).get("seed")
    if "seed" in axes and seeds > 1:
        raise UserError("give the seeds with --seeds or with -p seed, not with both")
    if own is None and seeds > 1:
        raise UserError(f"{notebook} has no parameter `seed`: leave --seeds out")
    taken = axes.pop("seed", None) or ([None] if own is None else range(own, own + seeds))
    points = [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]
    cells = [Cell(point, seed) for point in points for seed in taken]
    if len(cells) < 2:
        raise UserError("one run is no sweep: give -p several values, or --seeds 2 or more")
    return cells


def with_values(study: Study, notebook: str, values: Point, build: Path | None = None) -> Study:
    """The same study with other parameters of one notebook, and perhaps another folder of runs."""
    other = copy.copy(study)
    other.values = copy.deepcopy(study.values)
    other.damaged = set()
    other.build = build or study.build
    other.override(notebook, values)
    return other
