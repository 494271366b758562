"""What the terminal shows while notebooks run: which one, which step, and how long is left."""

import re
import shutil
import sys
import time

STEP = re.compile(r"step (\d+)/(\d+)")


class RunProgress:
    """A file that notebooks print to: lines with `step 200/800` become progress, others go.

    On a terminal one line is rewritten; elsewhere, in a log, every step line is printed.

    Args:
        name: notebook that runs.
        names: all notebooks of the report, for "[2/5]".
        expected: seconds this notebook took last time, None when unknown.
        later: seconds that those after it took, None when unknown.
        stream: where to show it, standard output by default.
        clock: function of no argument, seconds.
    """

    def __init__(self, name, names, expected=None, later=None, stream=None, clock=time.monotonic):
        self.label = f"[{names.index(name) + 1}/{len(names)}] {name}"
        self.expected, self.later = expected, later
        self.stream, self.clock = stream or sys.stdout, clock
        self.start, self.first, self.rest, self.shown = clock(), None, "", 0

    def __enter__(self):
        self._show(self.label + _left(self._known(0)))
        return self

    def __exit__(self, kind, error, trace):
        minutes, seconds = divmod(round(self.clock() - self.start), 60)
        self._show(f"{self.label}  {'stopped' if kind else 'done'} after {minutes}:{seconds:02d}")
        if self.stream.isatty():
            self.stream.write("\n")

    def write(self, text):
        """Take text as printed, in pieces of any length."""
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            if step := STEP.search(line):
                self._step(line.strip(), int(step[1]), int(step[2]))

    def flush(self):
        self.stream.flush()

    def _step(self, line, step, total):
        now = self.clock()
        # Speed counts from the first line of a training: when that began is not seen.
        if self.first is None or step <= self.first[0] or total != self.first[2]:
            self.first = (step, now, total)
        left, of = self._known(now - self.start), ""
        if left is None and step > self.first[0]:
            left = (now - self.first[1]) / (step - self.first[0]) * (total - step)
            of = " of this training"
        self._show(f"{self.label}  {line}{_left(left, of)}")

    def _known(self, elapsed):
        """Seconds left to the end of the report, from earlier runs; None when there were none."""
        if self.expected is None or self.later is None:
            return None
        return max(0, self.expected - elapsed) + self.later

    def _show(self, line):
        if self.stream.isatty():
            line = line[
                : shutil.get_terminal_size().columns - 1
            ]  # a wrapped line cannot be rewritten
            self.stream.write("\r" + line.ljust(self.shown))
            self.shown = len(line)
        else:
            self.stream.write(line + "\n")
        self.stream.flush()


def _left(seconds, of=""):
    if seconds is None:
        return ""
    return (
        f", about {seconds / 60:.0f} min left{of}" if seconds >= 60 else f", under 1 min left{of}"
    )
