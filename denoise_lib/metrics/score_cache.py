"""Scores that are needed again and again, kept on disk: those of the damaged and the clean clips.

Every notebook scores the same damaged clips beside its own networks' output. Computing PESQ, STOI
and DNSMOS takes most of the time, so these scores are cached next to the corpora
(:func:`denoise_lib.paths.cache_folder`). They are computed again only when the code or the packages
that compute them change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
from torch import Tensor

from denoise_lib.paths import cache_folder

PACKAGES = ("numpy", "scipy", "torch", "torchmetrics", "pesq", "pystoi", "speechmos", "onnxruntime")
SOURCES = ("measures.py", "dnsmos.py", "wsdr.py")


def known(score: Callable, waveforms: tuple[Tensor, ...], metrics: tuple[str, ...]) -> Any:
    """``score(*waveforms, metrics)``, looked up where the same samples were scored before.

    Args:
        score: A function of these samples and measures alone.
        waveforms: What it is taken of, (time,) each.
        metrics: Names of the measures.

    Returns:
        What ``score`` returned.
    """
    try:
        keep = _memory(cache_folder() / "scores")
    except OSError:  # a cache that cannot be written spares no time, and does no harm
        return score(*waveforms, metrics)
    key = joblib.hash([*(each.numpy() for each in waveforms), tuple(metrics), _made_with()])
    return keep(key, score, waveforms, metrics)


@cache
def _memory(folder: Path) -> Callable:
    return joblib.Memory(folder, verbose=0).cache(_scored, ignore=["score", "waveforms", "metrics"])


def _scored(
    key: str, score: Callable, waveforms: tuple[Tensor, ...], metrics: tuple[str, ...]
) -> Any:
    """The score itself; what it returned is kept under ``key`` and the source of this function."""
    return score(*waveforms, metrics)


@cache
def _made_with() -> list[str]:
    """What would make a kept score another one: this library's code, other packages' versions."""
    code = b"".join((Path(__file__).parent / name).read_bytes() for name in SOURCES)
    return [hashlib.sha256(code).hexdigest(), *(f"{name} {version(name)}" for name in PACKAGES)]
