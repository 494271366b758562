"""Folders of recordings: VCTK 0.92, VoiceBank+DEMAND, other pairs, or any audio files.

Each finder lists the recordings as :class:`Recording`, without decoding audio. The split depends on
names, on sentences where the corpus includes its texts, or on the corpus's own test set. It never
depends on the order of the files.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from denoise_lib.audio import length
from denoise_lib.data.splits import share, split_of, split_of_unseen
from denoise_lib.errors import UserError
from denoise_lib.files import sha256

SUFFIXES = {
    ".wav",
    ".flac",
    ".ogg",
    ".mp3",
    ".opus",
    ".m4a",
    ".aac",
    ".wma",
    ".aif",
    ".aiff",
    ".g722",
    ".webm",
    ".mp4",
}

UNSEEN_SPEAKERS = 0.05  # share of VCTK's 110 speakers that training never hears


@dataclass(frozen=True)
class Recording:
    """One file of a corpus on disk.

    Attributes:
        name: Unique in the corpus.
        voice: The speaker, or the kind of a noise.
        path: The file.
        key: What the split is drawn by, the same for recordings that must stay together.
        fixed: "train" or "test" where the corpus itself says so.
        unseen: Whether the voice is kept out of training.
        noisy: Its noisy twin, in paired corpora.
    """

    name: str
    voice: str
    path: Path
    key: str
    fixed: str = ""
    unseen: bool = False
    noisy: Path | None = None

    def place(self, fractions: Sequence[float]) -> str:
        """The split of this recording; see ``splits``."""
        if self.fixed == "test":
            return "test"
        if self.fixed == "train":
            return split_of(self.key, (1 - fractions[1], fractions[1], 0.0))
        return (split_of_unseen if self.unseen else split_of)(self.key, fractions)

    def samples(self, rate: int) -> int:
        """Its length in samples at ``rate`` samples per second."""
        return length(self.path, rate)


def find(source: str | Path) -> list[Recording]:
    """List the recordings of a speech corpus, whichever layout it has.

    Raises:
        UserError: No such folder, or no audio in it.
    """
    folder = _folder(source)
    for root in (folder, folder / "VCTK-Corpus-0.92"):
        if (root / "wav48_silence_trimmed").is_dir():
            return _some(vctk(root), folder)
    if _clean_folders(folder):
        return _some(pairs(folder), folder)
    return plain(folder)


def vctk(root: Path) -> Iterator[Recording]:
    """VCTK 0.92: ``wav48_silence_trimmed/p225/p225_001_mic1.flac``, ``txt/p225/p225_001.txt``.

    Speakers read from one pool of sentences, so the split is drawn by the sentence: what a test
    clip says was never said in training. Some speakers are kept out of training altogether.
    """
    for path in sorted((root / "wav48_silence_trimmed").glob("*/*_mic1.flac")):
        name = path.stem.removesuffix("_mic1")
        speaker, number = _speaker_and_number(name)
        key = _sentence(root / "txt" / speaker / f"{name}.txt") or number
        unseen = share(f"speaker {speaker}") < UNSEEN_SPEAKERS
        yield Recording(f"{speaker}/{name}", speaker, path, key, unseen=unseen)


def pairs(folder: Path) -> Iterator[Recording]:
    """A corpus in pairs: folders that begin with "clean", and equally named files in "noisy" ones.

    VoiceBank+DEMAND is one: ``clean_trainset_28spk_wav/p226_001.wav`` and its twin in
    ``noisy_trainset_28spk_wav``. Others have ``clean`` and ``noisy``, perhaps in ``train`` and
    ``test``. Where a folder's name says that it is for training or the test, that is kept, and
    validation clips are taken from the training set, by sentence. The voice is the sub-folder, or
    what stands before the first "_" of the file's name.

    Raises:
        UserError: A recording has no noisy twin.
    """
    for clean in _clean_folders(folder):
        part = clean.relative_to(folder).as_posix()
        fixed = next((each for each in ("test", "train") if each in part), "")
        noisy = clean.with_name(clean.name.replace("clean", "noisy", 1))
        texts = clean.with_name(clean.name.replace("clean_", "", 1).removesuffix("_wav") + "_txt")
        for path in sorted(clean.rglob("*")):
            if path.suffix.lower() not in SUFFIXES or not path.is_file():
                continue
            inside = path.relative_to(clean)
            if not (noisy / inside).is_file():
                raise UserError(f"{path} has no noisy twin: {noisy / inside} is not there")
            speaker, number = _speaker_and_number(path.stem)
            speaker = inside.parts[0] if len(inside.parts) > 1 else speaker
            key = _sentence(texts / f"{path.stem}.txt") or number
            name = "/".join(filter(None, [fixed, inside.with_suffix("").as_posix()]))
            yield Recording(name, speaker, path, key, fixed, noisy=noisy / inside)


def _clean_folders(folder: Path) -> list[Path]:
    """Folders of clean recordings in a corpus that comes in pairs; none in another corpus."""
    return [
        each
        for each in sorted([*folder.glob("clean*"), *folder.glob("*/clean*")])
        if each.is_dir()
        and (
            each.match("clean_*_wav")
            or each.with_name(each.name.replace("clean", "noisy", 1)).is_dir()
        )
    ]


def plain(source: str | Path) -> list[Recording]:
    """Any folder of audio files, searched to the bottom; a copy of an earlier file is left out.

    The voice is the first sub-folder, or the folder's own name. The split is drawn by the rest of
    the name, so that equally named files of several voices (one sentence, often) stay together.

    Raises:
        UserError: No such folder, or no audio in it.
    """
    folder = _folder(source)
    files = [
        path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
    ]
    found = []
    for path in _without_copies(sorted(files)):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") for part in parts):
            continue
        voice = parts[0] if len(parts) > 1 else folder.resolve().name
        key = Path(*parts[1:] or parts).with_suffix("").as_posix()
        found.append(Recording("/".join(parts), voice, path, key))
    return _some(found, folder)


def _folder(source: str | Path) -> Path:
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise UserError(f"{source} is not a folder; give a folder of audio files, or default")
    return folder


def _some(recordings: Iterable[Recording], folder: Path) -> list[Recording]:
    recordings = sorted(recordings, key=lambda item: item.name)
    if not recordings:
        raise UserError(f"{folder} holds no audio files")
    return recordings


def _speaker_and_number(stem: str) -> tuple[str, str]:
    speaker, _, number = stem.partition("_")
    return speaker, number or stem


def _sentence(path: Path) -> str:
    """What is said, without case and punctuation; empty if there is no text."""
    if not path.is_file():
        return ""
    return " ".join(re.findall(r"\w+", path.read_text(encoding="utf-8", errors="replace").lower()))


def _without_copies(paths: list[Path]) -> list[Path]:
    """The paths whose contents differ from all earlier ones; only files of equal size are read."""
    sizes = defaultdict(list)
    for path in paths:
        sizes[path.stat().st_size].append(path)
    copies = set()
    for same in sizes.values():
        seen = set()
        for path in same if len(same) > 1 else ():
            digest = sha256(path)
            (copies if digest in seen else seen).add(path if digest in seen else digest)
    return [path for path in paths if path not in copies]
