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
from denoise_lib.data.digests import Digests
from denoise_lib.data.splits import share, split_of, split_of_unseen
from denoise_lib.errors import UserError

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

MICROPHONE = re.compile(r"ch\d\d", re.IGNORECASE)  # names of DEMAND's files
# Sub-folders that say what they are for, where one of them says that it is for training.
NAMED_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev"), "valid"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}

COMMON_SENTENCES = 24  # of VCTK, read by everybody
UNSEEN_SPEAKERS = 0.05  # share of VCTK's 110 speakers that training never hears


@dataclass(frozen=True)
class Recording:
    """One file of a corpus on disk.

    Attributes:
        name: Unique in the corpus.
        voice: The speaker, or the kind of a noise.
        path: The file.
        key: What the split is drawn by, the same for recordings that must stay together.
        fixed: "train", "valid" or "test" where the corpus itself says so; "train, valid" where
            validation clips are to be taken from its training set.
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
        if self.fixed == "train, valid":
            return split_of(self.key, (1 - fractions[1], fractions[1], 0.0))
        if self.fixed:
            return self.fixed
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
    clip says was never said in training. Some speakers are kept out of training altogether. One has
    no texts (p315): the first 24 sentences are the same for all, so they are taken from another.
    """
    common: dict[str, str] = {}
    for path in sorted((root / "txt").glob("*/*.txt")):
        number = _speaker_and_number(path.stem)[1]
        if number not in common and number.isdigit() and int(number) <= COMMON_SENTENCES:
            common[number] = _sentence(path)
    for path in sorted((root / "wav48_silence_trimmed").glob("*/*_mic1.flac")):
        name = path.stem.removesuffix("_mic1")
        speaker, number = _speaker_and_number(name)
        text = _sentence(root / "txt" / speaker / f"{name}.txt")
        key = text or common.get(number) or number
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
        inside_name = clean.relative_to(folder).as_posix()
        part = next((each for each in ("test", "train") if each in inside_name), "")
        fixed = "train, valid" if part == "train" else part
        noisy = clean.with_name(clean.name.replace("clean", "noisy", 1))
        texts = clean.with_name(clean.name.replace("clean_", "", 1).removesuffix("_wav") + "_txt")
        for path in sorted(clean.rglob("*")):
            if path.suffix.lower() not in SUFFIXES or not path.is_file():
                continue
            inside = path.relative_to(clean)
            if not (noisy / inside).is_file():
                raise UserError(f"{path} has no noisy twin: add {noisy / inside}")
            speaker, number = _speaker_and_number(path.stem)
            speaker = inside.parts[0] if len(inside.parts) > 1 else speaker
            key = _sentence(texts / f"{path.stem}.txt") or number
            name = "/".join(filter(None, [part, inside.with_suffix("").as_posix()]))
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

    Where the first sub-folders are named train and valid or test (or dev, eval and the like), they
    are the splits, and the voice is the next sub-folder. A folder of ``ch01.wav`` to ``ch16.wav``,
    as in DEMAND, holds one recording by many microphones: only the first counts, and the split is
    drawn by the folder.

    Raises:
        UserError: No such folder, or no audio in it.
    """
    folder = _folder(source)
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    arrays = _microphone_arrays(files)
    files = [path for path in files if path.parent not in arrays or path == arrays[path.parent]]
    meant = _meant({path.relative_to(folder).parts[0] for path in files if path.parent != folder})
    found = []
    for path in _without_copies(files, folder):
        parts = path.relative_to(folder).parts
        fixed = meant.get(parts[0], "") if len(parts) > 1 else ""
        rest = parts[1:] if fixed else parts
        voice = rest[0] if len(rest) > 1 else folder.resolve().name
        key = Path(*rest[1:] or rest).with_suffix("").as_posix()
        if path.parent in arrays and len(rest) > 1:
            key = Path(*rest[:-1]).as_posix()
        found.append(Recording("/".join(parts), voice, path, key, fixed))
    return _some(found, folder)


def _microphone_arrays(files: list[Path]) -> dict[Path, Path]:
    """{folder: first file} of the folders that hold one recording by several microphones."""
    inside = defaultdict(list)
    for path in files:
        inside[path.parent].append(path)
    return {
        parent: min(own)
        for parent, own in inside.items()
        if len(own) > 1 and all(MICROPHONE.fullmatch(path.stem) for path in own)
    }


def _meant(names: set[str]) -> dict[str, str]:
    """{sub-folder: what ``Recording.fixed`` is in it}, where sub-folders are named as splits."""
    splits = {name: NAMED_SPLITS[name.lower()] for name in names if name.lower() in NAMED_SPLITS}
    if not {"train"} < set(splits.values()):
        return {}
    if "valid" in splits.values():
        return splits
    return {name: "train, valid" if each == "train" else each for name, each in splits.items()}


def _folder(source: str | Path) -> Path:
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise UserError(f"{source} is not a folder; give a folder of audio files, or default")
    return folder


def _some(recordings: Iterable[Recording], folder: Path) -> list[Recording]:
    recordings = sorted(recordings, key=lambda item: item.name)
    if not recordings:
        raise UserError(f"{folder} holds no audio files: give a folder of .wav, .flac or .mp3")
    return recordings


def _speaker_and_number(stem: str) -> tuple[str, str]:
    speaker, _, number = stem.partition("_")
    return speaker, number or stem


def _sentence(path: Path) -> str:
    """What is said, without case and punctuation; empty if there is no text."""
    if not path.is_file():
        return ""
    return " ".join(re.findall(r"\w+", path.read_text(encoding="utf-8", errors="replace").lower()))


def _without_copies(paths: list[Path], folder: Path) -> list[Path]:
    """The paths whose contents differ from all earlier ones; only files of equal size are read."""
    sizes = defaultdict(list)
    for path in paths:
        sizes[path.stat().st_size].append(path)
    copies, digests = set(), Digests(folder)
    for same in sizes.values():
        seen = set()
        for path in same if len(same) > 1 else ():
            digest = digests.of(path)
            (copies if digest in seen else seen).add(path if digest in seen else digest)
    digests.keep()
    return [path for path in paths if path not in copies]
