"""Times that can be compared on a machine that does other things, too: taken in turn, as ratios.

What is counted is the processor's time of this process, with one thread: what else the machine
does takes none of it, and only gets in the way of caches and clock rates.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

Call = Callable[[], Any]  # does some work; gives its seconds, a float, where it times itself
Row = dict[str, Any]


def in_turn(
    work: dict[str, Call], rounds: int = 7, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    """Seconds of every call in every round; one round before them is not counted.

    The calls of a round follow each other, so that what else the machine does falls on all of them.

    Args:
        work: The calls by their names.
        rounds: How often each is made.
        clock: Function of no argument, seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds + 1):
        for name, call in work.items():
            began = clock()
            own = call()
            seconds = own if isinstance(own, float) else clock() - began
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
