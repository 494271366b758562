"""One training loop for every network: steps, not seconds; the best weights by validation wSDR."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from denoise_lib.data.crops import CleanCrops, Damage, damaged_batches
from denoise_lib.errors import UserError
from denoise_lib.files import atomic, read_json, write_json
from denoise_lib.metrics.wsdr import wsdr
from denoise_lib.models.base import Denoiser
from denoise_lib.models.checkpoints import load_model, read_record, save_model
from denoise_lib.models.complex_layers import ComplexBatchNorm2d
from denoise_lib.training.losses import Loss, wsdr_loss

NORMS = (torch.nn.modules.batchnorm._BatchNorm, ComplexBatchNorm2d)
MOST_BROKEN_STEPS = 10  # steps in a row with a loss or gradient that is not finite


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Args:
        steps: Optimiser steps.
        learning_rate: Peak of the cosine, reached after ``warmup`` steps of linear growth.
        warmup: Steps.
        weight_decay: AdamW's.
        clip_norm: Largest norm of the gradient.
        validate_every: Steps from one validation to the next; the last step always has one.
    """

    steps: int
    learning_rate: float = 2e-3
    warmup: int = 50
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    validate_every: int = 100

    def factor(self, step: int) -> float:
        """Share of the peak learning rate at a step, in (0, 1]."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return rise * 0.5 * (1 + math.cos(math.pi * step / self.steps))


def train(
    model: Denoiser,
    crops: CleanCrops,
    damage: Damage,
    validation: tuple[Tensor, Tensor],
    schedule: Schedule,
    checkpoint: Path,
    *,
    loss: Loss = wsdr_loss,
    margin: int = 0,
    label: str = "",
    progress: Callable[[dict], None] | None = None,
    precision: str = "32-true",
    workers: int = 0,
    fixed_norms: bool = False,
    half: bool = False,
) -> tuple[Denoiser, list[dict]]:
    """Train a model and keep its best weights.

    Files beside ``checkpoint`` (``NAME.safetensors``): ``NAME.history.json`` and, while training is
    under way, ``NAME.state.pt``. Called again with the same plan, a finished training is read
    back, and an interrupted one goes on from its last validation to the result that it would have
    had; with another plan it starts over.

    Args:
        model: Network, waveform (batch, time) -> the same shape.
        crops: Clean training crops; ``crops.steps`` must equal ``schedule.steps``.
        damage: Made anew for every batch.
        validation: Noisy and clean waveforms, (batch, time) each, never trained on.
        loss: What is minimised; validation is always wSDR.
        margin: Samples at either end of a crop that only serve as context and are not scored.
        label: Name in the progress lines.
        progress: Told after each validation how far it is: training (the label), step, steps, loss,
            valid, seconds.
        precision: Lightning Fabric's name of it, such as "bf16-mixed" on a GPU, or "auto", see
            :func:`fastest_precision`.
        workers: Processes that read clips ahead.
        fixed_norms: Batch norms keep the statistics that they come with, as in a test. On a mixture
            of damages those of a small batch tell which ones it holds; a network that has learned
            to rely on that is left without it in a test.
        half: Keep the best weights in 16 bits; training goes on with the exact ones.

    Returns:
        The model with its best weights, in evaluation mode, and the history: one dict per
        validation with step, loss (mean since the last one), valid (wSDR), rate (learning rate),
        skipped (steps without a finite gradient), seconds.

    Raises:
        UserError: The loss is not finite for several steps in a row.
    """
    precision = fastest_precision() if precision == "auto" else precision
    plan = _plan(model, crops, damage, schedule, loss, margin, precision, fixed_norms)
    if finished := _finished(checkpoint, plan):
        print(f"{label}: read back the finished training in {checkpoint.name}")
        return finished
    try:
        fabric = Fabric(accelerator="auto", devices="auto", precision=precision)
    except ValueError as error:
        raise UserError(
            f"precision {precision!r} cannot be used: {str(error).splitlines()[0]}"
        ) from None
    fabric.launch()
    optimizer = torch.optim.AdamW(
        model.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    network, optimizer = fabric.setup(model, optimizer)
    noisy, clean = (fabric.to_device(each) for each in validation)
    state = _State(checkpoint.with_suffix(".state.pt"), plan, model, optimizer)
    log = state.resume(fabric.device)
    batches = damaged_batches(
        crops, damage, first_step=log.step, device=fabric.device, workers=workers
    )
    _learn(network, fixed_norms)
    for noisy_crops, clean_crops in batches:
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate * schedule.factor(log.step)
        log.add(
            _step(fabric, network, optimizer, loss, noisy_crops, clean_crops, margin, schedule),
            label,
        )
        if log.step % schedule.validate_every and log.step != schedule.steps:
            continue
        better = log.validated(validate(model, noisy, clean), optimizer.param_groups[0]["lr"])
        _learn(network, fixed_norms)
        if fabric.is_global_zero:
            if better:
                save_model(checkpoint, model, half=half, plan=plan, finished=False, **log.last())
            state.save(log)
            if progress:
                progress({"training": label, "steps": schedule.steps, **log.history[-1]})
        fabric.print(_progress_line(label, schedule.steps, log.history[-1]))
    if fabric.is_global_zero:
        record = read_record(checkpoint)
        write_json(_history_path(checkpoint), log.history)
        best = load_model(checkpoint)
        save_model(checkpoint, best, half=half, **_facts(record) | {"finished": True})
        state.path.unlink(missing_ok=True)
    fabric.barrier()
    return load_model(checkpoint), log.history


def fastest_precision() -> str:
    """Say "bf16-mixed" where GPU or processor multiplies in bfloat16 by itself, else "32-true".

    It takes a U-Net's step from 0.32 to 0.19 s on two cores that can; on others, which would
    imitate it, it would take longer than without. Scores are taken in 32 bits either way.
    """
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = getattr(torch.cpu, "get_capabilities", dict)()
        native = has.get("avx512_bf16") or has.get("amx_bf16")
    return "bf16-mixed" if native else "32-true"


def _learn(network: torch.nn.Module, fixed_norms: bool) -> None:
    """Training mode, but for batch norms that are to keep their statistics."""
    network.train()
    for module in network.modules():
        if fixed_norms and isinstance(module, NORMS):
            module.eval()


def _step(
    fabric: Fabric,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    noisy: Tensor,
    clean: Tensor,
    margin: int,
    schedule: Schedule,
) -> float | None:
    """One optimiser step; the loss, or None where it or its gradient was not finite."""
    inner = slice(margin, noisy.shape[-1] - margin)
    value = loss(network(noisy)[:, inner], clean[:, inner], noisy[:, inner])
    optimizer.zero_grad()
    fabric.backward(value)
    norm = fabric.clip_gradients(
        network, optimizer, max_norm=schedule.clip_norm, error_if_nonfinite=False
    )
    if not (torch.isfinite(value) and torch.isfinite(norm)):
        return None
    optimizer.step()
    return value.item()


@torch.inference_mode()
def validate(model: Denoiser, noisy: Tensor, clean: Tensor, at_once: int = 8) -> float:
    """Mean wSDR over clips, (batch, time), in evaluation mode; the mode is restored after."""
    was_training = model.training
    model.eval()
    scores = [
        wsdr(model(x), y, x)
        for x, y in zip(noisy.split(at_once), clean.split(at_once), strict=True)
    ]
    model.train(was_training)
    return float(torch.cat(scores).mean())


def _plan(
    model: Denoiser,
    crops: CleanCrops,
    damage: Damage,
    schedule: Schedule,
    loss: Loss,
    margin: int,
    precision: str,
    fixed_norms: bool,
) -> dict:
    """Everything that fixes the result, as plain values."""
    plan = {
        "model": model.name,
        "config": model.config,
        "start": _digest(model),
        "corpus": [crops.corpus.name, crops.corpus.digest],
        "clips": len(crops.clips),
        "batch": crops.batch,
        "samples": crops.samples,
        "seed": crops.seed,
        "vary": _named(crops.vary),
        "damage": [type(damage).__name__, getattr(damage, "parameters", {})],
        "loss": loss.__name__,
        "margin": margin,
        "schedule": asdict(schedule),
        "precision": precision,
        "fixed_norms": fixed_norms,
    }
    if hasattr(crops, "speeds"):
        plan["speeds"] = crops.speeds  # of joined crops
    return json.loads(json.dumps(plan))  # as it will come back from the file


def _named(function: Callable | None) -> str | list | None:
    """A function as a plain value; of a ``functools.partial`` what it was given stands beside."""
    if isinstance(function, partial):
        name = _named(function.func)
        return [name, function.keywords] if function.keywords else name
    return function and getattr(function, "__name__", type(function).__name__)


def _digest(model: Denoiser) -> str:
    """Fingerprint of a model's weights before training."""
    total = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        total.update(name.encode())
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def _facts(record: dict) -> dict:
    """What a checkpoint's record holds beyond what save_model writes by itself."""
    return {key: record[key] for key in ("plan", "step", "valid")}


