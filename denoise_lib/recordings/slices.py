"""Where the bytes of a recording come from, and a part of them as a file of its own."""

from __future__ import annotations

import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from denoise_lib.errors import UserError
from denoise_lib.files import scratch_folder

IN_MEMORY = 32 * 2**20  # bytes of a pipe that are kept in memory; what is longer goes to disk


class Slice(io.RawIOBase):
    """Bytes ``start`` to ``end`` of a file that can be sought in.

    Several slices of one file may be read in turn: each knows where it is.

    Args:
        file: The file.
        start, end: Which of its bytes.
        instead: Bytes that are read in place of those that begin there: (place, bytes).
    """

    def __init__(
        self, file: BinaryIO, start: int, end: int, instead: tuple[int, bytes] = (0, b"")
    ) -> None:
        super().__init__()
        self.file, self.start, self.end, self.at = file, start, end, 0
        self.instead = instead

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be sought in."""
        return True

    def tell(self) -> int:
        """Bytes from the slice's beginning."""
        return self.at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to another place."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.end - self.start}[whence]
        self.at = max(0, base + offset)
        return self.at

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer as far as the slice goes."""
        self.file.seek(self.start + self.at)
        wanted = max(0, min(len(buffer), self.end - self.start - self.at))
        content = self.file.read(wanted)
        buffer[: len(content)] = content
        place, other = self.instead
        first, last = max(self.at, place), min(self.at + len(content), place + len(other))
        if first < last:
            buffer[first - self.at : last - self.at] = other[first - place : last - place]
        self.at += len(content)
        return len(content)


def whole(file: BinaryIO) -> int:
    """Length of a file in bytes."""
    return file.seek(0, os.SEEK_END)


@contextmanager
def opened(source: str | Path) -> Iterator[BinaryIO]:
    """A recording's bytes, to be read more than once.

    What cannot be sought in, a pipe or ``-`` for the standard input, is read to its end first: the
    level of a recording is known only then.

    Raises:
        UserError: It is not there, a folder, empty, or may not be read.
    """
    if str(source) == "-":
        with kept(sys.stdin.buffer, "the standard input") as file:
            yield file
        return
    with _there(Path(source)) as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            if not whole(file):
                raise UserError(f"{source} is empty: give a recording")
            yield file
        else:
            with kept(file, source) as spooled:
                yield spooled


def _there(path: Path) -> BinaryIO:
    """A file, opened for reading."""
    try:
        if not path.exists():
            raise UserError(f"{path} is not there")
        if path.is_dir():
            raise UserError(f"{path} is a folder, not an audio file")
        return open(path, "rb")
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read: {told}") from None


@contextmanager
def kept(stream: BinaryIO, name: object) -> Iterator[BinaryIO]:
    """What comes out of a stream, kept until the block ends; a nameless file, if it is long."""
    with nameless() as file:
        shutil.copyfileobj(stream, file, 2**20)
        if not file.tell():
            raise UserError(f"{name} is empty: give a recording")
        file.seek(0)
        yield file


@contextmanager
def nameless() -> Iterator[BinaryIO]:
    """A file without a name: in memory while it is small, else in the cache."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY, dir=scratch_folder()) as file:
        yield file


def silence(missing: int, channels: int, rate: int) -> Iterator[tuple[NDArray[np.float32], int]]:
    """So many silent samples, in blocks."""
    while missing > 0:
        size = min(missing, 2**16)
        yield np.zeros((size, channels), np.float32), rate
        missing -= size
