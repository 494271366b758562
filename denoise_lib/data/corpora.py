"""Speech and noise recordings as clips in fixed splits, wherever they come from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from denoise_lib import RATE
from denoise_lib.audio import LEVEL, load, resample
from denoise_lib.data import cuts, default_corpora, folders, wide_corpora
from denoise_lib.data.clips import Clip, Reader
from denoise_lib.data.fetch import fetch_corpus
from denoise_lib.data.index import Index
from denoise_lib.data.splits import FRACTIONS, SPLITS, split_of, split_of_unseen
from denoise_lib.data.stretches import Stretches
from denoise_lib.errors import UserError
from denoise_lib.files import read_json, sha256
from denoise_lib.names import counted
from denoise_lib.progress import say

# The city recordings last 5 minutes in all. Validation needs few; the test share is large so that
# it holds traffic, crowds, industry and machines and not just the two or three of a tenth.
STREET_FRACTIONS = (0.6, 0.1, 0.3)

MIN_SECONDS = 1.0  # shorter clips are not offered, unless they are asked for

_opened: dict[str, str] = {}  # digests of the fetched corpora that this process has opened


class Corpus:
    """Clips and their waveforms.

    Args:
        name: "default", "wide", or the name of the folder.
        rate: Samples per second of every waveform.
        clips: All clips, sorted by name.
        reader: Where the waveforms come from.
        digest: Hex digest over what the corpus was made from.
    """

    def __init__(
        self, name: str, rate: int, clips: list[Clip], reader: Reader, digest: str
    ) -> None:
        self.name = name
        self.rate = rate
        self.clips = clips
        self.digest = digest
        self._reader = reader

    def split(self, name: str) -> list[Clip]:
        """The clips of one split: "train", "valid", "test", "unseen_voice" or "unused".

        Raises:
            ValueError: There is no such split.
        """
        if name not in SPLITS:
            raise ValueError(f"no split {name!r}; the splits are {', '.join(SPLITS)}")
        return [clip for clip in self.clips if clip.split == name]

    def waveform(self, clip: Clip) -> Tensor:
        """The recording of a clip as it is: float32 (time,), ``clip.samples`` long."""
        return self._reader.waveform(clip.name)

    def beginning(self, clip: Clip, samples: int | None) -> Tensor:
        """At most so many samples of its beginning, all when None; the rest need not be read."""
        return self._reader.beginning(clip.name, samples)

    def crop(self, clip: Clip, start: int, samples: int) -> Tensor:
        """At most so many samples from ``start`` on, of the clip brought to the nominal level.

        What is measured is the whole clip; what is read is, where the file allows it, the crop.
        """
        return self._reader.crop(clip.name, start, samples)

    def noisy(self, clip: Clip) -> Tensor:
        """The noisy recording of a clip, in corpora that come in pairs; as long as the clean one.

        Raises:
            UserError: This corpus has no noisy recordings.
        """
        return self._reader.noisy(clip.name)


def open_speech(
    source: str | Path = "default",
    rate: int = RATE,
    fractions: Sequence[float] = FRACTIONS,
    min_seconds: float = MIN_SECONDS,
) -> Corpus:
    """Open a corpus of speech.

    Args:
        source: "default" or "wide" (that and other people's speech; both fetched if need be), or a
            folder: VCTK 0.92, VoiceBank+DEMAND, or any folder of audio files with speakers as its
            first sub-folders, if it has any; see :func:`denoise_lib.data.folders.plain`. Of three
            speakers or more at least one is kept out of training: "unseen_voice". What each
            split of a folder holds, and what was passed over, is said on stderr, once. Or a Lhotse
            manifest of cuts, see :mod:`denoise_lib.data.cuts`.
        rate: Samples per second of the waveforms.
        fractions: Shares of all clips that go to train, valid and test. What remains is "unused".
            Where the source brings its own test set, only the second one counts: the share of its
            training set that is kept for validation.
        min_seconds: Shorter clips are not offered.

    Raises:
        UserError: Nothing to fetch from, no such folder, or no audio in it.
    """
    if cuts.is_manifest(source):
        return _cuts(source, rate, fractions, min_seconds)
    if source not in ("default", "wide"):
        return _files(source, rate, fractions, folders.find(source), min_seconds)
    home = _stored("speech", rate, partial(_prompt_clip, fractions=fractions), min_seconds)
    if source == "default":
        return home
    return _joined(home, _stored("wide_speech", rate, wide_corpora.speech_clip, min_seconds))


def open_noise(
    source: str | Path = "default", rate: int = RATE, fractions: Sequence[float] = STREET_FRACTIONS
) -> Corpus:
    """Open a corpus of noise: "default" (city recordings), "wide" (those and others) or a folder.

    A folder may have the layout of DEMAND, MUSAN or UrbanSound8K, or any, or be a manifest. The
    arguments and errors are those of :func:`open_speech`. A recording is in one split, so what a
    test clip is mixed with was never heard in training. The voice of a noise clip is its kind or
    sub-folder.
    """
    if cuts.is_manifest(source):
        return _cuts(source, rate, fractions, MIN_SECONDS, by_voice=False)
    if source not in ("default", "wide"):
        return _files(source, rate, fractions, folders.find_noise(source))
    home = _stored("street", rate, partial(_street_clip, fractions=fractions))
    if source == "default":
        return home
    return _joined(home, _stored("wide_noise", rate, wide_corpora.noise_clip))


def open_read_speech(rate: int = RATE) -> Corpus:
    """Open five sentences that were read in another studio; all of them are test clips.

    Raises:
        UserError: Nothing to fetch from.
    """
    return _stored("read", rate, lambda name: ("reader", "test"))


def _prompt_clip(name: str, fractions: Sequence[float]) -> tuple[str, str] | None:
    """(voice, split) of a prompt such as "en/digits/1", or None if it is no speech."""
    language, prompt = name.split("/", 1)
    if prompt in default_corpora.NOT_SPEECH:
        return None
    # The language is left out of the hash: one sentence in five languages is in one split.
    sentence = default_corpora.SAME_SENTENCE.get(prompt, prompt)
    voice = default_corpora.VOICES[language]
    unseen = voice in default_corpora.UNSEEN_VOICES
    return voice, (split_of_unseen if unseen else split_of)(sentence, fractions)


def _street_clip(name: str, fractions: Sequence[float]) -> tuple[str, str] | None:
    """(kind, split) of a city recording such as "TraficHigh1", or None if not of the street."""
    kind = next((kind for kind in default_corpora.STREET_KINDS if name.startswith(kind)), None)
    return kind and (kind, split_of(default_corpora.SAME_RECORDING.get(name, name), fractions))


def _stored(
    corpus: str,
    rate: int,
    place: Callable[[str], tuple[str, str] | None],
    min_seconds: float = MIN_SECONDS,
) -> Corpus:
    """Open a fetched corpus from the cache.

    Args:
        place: Gives (voice, split) for the name of a clip, or None for one to leave out.
    """
    index_path = fetch_corpus(corpus)
    index = read_json(index_path)
    _opened[corpus] = index["digest"]
    clips, where = [], {}
    for entry in index["clips"]:
        placed = place(entry["name"])
        if placed is None or entry["length"] < min_seconds * RATE:
            continue
        samples = -(-entry["length"] * rate // RATE)
        clips.append(Clip(entry["name"], *placed, samples))
        where[entry["name"]] = entry["start"], entry["length"]
    reader = _Stored(index_path.parent / index["samples"], where, rate)
    return Corpus("default", rate, clips, reader, index["digest"])


def opened() -> dict[str, str]:
    """Digests of the fetched corpora that this process has opened, {"speech": ..., "read": ...}."""
    return dict(_opened)


def _joined(first: Corpus, second: Corpus) -> Corpus:
    """Two corpora as one, "wide"; names of the second begin with a package's, none is in both."""
    clips = sorted(first.clips + second.clips, key=lambda clip: clip.name)
    digest = hashlib.sha256(f"{first.digest}\0{second.digest}".encode()).hexdigest()
    readers = {clip.name: each._reader for each in (first, second) for clip in each.clips}
    return Corpus("wide", first.rate, clips, _Joined(readers), digest)


def _files(
    source: str | Path,
    rate: int,
    fractions: Sequence[float],
    found: folders.Found,
    min_seconds: float = MIN_SECONDS,
) -> Corpus:
    """Open a folder of recordings, which are read when they are asked for."""
    clips, paths, known, digest = [], {}, {}, hashlib.sha256()
    passed, index = Counter(found.passed), Index(Path(source).expanduser())
    placed = [(item, item.place(fractions)) for item in found.recordings]
    # What is in no split is not even opened: the study takes a tenth of VCTK's 44,000 files.
    used = [(item, split) for item, split in placed if split != "unused"]
    passed["in no split"] += len(placed) - len(used)
    sounds = index.sounds([item.path for item, _ in used], f"reading {source}")
    for (item, split), (contents, frames, own_rate) in zip(used, sounds, strict=True):
        samples = ceil(frames * rate / own_rate)
        if samples < min_seconds * rate:
            passed[f"shorter than {min_seconds:g} s"] += 1
            continue
        clips.append(Clip(item.name, item.voice, split, samples))
        paths[item.name] = item.path, item.noisy
        known[item.path] = contents, samples
        for each in (contents, *([index.digest(item.noisy)] if item.noisy else [])):
            digest.update(f"{item.name}\0{each}\0{split}\0".encode(errors="surrogateescape"))
    index.keep()  # the digests of noisy twins
    if not clips:
        raise UserError(f"{source} holds no clip of {min_seconds} s or more in any split")
    _tell(f"{source}: {_counts(clips, rate)}{_passed_over(passed)}")
    reader = _Files(paths, rate, Stretches(rate, known))
    return Corpus(Path(source).name, rate, clips, reader, digest.hexdigest())


def _cuts(
    source: str | Path,
    rate: int,
    fractions: Sequence[float],
    min_seconds: float,
    by_voice: bool = True,
) -> Corpus:
    """Open a Lhotse manifest."""
    clips, reader, passed = cuts.read(Path(source), rate, fractions, min_seconds, by_voice)
    if not clips:
        raise UserError(f"{source} holds no clip of {min_seconds} s or more in any split")
    _tell(f"{source}: {_counts(clips, rate)}{_passed_over(passed)}")
    digest = hashlib.sha256(f"{sha256(source)}\0{list(fractions)}".encode()).hexdigest()
    return Corpus(Path(source).name, rate, clips, reader, digest)


def _counts(clips: list[Clip], rate: int) -> str:
    """How many clips, voices and hours in all and in each split, in words."""

    def told(own: list[Clip]) -> str:
        seconds = sum(clip.samples for clip in own) / rate
        return f"{seconds / 3600:.1f} h" if seconds >= 360 else f"{seconds / 60:.1f} min"

    parts = [f"{counted(len(clips), len({clip.voice for clip in clips}))}, {told(clips)}"]
    for split in SPLITS:
        if own := [clip for clip in clips if clip.split == split]:
            parts.append(f"{split} {len(own)} of {len({clip.voice for clip in own})}, {told(own)}")
    return "; ".join(parts)


def _passed_over(passed: Counter[str]) -> str:
    """What was left out and why, in words; empty where nothing was."""
    parts = [f"{count} {reason}" for reason, count in sorted(passed.items()) if count]
    return f"; passed over: {', '.join(parts)}" if parts else ""


@cache
def _tell(line: str) -> None:
    """Say a line on stderr, once."""
    say(line)


class _Stored(Reader):
    """Reads stretches of one int16 array on disk.

    The array stays open, so that it can be read to the end where another clone replaces it; copies
    for other processes open it again.
    """

    def __init__(self, path: Path, where: dict[str, tuple[int, int]], rate: int) -> None:
        self.path, self.where, self.rate = path, where, rate
        self.array: np.memmap | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"array": None}

    def waveform(self, name: str) -> Tensor:
        start, length = self.where[name]
        if self.array is None:
            self.array = np.load(self.path, mmap_mode="r")
        samples = self.array[start : start + length].astype(np.float32) / 32768
        return resample(torch.from_numpy(samples), RATE, self.rate)

    def noisy(self, name: str) -> Tensor:
        raise UserError(
            "the default corpus has no noisy recordings of its own: use another condition than own"
        )


