"""Folders of recordings: VCTK, VoiceBank+DEMAND, other pairs, MUSAN, UrbanSound8K, or any.

Each finder lists the recordings as :class:`Recording`, without decoding audio. The split depends on
names, on sentences where the corpus includes its texts, or on the corpus's own test set. It never
depends on the order of the files.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from denoise_lib.data.index import Index
from denoise_lib.data.splits import share, split_of, split_of_unseen
from denoise_lib.data.wide_corpora import MUSIC
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

URBAN_KINDS = (  # by their numbers in the names of UrbanSound8K
    "air conditioner",
    "car horn",
    "children playing",
    "dog bark",
    "drilling",
    "engine idling",
    "gun shot",
    "jackhammer",
    "siren",
    "street music",
)

COMMON_SENTENCES = 24  # of VCTK, read by everybody
UNSEEN_SPEAKERS = 0.05  # share of VCTK's 110 speakers that training never hears
SEVERAL = 3  # voices, of which one at least is kept out of training


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


@dataclass(frozen=True)
class Found:
    """The recordings of a folder, sorted by name, and how many files were passed over, and why."""

    recordings: list[Recording]
    passed: Counter[str]


def find(source: str | Path) -> Found:
    """List the recordings of a speech corpus, whichever layout it has.

    Where it names several voices and no splits, training never hears some of them, or one.

    Raises:
        UserError: No such folder, or no audio in it.
    """
    folder = _folder(source)
    passed: Counter[str] = Counter()
    for root in (folder, folder / "VCTK-Corpus-0.92"):
        if (root / "wav48_silence_trimmed").is_dir():
            return _some(vctk(root, passed), folder, passed)
    if _clean_folders(folder):
        return _some(_some_kept_out(list(pairs(folder))), folder, passed)
    found = plain(folder)
    return Found(_some_kept_out(found.recordings), found.passed)


def find_noise(source: str | Path) -> Found:
    """List the recordings of a noise corpus, whichever layout it has.

    Raises:
        UserError: No such folder, or no audio in it.
    """
    folder = _folder(source)
    passed: Counter[str] = Counter()
    if all((folder / part).is_dir() for part in ("music", "noise", "speech")):
        return _some(musan(folder, passed), folder, passed)
    if (folder / "audio" / "fold1").is_dir():
        return _some(urban_sound(folder, passed), folder, passed)
    return plain(folder)


def musan(root: Path, passed: Counter[str]) -> Iterator[Recording]:
    """MUSAN: ``noise/free-sound/noise-free-sound-0000.wav``, ``music/jamendo/...``.

    The kind is the source, marked where it is music. What people say in it is passed over: speech
    is what is to be kept.
    """
    for path in _sounds(root, passed):
        part, *inside, _ = path.relative_to(root).parts
        if part == "speech":
            passed["of speech"] += 1
        else:
            kind = (inside or [part])[0] + (MUSIC if part == "music" else "")
            yield Recording(path.relative_to(root).as_posix(), kind, path, path.stem)


def urban_sound(root: Path, passed: Counter[str]) -> Iterator[Recording]:
    """UrbanSound8K: ``audio/fold1/7061-6-0-0.wav``, slices of recordings from freesound.org.

    The first number of a name is the recording, by which the split is drawn: no slice of a test
    recording is heard in training. The second is the kind.
    """
    for path in _sounds(root / "audio", passed):
        recording, _, rest = path.stem.partition("-")
        kind = rest.partition("-")[0]
        if not (kind.isdigit() and int(kind) < len(URBAN_KINDS)):
            passed["of another name"] += 1
            continue
        name = path.relative_to(root / "audio").as_posix()
        yield Recording(name, URBAN_KINDS[int(kind)], path, recording)


def vctk(root: Path, passed: Counter[str]) -> Iterator[Recording]:
    """VCTK 0.92: ``wav48_silence_trimmed/p225/p225_001_mic1.flac``, ``txt/p225/p225_001.txt``.

    Speakers read from one pool of sentences, so the split is drawn by the sentence: what a test
    clip says was never said in training. Some speakers are kept out of training altogether. One has
    no texts (p315): the first 24 sentences are the same for all, so they are taken from another.
    Its others are passed over, since nobody knows whether another voice says them in a test.
    """
    spoken, common = [], {}
    for path in _sounds(root / "wav48_silence_trimmed", passed):
        name = path.stem.removesuffix("_mic1")
        if name == path.stem:
            passed["of another microphone"] += 1
            continue
        speaker, number = _speaker_and_number(name)
        text = _sentence(f"{root}/txt/{speaker}/{name}.txt")
        spoken.append((path, name, speaker, number, text))
        if text and number.isdigit() and int(number) <= COMMON_SENTENCES:
            common.setdefault(number, text)
    texts = any(text for *_, text in spoken)
    unseen = _unseen(Counter(speaker for _, _, speaker, *_ in spoken))
    for path, name, speaker, number, text in spoken:
        key = text or common.get(number) or ("" if texts else number)
        if not key:
            passed["without a text"] += 1
            continue
        yield Recording(f"{speaker}/{name}", speaker, path, key, unseen=speaker in unseen)


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
        for path in _sounds(clean, Counter()):
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


def plain(source: str | Path) -> Found:
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
    passed: Counter[str] = Counter()
    files = _sounds(folder, passed)
    arrays = _microphone_arrays(files)
    heard = [path for path in files if path.parent not in arrays or path == arrays[path.parent]]
    passed["of another microphone"] += len(files) - len(heard)
    files = _without_copies(heard, folder)
    passed["copies of another"] += len(heard) - len(files)
    meant = _meant({path.relative_to(folder).parts[0] for path in files if path.parent != folder})
    found = []
    for path in files:
        parts = path.relative_to(folder).parts
        fixed = meant.get(parts[0], "") if len(parts) > 1 else ""
        rest = parts[1:] if fixed else parts
        voice = rest[0] if len(rest) > 1 else folder.resolve().name
        key = Path(*rest[1:] or rest).with_suffix("").as_posix()
        if path.parent in arrays and len(rest) > 1:
            key = Path(*rest[:-1]).as_posix()
        found.append(Recording("/".join(parts), voice, path, key, fixed))
    return _some(found, folder, passed)


def _some_kept_out(recordings: list[Recording]) -> list[Recording]:
    """Mark the voices that training never hears, where the corpus itself has no splits.

    Voices are told apart by sub-folders: whose a file beside them is nobody knows.
    """
    known = {item for item in recordings if not item.fixed and "/" in item.name}
    unseen = _unseen(Counter(item.voice for item in known))
    return [replace(item, unseen=item in known and item.voice in unseen) for item in recordings]


def _unseen(clips: Counter[str]) -> set[str]:
    """Of several voices those that training never hears, drawn by their names; one at least.

    A voice that says more than half of all is not among them.
    """
    if len(clips) < SEVERAL:
        return set()
    places = {
        voice: share(f"speaker {voice}")
        for voice, count in clips.items()
        if 2 * count <= clips.total()
    }
    drawn = {voice for voice, place in places.items() if place < UNSEEN_SPEAKERS}
    return drawn or {min(places, key=places.__getitem__)}


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


def _some(recordings: Iterable[Recording], folder: Path, passed: Counter[str]) -> Found:
    recordings = sorted(recordings, key=lambda item: item.name)
    if not recordings:
        raise UserError(f"{folder} holds no audio files: give a folder of .wav, .flac or .mp3")
    return Found(recordings, +passed)


def _sounds(folder: Path, passed: Counter[str]) -> list[Path]:
    """All files of sound in a folder, sorted; folders that are linked into it are searched, too.

    Names that begin with "." are left out: macOS keeps such files beside others.
    """
    found = []
    for path in _files(folder):
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            passed[f"named {suffix}" if suffix else "without a suffix"] += 1
        elif path.is_file():
            found.append(path)
    return sorted(found, key=lambda path: path.parts)  # as paths sort, and five times as fast


def _files(folder: Path) -> Iterator[Path]:
    """Files in a folder and below; what a link leads to once, and where it lies itself first."""
    waiting, seen = [str(folder)], set()
    while waiting:
        for root, inside, names in os.walk(waiting.pop(0)):
            state = os.stat(root)  # noqa: PTH116
            if (state.st_dev, state.st_ino) in seen:
                inside.clear()
                continue
            seen.add((state.st_dev, state.st_ino))
            inside[:] = sorted(each for each in inside if not each.startswith("."))
            # The walk itself follows no link.
            waiting += [link for each in inside if Path(link := f"{root}/{each}").is_symlink()]
            yield from (Path(root, each) for each in names if not each.startswith("."))


def _speaker_and_number(stem: str) -> tuple[str, str]:
    speaker, _, number = stem.partition("_")
    return speaker, number or stem


def _sentence(path: str | Path) -> str:
    """What is said, without case and punctuation; empty if there is no text."""
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return " ".join(re.findall(r"\w+", text.lower()))


def _without_copies(paths: list[Path], folder: Path) -> list[Path]:
    """The paths whose contents differ from all earlier ones; only files of equal size are read."""
    sizes = defaultdict(list)
    for path in paths:
        sizes[path.stat().st_size].append(path)
    copies, index = set(), Index(folder)
    for same in sizes.values():
        seen = set()
        for path in same if len(same) > 1 else ():
            digest = index.digest(path)
            (copies if digest in seen else seen).add(path if digest in seen else digest)
    index.keep()
    return [path for path in paths if path not in copies]
