"""What `denoise enhance`, `train` and `evaluate` do: a recording, a network, a table of one's own."""

import csv
from collections import Counter
from functools import partial
from pathlib import Path

import torch

from . import audio
from .baselines import BASELINES, Gain
from .batches import CleanCrops, Damage, fixed_batch, spread
from .checkpoints import load_pretrained, model_name, read_record
from .corpora import Corpus, open_noise, open_speech
from .corruption import CONDITIONS, Corruption
from .errors import UserError
from .files import atomic
from .growth import grown
from .inference import enhance
from .labels import heading
from .labels import score as written
from .losses import energy_conserving_loss, wsdr_loss
from .metrics import ALL_METRICS, METRICS, evaluate
from .mixing import StreetMix
from .models import BY_NAME
from .results import interval
from .training import Schedule, train
from .travel import CONDITIONS as AWAY
from .travel import ChangedCorpus
from .variety import OneOf, VariedCorruption, VariedStreet, vary_speech

STREET, VARIED, VARIED_STREET = "street", "varied", "varied_street"
WRITABLE = (".wav", ".flac")


class UnknownCondition(UserError):
    """No condition of a training has this name."""


def enhance_file(source: Path, target: Path, model: str, chunk_seconds: float = 10.0) -> None:
    """Denoise one audio file into a 16-bit wav or flac at 16 kHz.

    Raises:
        UserError: The source cannot be read, the target's name is of another kind, or there is no
            such model.
    """
    if target.suffix.lower() not in WRITABLE:
        raise UserError(f"{target}: name the output .wav or .flac")
    if not chunk_seconds > 0:
        raise UserError(f"--chunk must be more than 0 s, got {chunk_seconds}")
    denoised = enhance(
        audio.load(source), denoiser(model), chunk_seconds=chunk_seconds, device=_device()
    )
    audio.save(target, denoised)


def denoiser(name: str) -> torch.nn.Module:
    """A baseline by its name, or what :func:`load_pretrained` finds.

    Raises:
        UserError: There is no such name or file.
    """
    if name in BASELINES:
        return BASELINES[name]()
    try:
        return load_pretrained(name)
    except UserError as error:
        if name.endswith(".safetensors"):
            raise
        raise UserError(f"{error}; or a baseline: {', '.join(BASELINES)}") from None


def damage_for(condition: str, split: str, noise: str, snr_db: float) -> Damage:
    """The damage of a condition; street noise takes its recordings from the split.

    Args:
        condition: "zero", "raise", "both", "street", "varied" (the procedure with drawn
            parameters), "varied_street" (streets made from the recordings), or several of these
            with commas between: one of them for each clip.

    Raises:
        UserError: Unknown condition, or no noise recordings.
    """
    if "," in condition:
        each_alone = [each.strip() for each in condition.split(",")]
        return OneOf([damage_for(each, split, noise, snr_db) for each in each_alone])
    if condition in CONDITIONS:
        return Corruption.for_condition(condition)
    if condition == VARIED:
        return VariedCorruption()
    if condition not in (STREET, VARIED_STREET):
        known = ", ".join((*CONDITIONS, STREET, VARIED, VARIED_STREET))
        raise UnknownCondition(f"no condition {condition!r}: use {known}")
    recordings = open_noise(noise)
    own = recordings.split("test" if split == "unseen_voice" else split)
    if not own:
        raise UserError(f"{noise}: no noise recording for the split {split!r}")
    mix = StreetMix if condition == STREET else VariedStreet
    return mix([recordings.waveform(each) for each in own], snr_db)


