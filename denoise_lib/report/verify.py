"""Whether two reports hold the same numbers: which entries of their results.json moved, how far."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from denoise_lib.errors import UserError
from denoise_lib.files import read_json

# Times, and what a run ran on: they differ between two runs on one machine, or say which machine.
LEFT_OUT = ("seconds", "elapsed", "finished", "peak_memory_mib", "machine")  # of the provenance
TIME = "s"  # the unit of measurements that are computing times
# What tells the lines of a list apart.
KEYS = {
    "results": ("experiment", "condition", "model", "split", "metric"),
    "measurements": ("experiment", "name", "of"),
    "differences": ("experiment", "condition", "split", "metric", "a", "b"),
}


class Comparison(NamedTuple):
    """What two reports have in common and in what they differ.

    Args:
        compared: How many entries are in both.
        moved: A line for each that is not the same, those that moved furthest first.
    """

    compared: int
    moved: list[str]


def compare(one: Path, other: Path, tolerance: float = 0.0) -> Comparison:
    """Compare the results.json of two reports, without times and paths.

    Args:
        one, other: The files.
        tolerance: By how much a number may differ: in its own unit where it is at most 1 in size,
            in proportion to it above. 0: to the last bit.

    Raises:
        UserError: A file is no results.json of a report.
    """
    first, second = (dict(_entries(_read(path))) for path in (one, other))
    missing = [f"{key}: only in {one}" for key in first.keys() - second.keys()]
    missing += [f"{key}: only in {other}" for key in second.keys() - first.keys()]
    moved = []
    for key in first.keys() & second.keys():
        distance = _distance(first[key], second[key])
        if distance > tolerance:
            apart = f", {distance:.2g} apart" if math.isfinite(distance) else ""
            moved.append((-distance, f"{key}: {first[key]!r} and {second[key]!r}{apart}"))
    lines = [*sorted(missing), *(line for _, line in sorted(moved))]
    return Comparison(len(first.keys() & second.keys()), lines)


def _read(path: Path) -> dict[str, Any]:
    """A results.json; raises UserError for anything else."""
    found = read_json(path)
    if not isinstance(found, dict) or not {"provenance", *KEYS} <= found.keys():
        raise UserError(f"{path} is no results.json of a report: give report/results.json")
    return found


def _entries(results: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(name, value) of every number and text that two reports should have in common."""
    for part, value in results.items():
        if part == "provenance":
            kept = {key: each for key, each in value.items() if key not in LEFT_OUT}
            yield from _leaves(part, kept)
        elif part in KEYS:
            for name, line in _named(part, value):
                yield from _leaves(name, line)
        else:
            yield from _leaves(part, value)


def _named(part: str, lines: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, the rest) of each line of a list; a name that comes again is numbered."""
    seen: dict[str, int] = {}
    for line in lines:
        if line.get("unit") == TIME:
            continue
        name = ", ".join([part, *(str(line.get(key)) for key in KEYS[part])])
        seen[name] = seen.get(name, 0) + 1
        rest = {key: value for key, value in line.items() if key not in KEYS[part]}
        yield name + f" ({seen[name]})" * (seen[name] > 1), rest


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """(name, value) of what a structure holds, down to numbers and texts."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in pairs:
            yield from _leaves(f"{name}: {key}", each)
        yield f"{name}: size", len(value)
    else:
        yield name, value


def _distance(one: Any, other: Any) -> float:
    """How far apart two values are; infinite where they are not two numbers and not the same."""
    numbers = [each for each in (one, other) if type(each) in (int, float)]
    if len(numbers) < 2:
        return 0.0 if one == other and type(one) is type(other) else math.inf
    return abs(one - other) / max(1.0, abs(one), abs(other))
