"""`denoise train`: train or fine-tune a network."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denoise_lib import RATE
from denoise_lib.commands.options import TRAINED, Hop, NFft, Noise, Rate, Snr, Speech
from denoise_lib.errors import UserError
from denoise_lib.names import MODELS
from denoise_lib.progress import is_first

if TYPE_CHECKING:
    from denoise_lib.models.base import Denoiser

VALIDATION_SECONDS = 2.0
OUTSIDE = "outside"  # the condition whose speech --vary changes as other recorders would
SHORTEST_JOINED = 0.3  # seconds, of clips that are joined to crops


def train(
    out: Annotated[Path, typer.Argument(help="checkpoint to write, .safetensors")],
    model: Annotated[str | None, typer.Option(help=f"{', '.join(MODELS)}; default: dcunet")] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="size, such as small or 20; with --start, the larger size of a unet (large or "
            "fine) or of a causal network (large)"
        ),
    ] = None,
    condition: Annotated[
        str, typer.Option(help=f"{TRAINED}; several are separated by commas")
    ] = "both",
    speech: Speech = "default",
    noise: Noise = "default",
    snr: Snr = 0.75,
    rate: Rate = RATE,
    n_fft: NFft = 0,
    hop: Hop = 0,
    steps: Annotated[int, typer.Option(help="optimiser steps", min=1)] = 600,
    learning_rate: Annotated[float, typer.Option(help="peak of the cosine schedule", min=0)] = 2e-3,
    batch: Annotated[int, typer.Option(help="crops in a batch", min=1)] = 8,
    crop: Annotated[float, typer.Option(help="seconds of a crop", min=0.1)] = 1.0,
    seed: Annotated[int, typer.Option(help="fixes initial weights, crops and damage")] = 0,
    start: Annotated[
        str | None,
        typer.Option(help="pretrained network, by its name, or checkpoint to start from"),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="32-true, bf16-mixed, or auto: bf16 where that is fast")
    ] = "32-true",
    accumulate: Annotated[
        int,
        typer.Option(
            help="accumulate gradients over this many parts of a batch, to save memory", min=1
        ),
    ] = 1,
    workers: Annotated[
        int | None,
        typer.Option(help="processes that read clips ahead; left out, 2 beside a GPU", min=0),
    ] = None,
    vary: Annotated[
        bool, typer.Option(help="augment colour, band, room and level of speech")
    ] = False,
    vary_share: Annotated[
        float | None,
        typer.Option(help="share of the clips that --vary changes; 0.25 if left out", min=0, max=1),
    ] = None,
    validate: Annotated[
        str | None, typer.Option(help="condition to validate on, if not the one of the training")
    ] = None,
    validation_clips: Annotated[
        int,
        typer.Option(help="at most this many clips, 2 s of each, choose the best weights", min=1),
    ] = 24,
    fixed_norms: Annotated[
        bool, typer.Option(help="freeze the batch-norm statistics of --start: for mixed conditions")
    ] = False,
    joined: Annotated[bool, typer.Option(help="join short clips of one voice into a crop")] = False,
    half: Annotated[bool, typer.Option(help="store 16-bit weights, for half the size")] = False,
) -> None:
    """Train a network; an interrupted training resumes when it is started again.

    Under torchrun each of several processes learns from its share of every batch.

    Raises:
        UserError: A name is unknown, options do not go together, or there is nothing to train on.
    """
    if out.suffix != ".safetensors":
        raise UserError(f"{out}: name the checkpoint .safetensors")
    if fixed_norms and not start:
        raise UserError(
            "--fixed-norms keeps the statistics of a trained network: name it by --start"
        )
    if vary_share is not None and (not vary or condition == OUTSIDE):
        raise UserError(
            "--vary-share says how much --vary changes: give --vary, too; not for outside"
        )
    if vary and rate != RATE:
        raise UserError(f"--vary is made for {RATE} Hz: leave it out at {rate}")
    import torch

    from denoise_lib.damage import augment, conditions
    from denoise_lib.damage.corruption import frame_at
    from denoise_lib.damage.outside import VariedRecording
    from denoise_lib.data import corpora
    from denoise_lib.data.crops import CleanCrops, JoinedCrops, fixed_batch
    from denoise_lib.models.checkpoints import read_record
    from denoise_lib.models.inference import device
    from denoise_lib.training import loop
    from denoise_lib.training.losses import LOSSES

    torch.manual_seed(seed)
    frame = frame_at(rate, n_fft, hop)
    if start:
        network = _started(start, model, preset, rate)
    else:
        network = _new_network(model or "dcunet", preset, rate, frame)
    shortest = {"min_seconds": SHORTEST_JOINED} if joined else {}
    corpus = corpora.open_speech(speech, rate, **shortest)
    clips = {split: corpus.split(split) for split in ("train", "valid")}
    for split, found in clips.items():
        if not found:
            raise UserError(f"{speech}: no clip falls into the split {split!r}; use more clips")
    damage, unheard = (
        conditions.damage_for(each, conditions.Noise(noise, split, snr, speech, rate, **frame))
        for each, split in ((condition, "train"), (validate or condition, "valid"))
    )
    variety = partial(augment.vary_speech, **({} if vary_share is None else {"share": vary_share}))
    if condition == OUTSIDE:
        variety = VariedRecording()
    loop.train(
        network,
        (JoinedCrops if joined else CleanCrops)(
            corpus,
            clips["train"],
            batch=batch,
            seconds=crop,
            seed=seed,
            steps=steps,
            vary=variety if vary else None,
        ),
        damage,
        fixed_batch(
            corpus,
            clips["valid"],
            unheard,
            seed=seed,
            seconds=VALIDATION_SECONDS,
            max_clips=validation_clips,
        ),
        loop.Schedule(steps, learning_rate, validate_every=max(100, steps // 40)),
        out,
        loss=LOSSES[network.loss],
        margin=network.margin,
        label=condition,
        precision=precision,
        workers=(0 if device() == "cpu" else 2) if workers is None else workers,
        fixed_norms=fixed_norms,
        half=half,
        accumulate=accumulate,
    )
    if is_first():
        record = read_record(out)
        loss = record.get("valid_loss", record["valid"])
        print(
            f"{out}: step {record['step']} of {steps}, validation wSDR {record['valid']:.4f}"
            + (f", loss {loss:.4f}" if loss != record["valid"] else "")
        )


def _started(start: str, model: str | None, preset: str | None, rate: int = RATE) -> Denoiser:
    """A trained network; with a preset, a larger one that goes on from it."""
    from denoise_lib.models.checkpoints import load_pretrained

    network = load_pretrained(start)
    if model not in (None, name := network.name):
        raise UserError(f"{start} is a {name}, not a {model}: leave out --model, or --start")
    if network.rate != rate:
        raise UserError(f"{start} is for {network.rate} Hz: give --rate {network.rate}")
    if preset is None:
        return network
    from denoise_lib.models.widen import deepened, grown

    enlarge = {"unet": grown, "causal": deepened}.get(name)
    if enlarge is None:
        raise UserError(
            f"only a unet or a causal network can start a larger one, {start} is a {name}: leave "
            f"out --preset"
        )
    try:
        frame = {key: network.config[key] for key in ("n_fft", "hop")}
        return enlarge(network, _new_network(name, preset, rate, frame))
    except ValueError as error:
        raise UserError(f"{start} cannot start a {name} of preset {preset}: {error}") from None


def _new_network(model: str, preset: str | None, rate: int, frame: dict[str, int]) -> Denoiser:
    from denoise_lib.models.base import find

    if model not in MODELS:
        raise UserError(f"no model {model!r}: use {', '.join(MODELS)}")
    kind = find(model)
    network = kind() if preset is None else kind.from_preset(preset)
    try:
        return network.at(rate, **frame)
    except ValueError as error:
        raise UserError(f"{error}; with frames of {frame['n_fft']} samples") from None
