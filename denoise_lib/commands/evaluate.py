"""`denoise evaluate`: a network, a baseline or a control scored on a split."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from denoise_lib.damage.conditions import OUT_OF_DOMAIN, TRAINED, Noise, damage_for
from denoise_lib.damage.shifted import ChangedCorpus
from denoise_lib.data.corpora import Corpus, open_speech
from denoise_lib.data.crops import Damage, spread
from denoise_lib.errors import UserError
from denoise_lib.files import atomic
from denoise_lib.metrics.evaluate import evaluate
from denoise_lib.metrics.intervals import interval
from denoise_lib.metrics.measures import ALL_METRICS, METRICS
from denoise_lib.models.baselines import Gain
from denoise_lib.models.checkpoints import denoiser
from denoise_lib.models.inference import device
from denoise_lib.names import heading
from denoise_lib.names import score as written


def evaluate_model(
    model: str,
    *,
    condition: str,
    split: str,
    speech: str,
    noise: str,
    snr_db: float,
    seed: int,
    longest: float,
    table: Path | None,
    metrics: tuple[str, ...] = METRICS,
    most: int = 0,
) -> None:
    """Score a checkpoint or a baseline on one split and print the means with their 95 % intervals.

    Beside the network's output stand the noisy clips and the clean ones scored against themselves.

    Args:
        model: Also "gain", the control that changes nothing but the level.
        condition: Also a condition away from home (:mod:`denoise_lib.damage.conditions`), by its name.
        table: CSV file for the scores of each clip.
        metrics: Measures to take, see :func:`chosen_metrics`.
        most: At most this many clips, those that the report takes; all of them when 0.

    Raises:
        UserError: An unknown name, or a split without clips.
    """
    network = Gain() if model == Gain.name else denoiser(model)
    corpus, heard, damage = _setting(condition, speech, Noise(noise, split, snr_db))
    try:
        clips = spread(corpus.split(split), most)
    except ValueError as error:
        raise UserError(error) from None
    if not clips:
        raise UserError(f"{corpus.name}: no clip in the split {split!r}")
    scores = evaluate(
        network, heard, clips, damage,
        seed=seed, longest=longest or None, device=device(), metrics=metrics, reference=True,
    )  # fmt: skip
    if table:
        _write_csv(table, scores)
    print(f"{model}, {condition}, {split}, {len(clips)} clip{'s' * (len(clips) != 1)}")
    for metric in metrics:
        # Noisy and denoised over the same clips, so that their means can be compared.
        both = [
            each for each in scores if None not in (each["noisy"][metric], each["denoised"][metric])
        ]
        sides = {"noisy": both, "denoised": both}
        sides["clean"] = [each for each in scores if each["clean"][metric] is not None]
        for side, scored in sides.items():
            reasons = [each["clean_reason" if side == "clean" else "reason"] for each in scores]
            name = heading(metric) if side == "noisy" else ""
            values = [each[side][metric] for each in scored]
            print(f"{name:8} {side:8} {_summary(metric, values, reasons)}")


def _setting(
    condition: str, speech: str, noise: Noise
) -> tuple[Corpus, Corpus | ChangedCorpus, Damage]:
    """Where the clips are listed, where they are heard, and their damage."""
    away = OUT_OF_DOMAIN.get(condition)
    if away:
        corpus = away.speech() if away.speech else open_speech(speech)
        heard = ChangedCorpus(corpus, away.change) if away.change else corpus
        return corpus, heard, away.make(noise)
    try:
        damage = damage_for(condition, noise)
    except UserError as error:
        if condition in TRAINED:
            raise
        raise UserError(f"{error}; or away from home: {'; '.join(OUT_OF_DOMAIN)}") from None
    corpus = open_speech(speech)
    return corpus, corpus, damage


def _summary(metric: str, values: list[float], reasons: list[dict]) -> str:
    """Mean, interval and number of clips; where clips are missing, how many of all and why."""
    missing = Counter(each[metric] for each in reasons if metric in each)
    why = "; ".join(f"{reason} ({count} of {len(reasons)})" for reason, count in missing.items())
    if not values:
        return why
    mean, low, high = interval(values)
    return (
        f"{written(metric, mean):>9}   [{written(metric, low)}, {written(metric, high)}]   "
        f"n {len(values)}" + f" of {len(reasons)}, {why}" * bool(why)
    )


def chosen_metrics(names: str) -> tuple[str, ...]:
    """Measures from "wsdr,pesq", or "all"; always in the same order, each once.

    Raises:
        UserError: An unknown measure, or none.
    """
    wanted = {each.strip() for each in names.split(",")} - {""}
    unknown = sorted(wanted - {"all", *ALL_METRICS})
    if unknown or not wanted:
        raise UserError(
            f"--metrics: {repr(unknown[0]) + ' is no measure' if unknown else 'none is named'}; "
            f"use {', '.join(ALL_METRICS)}, or all"
        )
    return tuple(each for each in ALL_METRICS if "all" in wanted or each in wanted)


def _write_csv(path: Path, scores: list[dict]) -> None:
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["clip", "voice", "metric", "noisy", "denoised"])
        for each in scores:
            for metric in each["denoised"]:
                writer.writerow(
                    [each["clip"], each["voice"], metric, each["noisy"][metric],
                     each["denoised"][metric]]
                )  # fmt: skip
