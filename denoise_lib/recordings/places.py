"""Where recordings come from and go: folders, pipes, and what must not be overwritten."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from denoise_lib.errors import UserError
from denoise_lib.files import atomic, is_device
from denoise_lib.recordings.slices import nameless
from denoise_lib.recordings.write import FFMPEG, FILMS, SOUNDFILE, writable

PIPE = "-"  # the standard input, or output
# What is taken for a recording in a folder, beside what can be written.
READ_ONLY = {"g722", "amr", "3gp", "3ga", "ac3", "ape", "flv", "m4b", "mpeg", "spx", "voc", "wv"}
READ_ONLY |= {"mp2", "vob", "mts", "m2ts", "dss", "ra", "rm", "snd", "oma", "caff", "bwf", "weba"}
SUFFIXES = {*SOUNDFILE, *FFMPEG, *FILMS, *READ_ONLY}


@dataclass(frozen=True)
class Job:
    """A recording to be denoised.

    Args:
        source: Its file, or ``-``.
        target: Where the result goes, or ``-``.
    """

    source: str
    target: str


def jobs(places: Sequence[str], out: str | None, container: str | None) -> tuple[list[Job], int]:
    """What is to be done, and how many files of folders are passed over.

    Args:
        places: Source and target; or, with ``out``, any number of files and folders.
        out: Folder for the results; that of an input folder is made again in it.
        container: Suffix of the results, without dot; that of each input when None.

    Raises:
        UserError: Not a source and a target, nothing in a folder, or two inputs for one result.
    """
    if out is None:
        if len(places) != 2:
            raise UserError(
                "name a recording and where to write it, or recordings and folders and "
                f"--out FOLDER; got {len(places)} name{'s' * (len(places) != 1)}"
            )
        if places[0] == PIPE or not Path(places[0]).is_dir():
            return [Job(*places)], 0
        places, out = places[:1], places[1]
    found, passed_over = [], 0
    for place in places:
        if place == PIPE:
            raise UserError(
                "- can only be the one input, with one output and without --out: "
                "denoise enhance - out.wav"
            )
        if not Path(place).is_dir():
            found.append(Job(place, _target(Path(place), Path(Path(place).name), out, container)))
            continue
        recordings, others = _recordings(Path(place), Path(out))
        passed_over += others
        for path in recordings:
            target = _target(path, path.relative_to(place), out, container)
            found.append(Job(str(path), target))
    if not found:
        raise UserError(f"there is no recording in {', '.join(places)}")
    return _apart(found), passed_over


def _apart(found: list[Job]) -> list[Job]:
    """Jobs with a target of their own each: talk.amr beside talk.wav becomes talk.amr.wav."""
    taken: dict[str, str] = {}
    for job in dict.fromkeys(found):
        target = Path(job.target)
        if str(target) in taken:
            target = target.with_name(f"{Path(job.source).name}{target.suffix}")
        other = taken.setdefault(str(target), job.source)
        if other != job.source:
            raise UserError(f"{other} and {job.source} would both become {target}")
    return [Job(source, target) for target, source in taken.items()]


def _target(path: Path, place: Path, out: str, container: str | None) -> str:
    """Where the result of a file goes; what cannot be written in its own format becomes wav."""
    suffix = container or path.suffix[1:].lower()
    if not writable(suffix):
        suffix = "wav"
    target = Path(out) / place
    return str(target if target.suffix[1:].lower() == suffix else target.with_suffix(f".{suffix}"))


def _recordings(folder: Path, out: Path) -> tuple[list[Path], int]:
    """Recordings in a folder and below, by suffix, and the number of other files.

    Hidden files, and what lies in the folder for the results, are left out without a word. Linked
    folders are gone into, once.
    """
    found, others, seen = [], 0, {out.resolve()}
    for here, below, names in os.walk(folder, followlinks=True):
        if Path(here).resolve() in seen:
            below.clear()
            continue
        seen.add(Path(here).resolve())
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            if name.startswith("."):
                continue
            path = Path(here) / name
            if path.suffix[1:].lower() in SUFFIXES and not is_device(path):
                found.append(path)
            else:
                others += 1
    return found, others


def done(job: Job, inputs: set[tuple[int, int]]) -> bool:
    """Whether a result is there already."""
    return Path(job.target).is_file() and identity(job.target) not in inputs


def identity(place: str) -> tuple[int, int] | None:
    """What tells a file from all others, whatever its name; None where there is none."""
    try:
        found = Path(place).stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def refuse_to_lose(job: Job, inputs: set[tuple[int, int]], force: bool) -> None:
    """Raise where a result would overwrite something that was not meant.

    Args:
        job: What is to be done.
        inputs: The :func:`identity` of every input.
        force: Whether results that are there are replaced.

    Raises:
        UserError: The target is an input, a folder, or is there and ``force`` is not given.
    """
    if job.target == PIPE or is_device(Path(job.target)):
        return
    target = Path(job.target)
    if target.is_dir():
        raise UserError(f"{target} is a folder: name a file in it, or use --out {target}")
    if identity(job.target) in inputs:
        raise UserError(f"{target} is an input, which is never overwritten: name another place")
    if not force and target.exists():
        raise UserError(f"{target} is there already: name another place, or add --force")


@contextmanager
def destination(target: str) -> Iterator[BinaryIO]:
    """A file to write and to seek in, which becomes the target whole or not at all.

    Raises:
        UserError: The target cannot be written.
    """
    try:
        if target == PIPE:
            with nameless() as file:
                yield file
                file.seek(0)
                shutil.copyfileobj(file, sys.stdout.buffer, 2**20)
                sys.stdout.buffer.flush()
            return
        with atomic(target) as temporary:
            with open(temporary, "w+b") as file:
                yield file
    except OSError as error:
        told = error.strerror or error
        shown = "the standard output" if target == PIPE else target
        raise UserError(f"{shown} cannot be written: {told}") from None
