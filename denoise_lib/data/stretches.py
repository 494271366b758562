"""Stretches of recordings: read without what lies before them, at the level of the whole.

WAV and FLAC files are sought in. What cannot be sought in exactly is decoded once into the cache,
where it is long. What has to be known of a whole recording, its level above all, is found out when
its first stretch is read; of a long one it is kept in the cache by the content of the file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from math import ceil, gcd
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import torch
from torch import Tensor

from denoise_lib.audio import load, resample
from denoise_lib.errors import UserError
from denoise_lib.files import Sink, atomic, locked, read_json, write_json
from denoise_lib.paths import cache_folder
from denoise_lib.recordings.by_soundfile import SoundFilePiece
from denoise_lib.recordings.read import Survey, blocks, survey, told_length
from denoise_lib.recordings.slices import opened

FORMAT = 1  # raise it when the meaning of what is kept changes
LONG = 20.0  # s; a recording as long as this is worth a file in the cache
TAPS = 128  # samples at the lower rate that a resampler's filter reaches to either side, and more
BLOCK = 60  # s that are read at a time where all of a recording is
MEMORY = "memory"  # in place of a decoded file: it is decoded whenever it is read


@dataclass(frozen=True)
class Facts:
    """What has to be known of a recording to read a stretch of it.

    Attributes:
        rate: Its own, Hz.
        weights: What its channels are multiplied by in the mix.
        level: RMS of all of it re full scale, at the corpus's rate.
        decoded: File in the cache that is read in place of it; empty where it is read itself.
    """

    rate: int
    weights: list[float]
    level: float
    decoded: str = ""


class Stretches:
    """Reads stretches of recordings, mixed down, at one rate.

    Args:
        rate: Samples per second.
        known: SHA-256 and length in samples at that rate of each recording, by its path.
    """

    def __init__(self, rate: int, known: dict[Path, tuple[str, int]]) -> None:
        self.rate, self.known = rate, known
        self.facts: dict[Path, Facts] = {}

    def level(self, path: Path) -> float:
        """RMS of a whole recording re full scale; 0 for silence."""
        return self._facts(path).level

    def read(self, path: Path, start: int, samples: int) -> Tensor:
        """At most so many samples of a recording from ``start`` on, float32 (time,).

        Raises:
            UserError: It cannot be read.
        """
        return self._read(path, self._facts(path), start, samples)

    def _facts(self, path: Path) -> Facts:
        if path not in self.facts:
            long = self.known[path][1] > LONG * self.rate
            self.facts[path] = self._of_long(path) if long else self._of_short(path)
        return self.facts[path]

    def _of_short(self, path: Path) -> Facts:
        """Facts of a recording of which all fits into memory; nothing is kept in the cache."""
        with opened(path) as file:
            if whole := _plain(file, path):
                samples, rate = whole
                return Facts(rate, [1.0], rms([resample(samples, rate, self.rate)]))
            found = survey(file, path)
            mono = np.concatenate(list(blocks(found))) @ np.asarray(_weights(found), np.float32)
        level = rms([resample(torch.from_numpy(mono), found.rate, self.rate)])
        return Facts(found.rate, _weights(found), level, "" if sought_in(found) else MEMORY)

    def _of_long(self, path: Path) -> Facts:
        """Facts of a long recording, which one process at a time finds out for all."""
        named = f"{FORMAT}/{self.rate}/{self.known[path][0]}"
        kept = cache_folder() / "recordings" / hashlib.sha256(named.encode()).hexdigest()[:32]
        with locked(kept.with_suffix(".lock"), f"reading {path.name}"):
            try:
                facts = Facts(**read_json(kept.with_suffix(".json")))
                if not facts.decoded or Path(facts.decoded).is_file():
                    return facts
            except (UserError, TypeError):  # not there yet, or damaged
                pass
            facts = self._found_out(path, kept.with_suffix(".flac"))
            write_json(kept.with_suffix(".json"), asdict(facts))
            return facts

    def _found_out(self, path: Path, decoded: Path) -> Facts:
        with opened(path) as file:
            found = survey(file, path)
            if sought_in(found):
                facts = Facts(found.rate, _weights(found), 0.0)
            else:
                self._decode(found, decoded)
                facts = Facts(self.rate, [2.0 * _peak(found)], 0.0, str(decoded))
        block = BLOCK * self.rate
        total = ceil(found.frames * self.rate / found.rate)
        parts = (self._read(path, facts, start, block) for start in range(0, total, block))
        return replace(facts, level=rms(parts))

    def _decode(self, found: Survey, decoded: Path) -> None:
        """Write a recording to the cache, mixed down, at the corpus's rate, its peak at half."""
        weights = np.asarray(_weights(found), np.float32) / (2 * _peak(found))
        mono = (block @ weights for block in blocks(found))
        with atomic(decoded) as temporary, open(temporary, "wb") as file, Sink(file) as sink:
            with soundfile.SoundFile(sink, "w", self.rate, 1, "PCM_24", format="FLAC") as out:
                for block in _resampled(mono, found.rate, self.rate):
                    out.write(block)

    def _read(self, path: Path, facts: Facts, start: int, samples: int) -> Tensor:
        if facts.decoded == MEMORY:
            return load(path, self.rate, quiet=True)[start : start + samples]
        first, count, skipped = window(start, samples, facts.rate, self.rate)
        try:
            with soundfile.SoundFile(_by_bytes(facts.decoded or path)) as file:
                file.seek(min(first, file.frames))
                block = file.read(count, dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, OSError, RuntimeError) as error:
            raise UserError(f"{path} cannot be read any more: {error}") from None
        weights = np.asarray(facts.weights, np.float32)
        mono = block @ weights if len(weights) > 1 else block[:, 0] * weights[0]
        read = resample(torch.from_numpy(mono), facts.rate, self.rate)
        return read[skipped:][:samples]


