"""A decoded corpus: one array of 16-bit samples on disk and an index of what lies where in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from denoise_lib import RATE
from denoise_lib.data import wide_corpora
from denoise_lib.data.default_corpora import Package
from denoise_lib.data.index import Index
from denoise_lib.errors import UserError
from denoise_lib.files import Sink, atomic, read_json, write_json
from denoise_lib.progress import bar

FORMAT = 1  # raise it when the meaning of the files changes: caches are then made anew

# What is decoded at all of corpora that are a part of their packages: clip name -> true or false.
LISTED = {"wide_speech": wide_corpora.speech_clip, "wide_noise": wide_corpora.noise_clip}

# City recordings hold infrasound and direct current from cheap recorders, up to nine tenths of
# their energy. Nobody hears it, but it would decide how loud a noise seems.
# In volunteers' speech it is hum and rumble, which no target may hold.
HIGHPASS_HZ = {"street": 40, "wide_speech": 60, "wide_noise": 20}


def parameters(name: str, packages: Iterable[Package]) -> dict:
    """What a decoded corpus depends on; kept in its index and compared before it is used."""
    return {
        "format": FORMAT,
        "rate": RATE,
        "highpass_hz": HIGHPASS_HZ.get(name, 0),
        "content": {
            # One package may be there twice, with two folders of it.
            package.prefix if name in LISTED else package.name: package.content
            for package in packages
        },
    }


def index_path(folder: Path, name: str, made_with: dict) -> Path:
    """Where the index of a corpus lies that was made with these parameters.

    Clones of unlike versions that share a cache have an index each, and arrays of its name.
    """
    digest = hashlib.sha256(json.dumps(made_with, sort_keys=True).encode()).hexdigest()
    return folder / f"{name}-{digest[:8]}.json"


def valid(index: Path, made_with: dict) -> bool:
    """Whether the corpus behind ``index`` is whole and was made with these parameters.

    The samples are compared with their digest, once for each version of the file.
    """
    try:
        found = read_json(index)
        path = index.parent / found["samples"]
        samples = np.load(path, mmap_mode="r")
        if found["made_with"] != made_with or len(samples) != found["length"]:
            return False
        known = Index(index.parent)
        digest = known.digest(path, lambda path: _digest_of(samples, found["clips"]))
    except (UserError, OSError, ValueError, KeyError, TypeError):
        return False
    known.keep()
    return digest == found["digest"]


def _digest_of(samples: NDArray[np.int16], clips: list[dict]) -> str:
    """Digest over the names and samples of all clips, as :func:`decode` takes it."""
    digest = hashlib.sha256()
    for clip in clips:
        own = np.ascontiguousarray(samples[clip["start"] : clip["start"] + clip["length"]])
        digest.update(clip["name"].encode() + b"\0" + hashlib.sha256(own).digest())
    return digest.hexdigest()


def decode(
    index: Path, name: str, folders: Iterable[tuple[Package, Path]], made_with: dict
) -> None:
    """Decode all recordings into one array beside ``index``, then write the index.

    Recordings that cannot be told from an earlier one, sample by sample, are kept once, under the
    name that sorts first. Empty ones are dropped.

    Args:
        index: Path of the index to write, of :func:`index_path`.
        name: Name of the corpus, a key of ``READERS``.
        folders: Each package with the folder of its recordings.
        made_with: What the corpus depends on, from :func:`parameters`.
    """
    read = READERS[name]
    files = sorted(
        (package.prefix + path.relative_to(folder).with_suffix("").as_posix(), path)
        for package, folder in folders
        for path in folder.rglob(f"*{package.recordings}")
    )
    files = [(clip, path) for clip, path in files if "silence" not in clip.split("/")]
    files = [(clip, path) for clip, path in files if name not in LISTED or LISTED[name](clip)]
    clips, blocks, seen, start, digest = [], [], set(), 0, hashlib.sha256()
    with bar(len(files), f"decoding {name}") as shown:
        for clip, path in files:
            samples = read(path)
            shown.update()
            content = hashlib.sha256(samples).digest()
            if len(samples) == 0 or content in seen:
                continue
            seen.add(content)
            digest.update(clip.encode() + b"\0" + content)
            clips.append({"name": clip, "start": start, "length": len(samples)})
            blocks.append(samples)
            start += len(samples)
    # The index names the array by its digest, so old and new can never be taken for each other.
    array = index.with_name(f"{index.stem}-{digest.hexdigest()[:12]}.npy")
    with atomic(array) as temporary, open(temporary, "wb") as file, Sink(file) as sink:
        np.save(sink, np.concatenate(blocks))
    write_json(
        index,
        {
            "made_with": made_with,
            "samples": array.name,
            "length": start,
            "digest": digest.hexdigest(),
            "clips": clips,
        },
    )
    for old in index.parent.glob(f"{index.stem}-*.npy"):
        if old != array:
            old.unlink()


def _prompt(path: Path) -> NDArray[np.int16]:
    """int16 samples of a G.722 prompt, 16 kHz mono by definition of the codec."""
    from denoise_lib.audio import read, to_int16

    if path.stat().st_size == 0:
        return np.zeros(0, np.int16)
    samples, rate = read(path)
    if rate != RATE:
        raise UserError(f"{path} decodes to {rate} Hz, expected {RATE}")
    return to_int16(samples[:, 0])


def _sentence(path: Path) -> NDArray[np.int16]:
    """int16 samples of a sentence that is read, 16 kHz mono."""
    from denoise_lib.audio import read, to_int16

    samples, rate = read(path)
    if (rate, samples.shape[1]) != (RATE, 1):
        raise UserError(
            f"{path}: {samples.shape[1]} channels at {rate} Hz, expected 1 at {RATE} Hz"
        )
    return to_int16(samples[:, 0])


def _city_recording(path: Path) -> NDArray[np.int16]:
    """int16 samples of a city recording: mono, 16 kHz, without infrasound and silent ends."""
    x = _filtered(*_mono(path), HIGHPASS_HZ["street"])
    loud = np.flatnonzero(np.abs(x) > 2**-12)
    return _int16(x[loud[0] : loud[-1] + 1]) if len(loud) else np.zeros(0, np.int16)


def _volunteer(path: Path) -> NDArray[np.int16]:
    """int16 samples of a volunteer's clip, without silent ends; nothing where it is no target.

    That is where it is shorter than 0.3 s, made at less than 11 kHz, clipped, silent, or where its
    softest parts are less than 24 dB below its loudest ones, which in a clip of 1.5 s and more
    means noise.
    """
    mono, rate = _mono(path)
    nothing = np.zeros(0, np.int16)
    if rate < 11_000 or len(mono) < 0.3 * rate or np.mean(np.abs(mono) > 0.99) > 0.003:
        return nothing
    level = _levels(mono, rate // 50)  # dB, in stretches of 20 ms
    loud, soft = np.percentile(level, (95, 5))
    if loud < -45 or (len(mono) >= 1.5 * rate and soft > loud - 24):
        return nothing
    x = _trimmed(_filtered(mono, rate, HIGHPASS_HZ["wide_speech"]), -50, RATE // 20)
    return _int16(_loud(x)) if len(x) >= 0.25 * RATE else nothing


def _noise(path: Path) -> NDArray[np.int16]:
    """int16 samples of a noise or of a minute of music, without quiet ends; nothing below 1 s."""
    x = _trimmed(_filtered(*_mono(path), HIGHPASS_HZ["wide_noise"]), -40, 0)[: 60 * RATE]
    silent = len(x) < RATE or np.sqrt(np.mean(np.square(x))) < 3e-4
    return np.zeros(0, np.int16) if silent else _int16(_loud(x))


def _mono(path: Path) -> tuple[NDArray[np.float32], int]:
    """Samples of a recording, mixed down, and their rate; none of a file that holds none."""
    from denoise_lib.audio import read

    try:
        samples, rate = read(path)
    except UserError:  # two clips of the packages are empty
        return np.zeros(0, np.float32), RATE
    return samples.mean(axis=1), rate


def _filtered(mono: NDArray[np.float32], rate: int, highpass_hz: float) -> NDArray[np.float32]:
    """At 16 kHz, without what is below a frequency; nothing of a clip too short to filter."""
    import torch
    from scipy.signal import butter, sosfiltfilt

    from denoise_lib.audio import resample

    x = resample(torch.from_numpy(mono), rate, RATE).numpy()
    if len(x) < RATE // 10:  # nothing that short is offered as a clip
        return np.zeros(0, np.float32)
    return sosfiltfilt(butter(2, highpass_hz, "highpass", fs=RATE, output="sos"), x)


def _levels(x: NDArray[np.float32], stretch: int) -> NDArray[np.float32]:
    """Level of each stretch of so many samples, dB re full scale."""
    stretches = x[: len(x) // stretch * stretch].reshape(-1, stretch)
    return 10 * np.log10(np.mean(np.square(stretches), axis=1) + 1e-10)


def _trimmed(x: NDArray[np.float32], below_db: float, margin: int) -> NDArray[np.float32]:
    """Without the ends that are so many dB below the loudest 10 ms, but for a margin in samples."""
    stretch = RATE // 100
    if len(x) < stretch:
        return x
    level = _levels(x, stretch)
    loud = np.flatnonzero(level > max(level.max() + below_db, -80))
    if len(loud) == 0:
        return x[:0]
    return x[max(0, loud[0] * stretch - margin) : (loud[-1] + 1) * stretch + margin]


def _loud(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """At an RMS level of 0.1, or less where the peaks would pass 0.9: 16 bits are used well."""
    return x * min(0.9 / np.abs(x).max(), 0.1 / np.sqrt(np.mean(np.square(x))))


def _int16(x: NDArray[np.float32]) -> NDArray[np.int16]:
    from denoise_lib.audio import to_int16

    return to_int16(x)


READERS = {
    "speech": _prompt,
    "street": _city_recording,
    "read": _sentence,
    "wide_speech": _volunteer,
    "wide_noise": _noise,
}