def _history_path(checkpoint: Path) -> Path:
    return checkpoint.with_suffix(".history.json")


def _finished(checkpoint: Path, plan: dict) -> tuple[Denoiser, list[dict]] | None:
    """Model and history of a finished training with this very plan, if there is one."""
    if not (checkpoint.exists() and _history_path(checkpoint).exists()):
        return None
    record = read_record(checkpoint)
    if not record.get("finished") or record.get("plan") != plan:
        return None
    return load_model(checkpoint), read_json(_history_path(checkpoint))


def _progress_line(label: str, steps: int, last: dict) -> str:
    mean = "none" if last["loss"] is None else f"{last['loss']:.4f}"
    return (
        f"{label}: step {last['step']}/{steps}  loss {mean}  "
        f"valid {last['valid']:.4f}  {last['seconds']:.1f} s"
    )


@dataclass
class _Log:
    """How far a training is and how it went."""

    step: int = 0
    history: list[dict] = field(default_factory=list)
    best: float = math.inf
    skipped: int = 0
    losses: list[float] = field(default_factory=list)
    broken: int = 0  # steps in a row without a finite gradient
    started: float = field(default_factory=time.perf_counter)

    def add(self, loss: float | None, label: str) -> None:
        """Count a step; raises UserError when too many in a row were not finite."""
        self.step += 1
        if loss is not None:
            self.losses.append(loss)
            self.broken = 0
            return
        self.skipped, self.broken = self.skipped + 1, self.broken + 1
        if self.broken == MOST_BROKEN_STEPS:
            raise UserError(
                f"{label}: the loss or its gradient was not finite for {self.broken} steps up to "
                f"step {self.step}: lower the learning rate or look at the data"
            )

    def validated(self, valid: float, rate: float) -> bool:
        """Note a validation; True when it is the best so far."""
        now = time.perf_counter()
        before = self.history[-1]["seconds"] if self.history else 0.0
        self.history.append(
            {
                "step": self.step,
                "loss": sum(self.losses) / len(self.losses) if self.losses else None,
                "valid": valid,
                "rate": rate,
                "skipped": self.skipped,
                "seconds": round(before + now - self.started, 1),
            }
        )
        self.losses, self.started = [], now
        better = valid < self.best
        self.best = min(valid, self.best)
        return better

    def last(self) -> dict:
        """Step and validation score of the last validation."""
        return {key: self.history[-1][key] for key in ("step", "valid")}


class _State:
    """What a training needs to go on after an interruption, in a file of plain tensors."""

    def __init__(
        self, path: Path, plan: dict, model: Denoiser, optimizer: torch.optim.Optimizer
    ) -> None:
        self.path, self.plan, self.model, self.optimizer = path, plan, model, optimizer

    def save(self, log: _Log) -> None:
        with atomic(self.path) as temporary:
            torch.save(
                {
                    "plan": self.plan,
                    "model": self.model.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "log": {
                        "step": log.step,
                        "history": log.history,
                        "best": log.best,
                        "skipped": log.skipped,
                        "broken": log.broken,
                    },
                },
                temporary,
            )

    def resume(self, device: torch.device) -> _Log:
        """Bring model and optimiser to where they were, if the plan is the same."""
        if self.path.exists():
            saved = torch.load(self.path, map_location=device, weights_only=True)
            if saved["plan"] == self.plan:
                self.model.load_state_dict(saved["model"])
                self.optimizer.load_state_dict(saved["optimizer"])
                return _Log(**saved["log"])
        return _Log()