class _Joined(Reader):
    """Reads each clip where it lies."""

    def __init__(self, readers: dict[str, Reader]) -> None:
        self.readers = readers

    def waveform(self, name: str) -> Tensor:
        return self.readers[name].waveform(name)

    def noisy(self, name: str) -> Tensor:
        return self.readers[name].noisy(name)

    def beginning(self, name: str, samples: int | None) -> Tensor:
        return self.readers[name].beginning(name, samples)

    def crop(self, name: str, start: int, samples: int) -> Tensor:
        return self.readers[name].crop(name, start, samples)


class _Files(Reader):
    """Reads one file per clip, and its noisy twin if there is one."""

    def __init__(
        self, paths: dict[str, tuple[Path, Path | None]], rate: int, stretches: Stretches
    ) -> None:
        self.paths, self.rate, self.stretches = paths, rate, stretches

    def waveform(self, name: str) -> Tensor:
        return load(self.paths[name][0], self.rate, quiet=True)

    def noisy(self, name: str) -> Tensor:
        noisy = self.paths[name][1]
        if noisy is None:
            raise UserError(
                f"{self.paths[name][0]} has no noisy twin: open folders `clean` and `noisy`"
            )
        return load(noisy, self.rate, quiet=True)

    def beginning(self, name: str, samples: int | None) -> Tensor:
        if samples is None:
            return self.waveform(name)
        return self.stretches.read(self.paths[name][0], 0, samples)

    def crop(self, name: str, start: int, samples: int) -> Tensor:
        path = self.paths[name][0]
        stretch, level = self.stretches.read(path, start, samples), self.stretches.level(path)
        return stretch * (LEVEL / level) if level > 0 else stretch
