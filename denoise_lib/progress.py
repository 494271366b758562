"""Progress on the terminal: a bar where someone watches, plain lines elsewhere."""

from __future__ import annotations

import os
import sys

from tqdm import tqdm


def is_first() -> bool:
    """Whether this is the only process, or the first of those that ``torchrun`` has started."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0"


def say(line: str) -> None:
    """Write one line on stderr, past any bar; of several processes the first one speaks for all."""
    if is_first():
        tqdm.write(line, file=sys.stderr)


def bar(total: int | None, what: str, unit: str = "it", hidden: bool = False) -> tqdm:
    """A tqdm bar on stderr, silent when stderr is no terminal (a log would fill with bars).

    Args:
        total: Number of steps, None if unknown.
        what: The label.
        unit: What a step is, "B" for bytes.
        hidden: Whether it is not shown at all.
    """
    return tqdm(
        total=total,
        desc=what,
        unit=unit,
        unit_scale=unit == "B",
        disable=hidden or not sys.stderr.isatty() or not is_first(),
        leave=False,
    )
