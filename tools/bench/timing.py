"""Times that can be compared on a machine that does other things, too: taken in turn, as ratios."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

Call = Callable[[], float | None]  # does some work; gives its seconds where it times itself
Row = dict[str, Any]


def in_turn(work: dict[str, Call], rounds: int = 7) -> dict[str, list[float]]:
    """Seconds of every call in every round; one round before them is not counted.

    The calls of a round follow each other, so that what else the machine does falls on all of them.
    """
    times: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds + 1):
        for name, call in work.items():
            began = time.perf_counter()
            own = call()
            seconds = time.perf_counter() - began if own is None else own
            if number:
                times[name].append(seconds)
    return times


def ratios(times: dict[str, list[float]], to: str, **more: Any) -> list[Row]:
    """How many times as long each takes as `to`: the median over rounds, and the middle half.

    Args:
        times: What :func:`in_turn` gave.
        to: Name of the one that the others are measured by.
        more: Further keys of every row.

    Returns:
        {"what", "to", "ratio", "low", "high", "rounds"} of each, without `to` itself.
    """
    found = []
    for name, seconds in times.items():
        if name != to:
            quotients = sorted(a / b for a, b in zip(seconds, times[to], strict=True))
            cut = len(quotients) // 4
            found.append(
                {
                    "what": name,
                    "to": to,
                    "ratio": median(quotients),
                    "low": quotients[cut],
                    "high": quotients[-1 - cut],
                    "rounds": len(quotients),
                    **more,
                }
            )
    return found