def window(start: int, samples: int, source: int, target: int) -> tuple[int, int, int]:
    """What to read of a recording to get a stretch of it at another rate.

    Args:
        start, samples: The stretch, at the rate ``target``.
        source: The recording's rate.

    Returns:
        First sample and number of samples to read, and how many of them, resampled, to leave out.
    """
    own, ours, reach = _steps(source, target)
    first = max(0, start // ours - reach)
    last = -(-(start + samples) // ours) + reach
    return first * own, (last - first) * own, start - first * ours


def _steps(source: int, target: int) -> tuple[int, int, int]:
    """Samples at either rate of one step, and steps that a resampler reaches to either side."""
    common = gcd(source, target)
    own, ours = source // common, target // common
    return own, ours, 0 if own == ours else ceil(TAPS * max(own / ours, 1) / own)


def _plain(file: BinaryIO, path: Path) -> tuple[Tensor, int] | None:
    """Samples (time,) and rate of a whole WAV or FLAC file of one channel of integers, else None.

    Nothing is wrong with most files, and then there is nothing to survey: one reading will do.
    """
    header = told_length(file)
    if header is None:
        return None
    with (
        suppress(soundfile.SoundFileError, RuntimeError),
        soundfile.SoundFile(_by_bytes(path)) as it,
    ):
        if it.channels == 1 and it.subtype.startswith("PCM") and it.frames == header[0]:
            samples = it.read(dtype="float32")
            if len(samples) == header[0]:
                return torch.from_numpy(samples), it.samplerate
    return None


def sought_in(found: Survey) -> bool:
    """Whether a recording's samples lie where its header says: a whole WAV or FLAC file."""
    if len(found.parts) != 1 or found.scale != 1:
        return False
    piece, reader = found.parts[0]
    whole = piece.start == 0 and not piece.raw and not found.notes
    return whole and reader is SoundFilePiece and piece.kind in ("wav", "flac")


def _by_bytes(path: str | Path) -> str | bytes:
    """A path as soundfile opens it where its name is no text, too."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def _weights(found: Survey) -> list[float]:
    return found.meter.weights().tolist() if found.channels > 1 else [1.0]


def _peak(found: Survey) -> float:
    """A bound of the mix's samples: the largest sample of a channel; 1 where all are silent."""
    return float(found.meter.peak.max()) / found.scale or 1.0


def rms(parts: Iterator[Tensor] | list[Tensor]) -> float:
    """RMS over the samples of all parts."""
    energy, samples = 0.0, 0
    for part in parts:
        energy += float(part.double().square().sum())
        samples += len(part)
    return (energy / max(1, samples)) ** 0.5


def _resampled(mono: Iterator[np.ndarray], source: int, target: int) -> Iterator[np.ndarray]:
    """Blocks at another rate, in constant memory, as :func:`resample` gives them all at once."""
    own, ours, reach = _steps(source, target)
    held, first, given = np.zeros(0, np.float32), 0, 0  # ``first`` in steps of ``own`` samples
    for block in mono:
        held = np.concatenate([held, block.astype(np.float32)])
        ready = len(held) // own - reach  # steps that no later sample reaches
        if ready * own < source:  # by seconds
            continue
        out = resample(torch.from_numpy(held), source, target).numpy()
        yield out[(given - first) * ours : ready * ours]
        given = first + ready
        first = max(0, given - reach)
        held = held[(first - (given - ready)) * own :]
    out = resample(torch.from_numpy(held), source, target).numpy()
    yield out[(given - first) * ours :]
