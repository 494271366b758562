"""What `denoise enhance`, `train` and `evaluate` do: a recording, a network, a table of one's own."""

from functools import partial
from pathlib import Path

import torch

from denoise_lib.damage.augment import vary_speech
from denoise_lib.damage.conditions import Noise, damage_for
from denoise_lib.data.corpora import open_speech
from denoise_lib.data.crops import CleanCrops, fixed_batch
from denoise_lib.errors import UserError
from denoise_lib.models.base import Denoiser, find
from denoise_lib.models.checkpoints import load_pretrained, read_record
from denoise_lib.models.widen import grown
from denoise_lib.names import MODELS
from denoise_lib.training.loop import Schedule, train
from denoise_lib.training.losses import LOSSES


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
        fixed_norms: See :func:`denoise_lib.training.loop.train`; needs ``start``.

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
    train(
        network,
        CleanCrops(
            corpus, clips["train"], batch=batch, seconds=crop, seed=seed, steps=schedule.steps,
            vary=variety if vary else None,
        ),
        damage_for(condition, Noise(noise, "train", snr_db)),
        fixed_batch(
            corpus, clips["valid"], damage_for(validate or condition, Noise(noise, "valid", snr_db)),
            seed=seed, seconds=2.0, most=24,
        ),
        schedule,
        out,
        loss=LOSSES[network.loss],
        margin=network.margin,
        label=condition,
        precision=precision,
        workers=workers,
        fixed_norms=fixed_norms,
    )  # fmt: skip
    record = read_record(out)
    print(f"{out}: step {record['step']} of {schedule.steps}, validation wSDR {record['valid']:.4f}")


def _started(start: str, model: str | None, preset: str | None) -> Denoiser:
    """A trained network; with a preset, a larger one that goes on from it."""
    network = load_pretrained(start)
    if model not in (None, name := network.name):
        raise UserError(f"{start} is a {name}, not a {model}: leave out --model, or --start")
    if preset is None:
        return network
    if name != "unet":
        raise UserError(f"only a unet can start a larger one, {start} is a {name}: leave out --preset")
    try:
        return grown(network, _new_network(name, preset))
    except ValueError as error:
        raise UserError(f"{start} cannot start a unet of preset {preset}: {error}") from None


def _new_network(model: str, preset: str | None) -> Denoiser:
    if model not in MODELS:
        raise UserError(f"no model {model!r}: use {', '.join(MODELS)}")
    kind = find(model)
    return kind() if preset is None else kind.from_preset(preset)
