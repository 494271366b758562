"""Scores of denoised speech, clip by clip: wSDR, SI-SDR, PESQ-WB, STOI."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context

import torch
from torch import Tensor
from torchmetrics.functional.audio import (
    perceptual_evaluation_speech_quality,
    scale_invariant_signal_distortion_ratio,
    short_time_objective_intelligibility,
)

from denoise_lib import RATE
from denoise_lib.batches import Damage, fixed_clip
from denoise_lib.corpora import Clip, Corpus
from denoise_lib.inference import process
from denoise_lib.losses import wsdr

METRICS = ("wsdr", "si_sdr", "pesq", "stoi")


def score(
    estimate: Tensor, clean: Tensor, noisy: Tensor, metrics: tuple[str, ...] = METRICS
) -> tuple[dict[str, float | None], dict[str, str]]:
    """All scores of one clip.

    ========  ==========================================  ==============
    wsdr      :func:`denoise_lib.wsdr`                    -1 .. 1, lower is better
    si_sdr    scale-invariant SDR, dB                     higher is better
    pesq      PESQ wide-band (ITU-T P.862.2), MOS-LQO     1.04 .. 4.64, higher is better
    stoi      short-time objective intelligibility        0 .. 1, higher is better
    ========  ==========================================  ==============

    Shape:
        All waveforms (time,) at 16 kHz.

    Returns:
        Values by name, None where a measure is not defined for the clip, and the reasons for
        those.
    """
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for metric in metrics:
        try:
            value = float(_measure(metric, estimate, clean, noisy))
        except Exception as error:  # PESQ's own exceptions derive from Exception directly
            if metric not in ("pesq", "stoi"):
                raise
            value, reasons[metric] = float("nan"), f"{type(error).__name__}: {error}"
        values[metric] = value if value == value else None
        if value != value:
            reasons.setdefault(metric, "not a number")
    return values, reasons


def _measure(metric: str, estimate: Tensor, clean: Tensor, noisy: Tensor) -> Tensor:
    if metric == "wsdr":
        return wsdr(estimate, clean, noisy)
    if metric == "si_sdr":
        return scale_invariant_signal_distortion_ratio(estimate, clean)
    if metric == "pesq":
        return perceptual_evaluation_speech_quality(estimate, clean, RATE, "wb")
    if metric == "stoi":
        return short_time_objective_intelligibility(estimate, clean, RATE)
    raise ValueError(f"unknown metric {metric!r}: use one of {', '.join(METRICS)}")


def evaluate(
    model: torch.nn.Module,
    corpus: Corpus,
    clips: list[Clip],
    damage: Damage,
    *,
    seed: int,
    longest: float | None = None,
    metrics: tuple[str, ...] = METRICS,
    device: str | torch.device = "cpu",
) -> list[dict]:
    """Score a model on clips, each with the damage that is fixed by its name and the seed.

    Args:
        longest: Seconds of each clip's beginning to use; all of it when None.
        metrics: Which measures to take.

    Returns:
        One dict per clip: clip, voice, noisy and denoised (measure -> value or None), reason
        (measure -> why a value is missing).
    """
    model = model.to(device)
    triples = []
    for clip in clips:
        noisy, clean = fixed_clip(corpus, clip, damage, seed, longest)
        triples.append((process(model, noisy.to(device)).cpu(), clean, noisy))
    # Networks first, scores after: both at once would fight for the cores.
    return [
        {
            "clip": clip.name,
            "voice": clip.voice,
            "noisy": before[0],
            "denoised": after[0],
            "reason": before[1] | after[1],
        }
        for clip, (before, after) in zip(clips, _score_all(triples, metrics), strict=True)
    ]


def _score_all(triples: list[tuple[Tensor, Tensor, Tensor]], metrics: tuple[str, ...]):
    """Noisy and denoised scores of each clip; the slow measures in one process per core."""
    jobs = [(*(each.numpy() for each in triple), metrics) for triple in triples]
    if not {"pesq", "stoi"} & set(metrics):
        return [_score_pair(job) for job in jobs]
    return list(_workers().map(_score_pair, jobs, chunksize=4))


def _score_pair(job):
    estimate, clean, noisy = (torch.from_numpy(each) for each in job[:3])
    before = score(noisy, clean, noisy, job[3])
    if torch.equal(estimate, noisy):  # the identity: the slow measures need not be taken twice
        return before, before
    return before, score(estimate, clean, noisy, job[3])


@cache
def _workers() -> ProcessPoolExecutor:
    # Started afresh rather than forked: a fork of a process with running threads can hang.
    return ProcessPoolExecutor(
        os.cpu_count(), get_context("spawn"), initializer=_start_worker
    )


def _start_worker() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
