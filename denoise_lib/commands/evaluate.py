"""`denoise evaluate`: a network, a baseline or a control scored on a split."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denoise_lib.commands.options import AWAY, DENOISER, TRAINED, Noise, Snr, Speech
from denoise_lib.errors import UserError
from denoise_lib.files import atomic
from denoise_lib.names import METRICS, counted, heading
from denoise_lib.names import score as written

OWN = "own"  # the condition of a corpus that comes in pairs

if TYPE_CHECKING:
    from denoise_lib.damage import conditions
    from denoise_lib.damage.shifted import ChangedCorpus
    from denoise_lib.data.corpora import Corpus
    from denoise_lib.data.crops import Damage


def evaluate(
    model: Annotated[str, typer.Argument(help=f"{DENOISER}; or gain, which moves the level alone")],
    condition: Annotated[
        str,
        typer.Option(
            help=f"{TRAINED}; several with commas; {OWN}: the noisy recordings of a corpus in "
            f"pairs. Out of domain: {AWAY}"
        ),
    ] = "both",
    split: Annotated[str, typer.Option(help="test, unseen_voice or valid")] = "test",
    speech: Speech = "default",
    noise: Noise = "default",
    snr: Snr = 0.75,
    seed: Annotated[int, typer.Option(help="fixes each clip's damage")] = 0,
    max_seconds: Annotated[
        float,
        typer.Option(
            "--max-seconds", "--longest", help="of each clip that are scored; 0: all", min=0
        ),
    ] = 10.0,
    max_clips: Annotated[
        int,
        typer.Option(
            "--max-clips",
            "--clips",
            min=0,
            help="at most this many clips, those that the report takes; 0: all",
        ),
    ] = 0,
    table: Annotated[Path | None, typer.Option(help="CSV file for the scores of each clip")] = None,
    metrics: Annotated[
        str, typer.Option(help=f"of {', '.join(METRICS)}, with commas; or all")
    ] = "wsdr,si_sdr,pesq,stoi",
) -> None:
    """Score a network on a split, beside the noisy clips and the clean ones.

    Printed are the means with their 95 % intervals, over voices and their clips, of the clean clips
    against themselves too.

    Raises:
        UserError: A name is unknown, or the split has no clips.
    """
    chosen = chosen_metrics(metrics)
    from denoise_lib.damage import conditions
    from denoise_lib.data.crops import spread
    from denoise_lib.metrics.evaluate import evaluate as scored
    from denoise_lib.models.baselines import Gain
    from denoise_lib.models.checkpoints import denoiser
    from denoise_lib.models.inference import device

    network = Gain() if model == Gain.name else denoiser(model)
    corpus, heard, damage = _setting(condition, speech, conditions.Noise(noise, split, snr, speech))
    try:
        clips = spread(corpus.split(split), max_clips)
    except ValueError as error:
        raise UserError(error) from None
    if not clips:
        raise UserError(f"{corpus.name}: no clip in the split {split!r}: use more clips")
    scores = scored(
        network,
        heard,
        clips,
        damage,
        seed=seed,
        max_seconds=max_seconds or None,
        device=device(),
        metrics=chosen,
        reference=True,
    )
    if table:
        _write_csv(table, scores)
    over = counted(len(clips), len({clip.voice for clip in clips}))
    print(f"{model}, {condition}, {split}, {over}")
    for metric in chosen:
        # Noisy and denoised over the same clips, so that their means can be compared.
        both = [
            each for each in scores if None not in (each["noisy"][metric], each["denoised"][metric])
        ]
        sides = {"noisy": both, "denoised": both}
        sides["clean"] = [each for each in scores if each["clean"][metric] is not None]
        for side, found in sides.items():
            reasons = [each["clean_reason" if side == "clean" else "reason"] for each in scores]
            name = heading(metric) if side == "noisy" else ""
            values = [(each[side][metric], each["voice"]) for each in found]
            print(f"{name:8} {side:8} {_summary(metric, values, reasons)}")


def _setting(
    condition: str, speech: str, noise: conditions.Noise
) -> tuple[Corpus, Corpus | ChangedCorpus, Damage | None]:
    """Where the clips are listed, where they are heard, and their damage; None for their own."""
    from denoise_lib.damage import conditions
    from denoise_lib.damage.shifted import ChangedCorpus
    from denoise_lib.data import corpora

    if away := conditions.OUT_OF_DOMAIN.get(condition):
        corpus = away.speech() if away.speech else corpora.open_speech(speech)
        heard = ChangedCorpus(corpus, away.change) if away.change else corpus
        return corpus, heard, away.make(noise)
    if condition == OWN:
        corpus = corpora.open_speech(speech)
        return corpus, corpus, None
    try:
        damage = conditions.damage_for(condition, noise)
    except conditions.UnknownConditionError as error:
        raise UserError(f"{error}; {OWN}; or, out of domain: {AWAY}") from None
    corpus = corpora.open_speech(speech)
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
    """Mean, interval and number of clips; where clips are missing, how many of all and why.

    Args:
        values: Score and voice of each clip that has a score.
    """
    missing = Counter(each[metric] for each in reasons if metric in each)
    why = "; ".join(f"{reason} ({count} of {len(reasons)})" for reason, count in missing.items())
    if not values:
        return why
    from denoise_lib.metrics.intervals import interval

    mean, low, high = interval(*zip(*values, strict=True))
    return (
        f"{written(metric, mean):>9}   [{written(metric, low)}, {written(metric, high)}]   "
        f"n {len(values)}" + f" of {len(reasons)}, {why}" * bool(why)
    )


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
