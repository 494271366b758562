"""Score a model on clips, each with the damage that is its own."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import pairwise

import torch

from denoise_lib.data.corpora import Clip, Corpus
from denoise_lib.data.crops import Damage, fixed_clip
from denoise_lib.metrics.measures import METRICS, PERFECT, any_slow, score
from denoise_lib.metrics.score_cache import known
from denoise_lib.models.base import Denoiser
from denoise_lib.models.inference import device as best_device
from denoise_lib.models.inference import evaluated, process_each
from denoise_lib.progress import say

SECONDS_AT_ONCE = 900.0  # of clips in memory, which take about 0.3 MB for each second at 16 kHz


def evaluate(
    model: Denoiser,
    corpus: Corpus,
    clips: list[Clip],
    damage: Damage | None,
    *,
    seed: int,
    max_seconds: float | None = None,
    metrics: tuple[str, ...] = METRICS,
    slow_clips: int | None = None,
    device: str | torch.device = "auto",
    reference: bool = False,
    precision: str = "32-true",
) -> list[dict]:
    """Score a model on clips, each with the damage that is fixed by its name and the seed.

    A model for another sample rate than the corpus's hears resampled clips, see
    :func:`denoise_lib.models.inference.process`.

    Args:
        damage: None for the noisy recordings that the corpus has of its own.
        max_seconds: Seconds of each clip's beginning to use; all of it when None.
        metrics: Which measures to take.
        slow_clips: Of how many clips, from the first on, the slow ones among them are taken; of all
            when 0 or None. The others are of all clips, and a clip without any is left out.
        device: Where to run the network, see :func:`denoise_lib.models.inference.device`.
        reference: Also score each clean clip against itself.
        precision: Of the network's multiplications, see
            :func:`denoise_lib.models.inference.multiplied_in`; scores are taken in 32 bits.

    Returns:
        One dict per clip: clip, voice, noisy and denoised (measure -> value or None), reason
        (measure -> why a value is missing); with ``reference`` also clean and clean_reason.
    """
    device = best_device(device)
    quick = tuple(each for each in metrics if not any_slow((each,)))
    if slow_clips and not quick:
        clips = clips[:slow_clips]
    measures = [quick if slow_clips and n >= slow_clips else metrics for n in range(len(clips))]
    records = []
    for some in _groups(clips, corpus.rate, max_seconds):
        pairs = [fixed_clip(corpus, clip, damage, seed, max_seconds) for clip in clips[some]]
        with evaluated(model, device):
            waveforms = [noisy for noisy, _ in pairs]
            estimates = process_each(model, waveforms, corpus.rate, device, precision)
        jobs = []
        for (noisy, clean), denoised, chosen in zip(pairs, estimates, measures[some], strict=True):
            versions = {"noisy": noisy, "denoised": denoised}
            versions |= {"clean": clean} if reference else {}
            jobs.append((versions, clean, noisy, chosen, corpus.rate))
        # Networks first, scores after: both at once would fight for the cores.
        scored = zip(clips[some], _score_all(jobs, metrics), strict=True)
        records += [_record(clip, scores) for clip, scores in scored]
    return records


def _groups(clips: list[Clip], rate: int, max_seconds: float | None) -> list[slice]:
    """Which clips are held in memory together: some minutes of them, in their order."""
    longest = math.inf if max_seconds is None else max_seconds
    starts, held = [0], 0.0
    for index, clip in enumerate(clips):
        seconds = min(clip.samples / rate, longest)
        if held and held + seconds > SECONDS_AT_ONCE:
            starts.append(index)
            held = 0.0
        held += seconds
    return [slice(*each) for each in pairwise([*starts, len(clips)])]


def _record(clip: Clip, scores: dict[str, tuple]) -> dict:
    """What :func:`evaluate` returns of a clip."""
    record = {"clip": clip.name, "voice": clip.voice}
    record |= {name: values for name, (values, _) in scores.items()}
    record["reason"] = scores["noisy"][1] | scores["denoised"][1]
    return record | ({"clean_reason": scores["clean"][1]} if "clean" in scores else {})


def failed(clip: dict, metric: str) -> bool:
    """Whether a system gave no score of a clip that has one as it was given to the system.

    A perfect copy, of which some measures are infinite, is no failure.

    Args:
        clip: One of what :func:`evaluate` returned.
    """
    scored = clip["noisy"].get(metric) is not None and clip["denoised"].get(metric) is None
    return scored and clip.get("reason", {}).get(metric) != PERFECT


def _score_all(jobs: list[tuple], metrics: tuple[str, ...]) -> list[dict]:
    """(values, reasons) of each clip's versions, by name; slow measures in one process per core."""
    from joblib.externals import loky

    if not any_slow(metrics) or loky.cpu_count() == 1:
        return [_score_versions(job) for job in jobs]
    jobs = [
        ({key: each.numpy() for key, each in versions.items()}, clean.numpy(), noisy.numpy(), *how)
        for versions, clean, noisy, *how in jobs
    ]
    try:
        return list(_workers().map(_score_versions, jobs))
    except BrokenProcessPool:
        say("a process that scored clips has ended; scoring them in this one")
        return [_score_versions(job) for job in jobs]


def _score_versions(job: tuple) -> dict[str, tuple]:
    """(values, reasons) of one clip's versions, by name."""
    versions, clean, noisy, metrics, rate = job
    clean, noisy = torch.as_tensor(clean), torch.as_tensor(noisy)
    at_rate, scores = partial(score, rate=rate), {}
    for name, waveform in versions.items():
        waveform = torch.as_tensor(waveform)
        if name != "noisy" and torch.equal(waveform, noisy):
            scores[name] = scores["noisy"]  # nothing was changed: no measure is taken twice
        elif name != "denoised" and any_slow(metrics):
            scores[name] = known(at_rate, (waveform, clean, noisy), metrics, rate)
        else:
            scores[name] = at_rate(waveform, clean, noisy, metrics)
    return scores


def _workers() -> Executor:
    """One process per usable core, made once; made anew where one of them has died.

    They begin afresh (a fork of a process with running threads can hang), and do not run the
    script again that started them.
    """
    from joblib.externals import loky

    return loky.get_reusable_executor(
        loky.cpu_count(), timeout=None, initializer=_start_worker, initargs=(os.getpid(),)
    )


def _start_worker(parent: int) -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when the one that started it is no longer there, however it ended."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
