"""Progress on the terminal: a bar where someone watches, plain lines elsewhere."""

import sys

from tqdm import tqdm

COMPLETE = "run complete: {name}"  # what a notebook's last cell prints, and the runner looks for


def say(line):
    """One line on stderr, past any bar that is being drawn."""
    tqdm.write(line, file=sys.stderr)


def bar(total, what, unit="it"):
    """A tqdm bar on stderr, silent when stderr is no terminal (a log would fill with bars).

    Args:
        total: number of steps, None if unknown. what: the label. unit: of a step, "B" for bytes.
    """
    return tqdm(
        total=total,
        desc=what,
        unit=unit,
        unit_scale=unit == "B",
        disable=not sys.stderr.isatty(),
        leave=False,
    )