def train_model(
    out: Path,
    *,
    model: str | None,
    preset: str | None,
    condition: str,
    speech: str,
    noise: str,
    snr_db: float,
    schedule: Schedule,
    batch: int,
    crop: float,
    seed: int,
    start: str | None,
    precision: str,
    workers: int,
    vary: bool = False,
    vary_share: float | None = None,
    validate: str | None = None,
    fixed_norms: bool = False,
) -> None:
    """Train one network and write its best weights to ``out`` (*.safetensors).

    Args:
        vary: Change the colour, bandwidth, room and level of some clips.
        vary_share: How many of them, in [0, 1]; a quarter when left out.
        validate: Condition of the validation clips, which choose the best weights; the training's
            own when left out.
        fixed_norms: See :func:`denoise_lib.training.train`; needs ``start``.

    Raises:
        UserError: An unknown name, or nothing to train on.
    """
    if out.suffix != ".safetensors":
        raise UserError(f"{out}: name the checkpoint .safetensors")
    if fixed_norms and not start:
        raise UserError("--fixed-norms keeps the statistics of a trained network: name it by --start")
    if vary_share is not None and not vary:
        raise UserError("--vary-share says how much --vary changes: give --vary, too")
    torch.manual_seed(seed)
    network = _started(start, model, preset) if start else _new_network(model or "dcunet", preset)
    corpus = open_speech(speech)
    clips = {split: corpus.split(split) for split in ("train", "valid")}
    variety = partial(vary_speech, **({} if vary_share is None else {"share": vary_share}))
    for split, found in clips.items():
        if not found:
            raise UserError(f"{speech}: no clip falls into the split {split!r}; use more clips")
    wavenet = model_name(network) == "wavenet"
    train(
        network,
        CleanCrops(
            corpus, clips["train"], batch=batch, seconds=crop, seed=seed, steps=schedule.steps,
            vary=variety if vary else None,
        ),
        damage_for(condition, "train", noise, snr_db),
        fixed_batch(
            corpus, clips["valid"], damage_for(validate or condition, "valid", noise, snr_db),
            seed=seed, seconds=2.0, most=24,
        ),
        schedule,
        out,
        # The WaveNet is trained as its paper does: its own loss, on the target field.
        loss=energy_conserving_loss if wavenet else wsdr_loss,
        margin=network.context if wavenet else 0,
        label=condition,
        precision=precision,
        workers=workers,
        fixed_norms=fixed_norms,
    )  # fmt: skip
    record = read_record(out)
    print(f"{out}: step {record['step']} of {schedule.steps}, validation wSDR {record['valid']:.4f}")


def _started(start: str, model: str | None, preset: str | None) -> torch.nn.Module:
    """A trained network; with a preset, a larger one that goes on from it."""
    network = load_pretrained(start)
    if model not in (None, name := model_name(network)):
        raise UserError(f"{start} is a {name}, not a {model}: leave out --model, or --start")
    if preset is None:
        return network
    if name != "unet":
        raise UserError(f"only a unet can start a larger one, {start} is a {name}: leave out --preset")
    try:
        return grown(network, _new_network(name, preset))
    except ValueError as error:
        raise UserError(f"{start} cannot start a unet of preset {preset}: {error}") from None


def _new_network(model: str, preset: str | None) -> torch.nn.Module:
    if model not in BY_NAME:
        raise UserError(f"no model {model!r}: use {', '.join(BY_NAME)}")
    presets = getattr(BY_NAME[model], "PRESETS", {})
    if preset is None:
        return BY_NAME[model]()
    if preset not in presets:
        raise UserError(f"{model} has no preset {preset!r}: use one of {', '.join(presets) or 'none'}")
    return BY_NAME[model].from_preset(preset)


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
        condition: Also a condition away from home (:mod:`denoise_lib.travel`), by its name.
        table: CSV file for the scores of each clip.
        metrics: Measures to take, see :func:`chosen_metrics`.
        most: At most this many clips, those that the report takes; all of them when 0.

    Raises:
        UserError: An unknown name, or a split without clips.
    """
    network = Gain() if model == Gain.name else denoiser(model)
    corpus, heard, damage = _setting(condition, split, speech, noise, snr_db)
    try:
        clips = spread(corpus.split(split), most)
    except ValueError as error:
        raise UserError(error) from None
    if not clips:
        raise UserError(f"{corpus.name}: no clip in the split {split!r}")
    scores = evaluate(
        network, heard, clips, damage,
        seed=seed, longest=longest or None, device=_device(), metrics=metrics, reference=True,
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
    condition: str, split: str, speech: str, noise: str, snr_db: float
) -> tuple[Corpus, Corpus | ChangedCorpus, Damage]:
    """Where the clips are listed, where they are heard, and their damage."""
    away = AWAY.get(condition)
    if not away:
        corpus = open_speech(speech)
        try:
            return corpus, corpus, damage_for(condition, split, noise, snr_db)
        except UnknownCondition as error:
            raise UserError(f"{error}; or away from home: {'; '.join(AWAY)}") from None
    corpus = away.speech() if away.speech else open_speech(speech)
    return corpus, ChangedCorpus(corpus, away.change) if away.change else corpus, away.damage


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


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


