"""What the terminal shows while notebooks run: which one, which step, and how long is left."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TextIO

from tqdm import tqdm

EVERY = 0.5  # s between two looks at what a run has written


class RunProgress:
    """Shows what a run writes about its trainings, for as long as a ``with`` block lasts.

    On a terminal every run has one line, which is rewritten; elsewhere, in a log, every line is
    printed. Each begins with the notebook's name, so that several runs at once can be told apart.

    Args:
        name: Notebook that runs.
        names: All notebooks of the report, for "[2/5]".
        file: What the run writes, a line of JSON each time: training, step, steps, loss, valid.
        known: Function that gives the seconds left to the end of the report, None when unknown.
        stream: Where to show it, standard output by default.
        clock: Function of no argument, seconds.
    """

    def __init__(
        self,
        name: str,
        names: list[str],
        file: Path,
        known: Callable[[], float | None] = lambda: None,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label = f"[{names.index(name) + 1}/{len(names)}] {name}"
        self.file, self.read = file, 0
        self.known = known
        self.stream, self.clock = stream or sys.stdout, clock
        self.start = clock()
        self.line: tqdm | None = None  # on a terminal
        self.first: tuple[str, int, float] | None = (
            None  # training, step and time of its first line
        )
        self.over = threading.Event()
        self.watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Show that the run begins, and begin to look."""
        if self.stream.isatty():
            # tqdm keeps the lines of several runs apart, whichever of them ends first.
            self.line = tqdm(bar_format="{desc}", file=self.stream, leave=False)
        self._show(self.label + _left(self.known()))
        self.watcher.start()
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        """Show how the run ended, and after how long."""
        self.over.set()
        self.watcher.join()
        self.look()
        minutes, seconds = divmod(round(self.clock() - self.start), 60)
        end = f"{self.label}  {'stopped' if kind else 'done'} after {minutes}:{seconds:02d}"
        if self.line is not None:
            self.line.close()
        tqdm.write(end, file=self.stream)
        self.stream.flush()

    def look(self) -> None:
        """Show what has been written since the last look."""
        if not self.file.exists():
            return
        with open(self.file, encoding="utf-8") as file:
            file.seek(self.read)
            while (line := file.readline()).endswith(
                "\n"
            ):  # a line in the making is left for later
                self.read = file.tell()
                self._step(json.loads(line))

    def _watch(self) -> None:
        while not self.over.wait(EVERY):
            self.look()

    def _step(self, entry: dict[str, Any]) -> None:
        training, step, steps, now = entry["training"], entry["step"], entry["steps"], self.clock()
        # Speed counts from the first line of a training: when that began is not seen.
        if self.first is None or training != self.first[0] or step <= self.first[1]:
            self.first = (training, step, now)
        left, of = self.known(), ""
        if left is None and step > self.first[1]:
            left = (now - self.first[2]) / (step - self.first[1]) * (steps - step)
            of = " of this training"
        text = f"{training}: step {step}/{steps}  valid {entry['valid']:.4f}"
        self._show(f"{self.label}  {text}{_left(left, of)}")

    def _show(self, line: str) -> None:
        if self.line is None:
            self.stream.write(line + "\n")
            self.stream.flush()
        else:
            # A line that is wrapped cannot be rewritten.
            self.line.set_description_str(line[: shutil.get_terminal_size().columns - 1])


def _left(seconds: float | None, of: str = "") -> str:
    if seconds is None:
        return ""
    if seconds < 60:
        return f", under 1 min left{of}"
    return f", about {seconds / 60:.0f} min left{of}"
