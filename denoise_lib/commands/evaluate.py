"""`denoise evaluate`: a network, a baseline or a control scored on a split."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denoise_lib import RATE
from denoise_lib.commands.options import (
    AWAY,
    DENOISER,
    TRAINED,
    Hop,
    NFft,
    Noise,
    Rate,
    Snr,
    Speech,
)
from denoise_lib.errors import UserError
from denoise_lib.files import atomic
from denoise_lib.names import METRICS, counted, heading
from denoise_lib.names import score as written
from denoise_lib.progress import say

OWN = "own"  # the condition of a corpus that comes in pairs

if TYPE_CHECKING:
    from denoise_lib.damage import conditions
    from denoise_lib.damage.shifted import ChangedCorpus
    from denoise_lib.data.corpora import Corpus
    from denoise_lib.data.crops import Damage


def evaluate(
    model: Annotated[
        str, typer.Argument(help=f"{DENOISER}; or gain, which only changes the level")
    ],
    condition: Annotated[
        str,
        typer.Option(
            help=f"{TRAINED}; several are separated by commas; {OWN}: the noisy recordings of a "
            f"corpus in pairs. Conditions of notebook 08, of which home is the fixed damage "
            f"itself and the others are out of domain: {AWAY}"
        ),
    ] = "both",
    split: Annotated[str, typer.Option(help="test, unseen_voice or valid")] = "test",
    speech: Speech = "default",
    noise: Noise = "default",
    snr: Snr = 0.75,
    rate: Rate = RATE,
    n_fft: NFft = 0,
    hop: Hop = 0,
    seed: Annotated[int, typer.Option(help="fixes each clip's damage")] = 0,
    max_seconds: Annotated[
        float,
        typer.Option(
            "--max-seconds", "--longest", help="seconds of each clip to score; 0: all", min=0
        ),
    ] = 10.0,
    max_clips: Annotated[
        int,
        typer.Option(
            "--max-clips",
            "--clips",
            min=0,
            help="score at most this many clips, chosen as in the report; 0: all",
        ),
    ] = 0,
    table: Annotated[Path | None, typer.Option(help="CSV file for the scores of each clip")] = None,
    metrics: Annotated[
        str, typer.Option(help=f"separated by commas: {', '.join(METRICS)}; or all")
    ] = "wsdr,si_sdr,pesq,stoi",
) -> None:
    """Score a network on a split, beside the noisy clips and the clean ones.

    Prints means with 95 % intervals, resampled over voices and their clips, for the noisy, the
    denoised and the clean clips; the clean ones show the best possible value. Under torchrun each
    of several processes scores its share of the clips.

    Raises:
        UserError: A name is unknown, or the split has no clips.
    """
    chosen = chosen_metrics(metrics)
    from denoise_lib.damage import conditions
    from denoise_lib.data.crops import spread
    from denoise_lib.metrics.evaluate import evaluate as scored
    from denoise_lib.metrics.measures import brought_down
    from denoise_lib.models import processes
    from denoise_lib.models.baselines import Gain
    from denoise_lib.models.checkpoints import denoiser
    from denoise_lib.models.inference import device

    network = Gain() if model == Gain.name else denoiser(model)
    sounds = conditions.Noise(noise, split, snr, speech, rate, n_fft, hop)
    corpus, heard, damage = _setting(condition, sounds)
    if network.rate not in (None, rate):
        say(f"{model} is for {network.rate} Hz: what it changes is brought to {rate}")
    if down := brought_down(chosen, rate):
        names = ", ".join(heading(each) for each in down)
        say(f"{names}: taken at {RATE} Hz, of resampled clips")
    try:
        clips = spread(corpus.split(split), max_clips)
    except ValueError as error:
        raise UserError(error) from None
    if not clips:
        raise UserError(f"{corpus.name}: no clip in the split {split!r}: use more clips")
    with processes.group() as (rank, count):
        own = scored(
            network,
            heard,
            clips[rank::count],
            damage,
            seed=seed,
            max_seconds=max_seconds or None,
            device=device(),
            metrics=chosen,
            reference=True,
        )
        scores = processes.gathered(own, rank, count)
    if scores is None:
        return
    if table:
        _write_csv(table, scores)
    over = counted(len(clips), len({clip.voice for clip in clips}))
    print(f"{model}, {condition}, {split}, {over}")
    for metric in chosen:
        for side, values in _sides(scores, metric).items():
            reasons = [each["clean_reason" if side == "clean" else "reason"] for each in scores]
            name = heading(metric) if side == "noisy" else ""
            print(f"{name:8} {side:8} {_summary(metric, values, reasons)}")


def _sides(scores: list[dict], metric: str) -> dict[str, list[tuple[float, str]]]:
    """Score and voice of each clip that counts, by "noisy", "denoised" and "clean".

    Noisy and denoised count over the same clips, so that their means can be compared. Where the
    network gave no score of a clip that has one when noisy, it has no mean at all: that over the
    others would flatter it.
    """
    from denoise_lib.metrics.evaluate import failed

    def having(*sides: str) -> list[dict]:
        return [each for each in scores if None not in (each[side][metric] for side in sides)]

    lost = any(failed(each, metric) for each in scores)
    counted = {
        "noisy": having("noisy") if lost else having("noisy", "denoised"),
        "denoised": [] if lost else having("noisy", "denoised"),
        "clean": having("clean"),
    }
    return {
        side: [(each[side][metric], each["voice"]) for each in found]
        for side, found in counted.items()
    }


def _setting(
    condition: str, noise: conditions.Noise
) -> tuple[Corpus, Corpus | ChangedCorpus, Damage | None]:
    """Where the clips are listed, where they are heard, and their damage; None for their own."""
    from denoise_lib.damage import conditions
    from denoise_lib.damage.shifted import ChangedCorpus
    from denoise_lib.data import corpora

    if away := conditions.OUT_OF_DOMAIN.get(condition):
        if noise.rate != RATE:
            raise UserError(f"the condition {condition!r} is made for {RATE} Hz, not {noise.rate}")
        corpus = away.speech() if away.speech else corpora.open_speech(noise.speech)
        heard = ChangedCorpus(corpus, away.change) if away.change else corpus
        return corpus, heard, away.make(noise)
    if condition == OWN:
        corpus = corpora.open_speech(noise.speech, noise.rate)
        return corpus, corpus, None
    try:
        damage = conditions.damage_for(condition, noise)
    except conditions.UnknownConditionError as error:
        raise UserError(f"{error}; {OWN}; or, out of domain: {AWAY}") from None
    corpus = corpora.open_speech(noise.speech, noise.rate)
    return corpus, corpus, damage


def chosen_metrics(named: str) -> tuple[str, ...]:
    """Measures from "wsdr,pesq", or "all"; always in the same order, each once.

    Raises:
        UserError: A measure is unknown, or none is named.
    """
    wanted = {each.strip() for each in named.split(",")} - {""}
    unknown = sorted(wanted - {"all", *METRICS})
    if unknown or not wanted:
        raise UserError(
            f"--metrics: {repr(unknown[0]) + ' is no measure' if unknown else 'none is named'}; "
            f"use {', '.join(METRICS)}, or all"
        )
    return tuple(each for each in METRICS if "all" in wanted or each in wanted)


def _summary(metric: str, values: list[tuple[float, str]], reasons: list[dict]) -> str:
    """Mean, interval, clips and voices; where clips are missing, how many of all and why.

    Args:
        values: Score and voice of each clip that counts.
    """
    missing = Counter(each[metric] for each in reasons if metric in each)
    why = "; ".join(_told(reason, count, len(reasons)) for reason, count in missing.items())
    if not values:
        return f"no mean: {why}"
    from denoise_lib.metrics.intervals import interval

    mean, low, high = interval(*zip(*values, strict=True))
    return (
        f"{written(metric, mean):>9}   [{written(metric, low)}, {written(metric, high)}]   "
        f"n {len(values)}" + f" of {len(reasons)}, {why}" * (len(values) < len(reasons))
    )


def _told(reason: str, count: int, total: int) -> str:
    """Why clips have no score, and how many of them."""
    from denoise_lib.metrics.measures import PERFECT

    if reason != PERFECT:
        return f"{reason} ({count} of {total})"
    copies = "which are perfect copies" if count > 1 else "which is a perfect copy"
    return f"infinite for {count} of {total} clips, {copies}"


def _write_csv(path: Path, scores: list[dict]) -> None:
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["clip", "voice", "metric", "noisy", "denoised"])
        for each in scores:
            for metric in each["denoised"]:
                writer.writerow(
                    [
                        each["clip"],
                        each["voice"],
                        metric,
                        each["noisy"][metric],
                        each["denoised"][metric],
                    ]
                )
