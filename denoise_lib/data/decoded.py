"""A decoded corpus: one array of 16-bit samples on disk and an index of what lies where in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from denoise_lib import RATE
from denoise_lib.data.default_corpora import Package
from denoise_lib.errors import UserError
from denoise_lib.files import atomic, read_json, write_json
from denoise_lib.progress import bar

FORMAT = 1  # raise it when the meaning of the files changes: caches are then made anew

# City recordings hold infrasound and direct current from cheap recorders, up to nine tenths of
# their energy. Nobody hears it, but it would decide how loud a noise seems.
HIGHPASS_HZ = 40


def parameters(name: str, packages: Iterable[Package]) -> dict:
    """What a decoded corpus depends on; kept in its index and compared before it is used."""
    return {
        "format": FORMAT,
        "rate": RATE,
        "highpass_hz": HIGHPASS_HZ if name == "street" else 0,
        "content": {package.name: package.content for package in packages},
    }


def valid(index: Path, made_with: dict) -> bool:
    """Whether the corpus behind ``index`` is whole and was made with these parameters."""
    try:
        found = read_json(index)
        samples = np.load(index.parent / found["samples"], mmap_mode="r")
    except (UserError, OSError, ValueError, KeyError, TypeError):
        return False
    return found.get("made_with") == made_with and len(samples) == found.get("length")


def decode(
    index: Path, name: str, folders: Iterable[tuple[Package, Path]], made_with: dict
) -> None:
    """Decode all recordings into one array beside ``index``, then write the index.

    Recordings that cannot be told from an earlier one, sample by sample, are kept once, under the
    name that sorts first. Empty ones are dropped.

    Args:
        index: Path of the index to write, ``<corpus>.json``.
        name: Name of the corpus, a key of ``READERS``.
        folders: Each package with the folder of its recordings.
        made_with: What the corpus depends on, from :func:`parameters`.
    """
    read = READERS[name]
    files = sorted(
        (package.prefix + path.relative_to(folder).with_suffix("").as_posix(), path)
        for package, folder in folders
        for path in folder.rglob(f"*{package.suffix}")
    )
    files = [(clip, path) for clip, path in files if "silence" not in clip.split("/")]
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
    array = index.with_name(f"{name}-{digest.hexdigest()[:12]}.npy")
    with atomic(array) as temporary:
        np.save(temporary, np.concatenate(blocks))
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
    for old in index.parent.glob(f"{name}-*.npy"):
        if old != array:
            old.unlink()


def _prompt(path: Path) -> NDArray[np.int16]:
    """int16 samples of a G.722 prompt, 16 kHz mono by definition of the codec."""
    from denoise_lib.audio import decode_pyav, to_int16

    if path.stat().st_size == 0:
        return np.zeros(0, np.int16)
    samples, rate = decode_pyav(path, container="g722")
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
    import torch
    from scipy.signal import butter, sosfiltfilt

    from denoise_lib.audio import read, resample, to_int16

    samples, rate = read(path)
    x = resample(torch.from_numpy(samples.mean(axis=1)), rate, RATE).numpy()
    if len(x) < RATE // 10:  # too short to filter; nothing that short is offered as a clip
        return np.zeros(0, np.int16)
    x = sosfiltfilt(butter(2, HIGHPASS_HZ, "highpass", fs=RATE, output="sos"), x)
    loud = np.flatnonzero(np.abs(x) > 2**-12)
    return to_int16(x[loud[0] : loud[-1] + 1]) if len(loud) else np.zeros(0, np.int16)


READERS = {"speech": _prompt, "street": _city_recording, "read": _sentence}
