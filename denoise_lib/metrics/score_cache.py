"""Scores that are needed again and again, kept on disk: those of the damaged and the clean clips.

Every notebook scores the same damaged clips beside its own networks' output. Computing PESQ, STOI
and DNSMOS takes most of the time, so these scores are cached next to the corpora
(:func:`denoise_lib.paths.cache_folder`). They are computed again only when the code or the packages
that compute them change. They are JSON: a cache may be shared, and nobody's file is run. What
everybody on the machine may write is not believed: such scores are taken again.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
from torch import Tensor

from denoise_lib import RATE
from denoise_lib.errors import UserError
from denoise_lib.files import read_json, write_json
from denoise_lib.paths import cache_folder

Scores = tuple[dict[str, float | None], dict[str, str]]  # values, reasons of missing ones

PACKAGES = ("numpy", "scipy", "torch", "torchmetrics", "pesq", "pystoi", "speechmos", "onnxruntime")
SOURCES = ("measures.py", "dnsmos.py", "wsdr.py")


def known(
    score: Callable, waveforms: tuple[Tensor, ...], metrics: tuple[str, ...], rate: int = RATE
) -> Scores:
    """``score(*waveforms, metrics)``, looked up where the same samples were scored before.

    Args:
        score: A function of these samples, their rate and measures alone.
        waveforms: What it is taken of, (time,) each.
        metrics: Names of the measures.
        rate: Samples per second.

    Returns:
        What ``score`` returned.
    """
    path = cache_folder() / "scores" / f"{_key(waveforms, metrics, rate)}.json"
    if (kept := _kept(path, metrics)) is not None:
        return kept
    values, reasons = score(*waveforms, metrics)
    # What cannot be written, or is infinite, is taken again: that costs time and does no harm.
    with suppress(OSError, ValueError):
        write_json(path, [values, reasons])
    return values, reasons


def _key(waveforms: tuple[Tensor, ...], metrics: tuple[str, ...], rate: int) -> str:
    """Digest of samples, their rate, measures, and what would make their scores others."""
    total = hashlib.sha256(json.dumps([list(metrics), rate, _made_with()]).encode())
    for each in waveforms:
        samples = each.numpy()
        total.update(f"{samples.dtype} {samples.shape}".encode())
        total.update(np.ascontiguousarray(samples).tobytes())
    return total.hexdigest()


def _kept(path: Path, metrics: tuple[str, ...]) -> Scores | None:
    """What the file holds, or None where it holds no scores in these measures."""
    try:
        if any(_anyone_writes(each) for each in (path, path.parent, cache_folder())):
            path.unlink()  # else its permissions would stay
            return None
        values, reasons = read_json(path)
        numbers = all(each is None or isinstance(each, (int, float)) for each in values.values())
        complete = tuple(values) == tuple(metrics) and isinstance(reasons, dict)
    except (UserError, OSError, TypeError, ValueError, AttributeError):
        return None
    return (values, reasons) if numbers and complete else None


def _anyone_writes(path: Path) -> bool:
    """Whether every user of the machine may write there; Windows does not tell."""
    return os.name == "posix" and bool(path.stat().st_mode & stat.S_IWOTH)


@cache
def _made_with() -> list[str]:
    """What would make a kept score another one: this library's code, other packages' versions."""
    code = b"".join((Path(__file__).parent / name).read_bytes() for name in SOURCES)
    return [hashlib.sha256(code).hexdigest(), *(f"{name} {version(name)}" for name in PACKAGES)]
