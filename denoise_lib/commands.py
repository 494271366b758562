"""What `denoise enhance`, `train` and `evaluate` do: a recording, a network, a table of one's own."""

import csv
from pathlib import Path

import torch

from . import audio
from .batches import CleanCrops, Damage, fixed_batch
from .checkpoints import load_pretrained, model_name, read_record
from .corpora import open_noise, open_speech
from .corruption import CONDITIONS, Corruption
from .errors import UserError
from .files import atomic
from .inference import enhance
from .labels import heading
from .labels import score as written
from .losses import energy_conserving_loss, wsdr_loss
from .metrics import METRICS, evaluate
from .mixing import StreetMix
from .models import BY_NAME
from .results import interval
from .training import Schedule, train

STREET = "street"
WRITABLE = (".wav", ".flac")


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
    denoised = enhance(audio.load(source), model, chunk_seconds=chunk_seconds, device=_device())
    audio.save(target, denoised)


def damage_for(condition: str, split: str, noise: str, snr_db: float) -> Damage:
    """The damage of a condition; street noise takes its recordings from the split.

    Raises:
        UserError: Unknown condition, or no noise recordings.
    """
    if condition in CONDITIONS:
        return Corruption.for_condition(condition)
    if condition != STREET:
        raise UserError(f"no condition {condition!r}: use {', '.join((*CONDITIONS, STREET))}")
    recordings = open_noise(noise)
    own = recordings.split("test" if split == "unseen_voice" else split)
    if not own:
        raise UserError(f"{noise}: no noise recording for the split {split!r}")
    return StreetMix([recordings.waveform(each) for each in own], snr_db)


def train_model(
    out: Path,
    *,
    model: str,
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
) -> None:
    """Train one network and write its best weights to ``out`` (*.safetensors).

    Raises:
        UserError: An unknown name, or nothing to train on.
    """
    if out.suffix != ".safetensors":
        raise UserError(f"{out}: name the checkpoint .safetensors")
    torch.manual_seed(seed)
    network = load_pretrained(start) if start else _new_network(model, preset)
    corpus = open_speech(speech)
    clips = {split: corpus.split(split) for split in ("train", "valid")}
    for split, found in clips.items():
        if not found:
            raise UserError(f"{speech}: no clip falls into the split {split!r}; use more clips")
    wavenet = model_name(network) == "wavenet"
    train(
        network,
        CleanCrops(
            corpus, clips["train"], batch=batch, seconds=crop, seed=seed, steps=schedule.steps
        ),
        damage_for(condition, "train", noise, snr_db),
        fixed_batch(
            corpus, clips["valid"], damage_for(condition, "valid", noise, snr_db),
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
    )  # fmt: skip
    record = read_record(out)
    print(f"{out}: step {record['step']} of {schedule.steps}, validation wSDR {record['valid']:.4f}")


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
) -> None:
    """Score a checkpoint on one split and print the means with their 95 % intervals.

    Args:
        table: CSV file for the scores of each clip.

    Raises:
        UserError: An unknown name, or a split without clips.
    """
    network = load_pretrained(model)
    corpus = open_speech(speech)
    try:
        clips = corpus.split(split)
    except ValueError as error:
        raise UserError(error) from None
    if not clips:
        raise UserError(f"{speech}: no clip in the split {split!r}")
    scores = evaluate(
        network, corpus, clips, damage_for(condition, split, noise, snr_db),
        seed=seed, longest=longest or None, device=_device(),
    )  # fmt: skip
    if table:
        _write_csv(table, scores)
    print(f"{model}, {condition}, {split}, {len(clips)} clips")
    for metric in METRICS:
        pairs = [
            (each["noisy"][metric], each["denoised"][metric])
            for each in scores
            if None not in (each["noisy"][metric], each["denoised"][metric])
        ]
        if not pairs:
            print(f"{heading(metric):8} no clip could be scored")
            continue
        noisy, denoised = zip(*pairs, strict=True)
        mean, low, high = interval(denoised)
        print(
            f"{heading(metric):8} noisy {written(metric, sum(noisy) / len(noisy)):>9}   "
            f"denoised {written(metric, mean):>9}   "
            f"[{written(metric, low)}, {written(metric, high)}]   n {len(pairs)}"
        )


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


