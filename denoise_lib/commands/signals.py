"""Signals that end a command: what it has begun is cleared up first, as after Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

AGAIN = 0.1  # s until a signal that has ended nothing is raised once more


class Ended(SystemExit):
    """Another process, or the system, has asked this one to end; the status is a shell's, 128 + n.

    Args:
        number: Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number).name


@contextmanager
def ending() -> Iterator[None]:
    """Let signals raise in the main thread while a block lasts: SIGTERM and SIGHUP, too.

    A signal that is ignored, as by nohup, stays ignored, and one that has a handler keeps it. What
    is raised in a function that a C library calls would be lost there, and the command would go
    on: it is raised later, and once more where it was lost. While it takes effect further signals
    are ignored, except Ctrl-C.

    Raises:
        Ended: By SIGTERM or SIGHUP.
        KeyboardInterrupt: By SIGINT, as without this.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    timer, asked = hasattr(signal, "setitimer"), []  # Windows has none
    over = False

    def handle(number: int, frame: FrameType | None) -> None:
        impatient = number == signal.SIGINT and bool(asked)
        if number in usual and not asked:
            asked.append(number)
        if timer and not over:
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
        if impatient or not (_takes_effect() or _called_by_c(frame)):
            raise _error(asked[0])

    usual = {number: signal.getsignal(number) for number in _known("SIGINT", "SIGTERM", "SIGHUP")}
    defaults = (signal.SIG_DFL, signal.default_int_handler)
    before = {number: handler for number, handler in usual.items() if handler in defaults}
    if timer:
        before[signal.SIGALRM] = signal.getsignal(signal.SIGALRM)
    for number in before:
        signal.signal(number, handle)
    try:
        yield
        if asked:  # lost so near the end that there was no time to raise it again
            raise _error(asked[0])
    finally:
        over = True  # an alarm that has gone off by now, and is handled later, sets no other
        if timer:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _known(*names: str) -> list[int]:
    """Numbers of those signals that this system has."""
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _error(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else Ended(number)


def _takes_effect() -> bool:
    """Whether an ending is what the code that runs now clears up after."""
    error = sys.exception()
    while error is not None and not isinstance(error, Ended | KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _called_by_c(frame: FrameType | None) -> bool:
    """Whether libsndfile or FFmpeg reads or writes by Python: they hand no exception on."""
    while frame is not None:
        name = frame.f_code.co_name
        if name.startswith("vio_") or frame.f_code.co_qualname == "Slice.readinto":
            return True
        frame = frame.f_back
    return False


def let_go(stream: TextIO) -> None:
    """Write what a stream still holds as far as it takes it at once, and forget the rest.

    Python would wait at its end for whoever reads a pipe, and such a one may have stopped to.
    """
    try:
        handle = stream.fileno()
        blocking = os.get_blocking(handle)
    except (OSError, ValueError, AttributeError):  # no file behind it, or closed
        return
    try:
        os.set_blocking(handle, False)
        stream.flush()
    except OSError:
        os.set_blocking(handle, blocking)
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), handle)
    else:
        os.set_blocking(handle, blocking)
