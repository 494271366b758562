"""One training loop for every network: steps, not seconds; the lowest validation loss is kept."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import safetensors.torch
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from torch import Tensor

from denoise_lib.data.corpora import Clip
from denoise_lib.data.crops import CleanCrops, Damage, damaged_batches
from denoise_lib.environment import chosen_precision
from denoise_lib.errors import UserError
from denoise_lib.files import locked, read_json, write_json
from denoise_lib.metrics.wsdr import wsdr
from denoise_lib.models.base import Denoiser
from denoise_lib.models.checkpoints import load_model, read_record, save_model, write_tensors
from denoise_lib.models.inference import device, multiplied_in
from denoise_lib.models.processes import (
    NORMS,
    choose_interface,
    ends_with_the_others,
    joining,
    launched,
    synchronised,
)
from denoise_lib.progress import say
from denoise_lib.training.losses import Loss, wsdr_loss

KEPT = ("plan", "earlier", "step", "valid", "valid_loss")  # of a checkpoint's record
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
    accumulate: int = 1,
) -> tuple[Denoiser, list[dict]]:
    """Train a model and keep its best weights: those of the lowest loss on the validation clips.

    Files beside ``checkpoint`` (``NAME.safetensors``): ``NAME.history.json`` and, while training is
    under way, ``NAME.state.safetensors``. Called again with the same plan, a finished training is
    read back, and an interrupted one goes on from its last validation to the result that it would
    have had; with another plan, or where one of the files is damaged, it starts over. A second
    process that trains to the same file waits for the first (``.NAME.lock``).

    It runs on one device. Under ``torchrun`` every process has one, and takes its share of the rows
    of the batch that a single process would have; batch norms see the rows of all. The result is
    then that of a single process, but for rounding. The first process alone reads and writes these
    files, and another number of processes can go on with an interrupted training.

    Args:
        model: Network, waveform (batch, time) -> the same shape.
        crops: Clean training crops; ``crops.steps`` must equal ``schedule.steps``.
        damage: Made anew for every batch.
        validation: Noisy and clean waveforms, (batch, time) each, never trained on.
        loss: What is minimised, and what chooses the best weights: another measure of a few clips
            can prefer an early step of a high learning rate to the last ones.
        margin: Samples at either end of a crop that only serve as context and are not scored.
        label: Name in the progress lines.
        progress: Told after each validation how far it is: training (the label), step, steps, loss,
            valid, seconds.
        precision: See :func:`~denoise_lib.environment.chosen_precision`.
        workers: Processes that read clips ahead.
        fixed_norms: Batch norms keep the statistics that they come with, as in a test. On a mixture
            of damages those of a small batch tell which ones it holds; a network that has learned
            to rely on that is left without it in a test.
        half: Keep the best weights in 16 bits; training goes on with the exact ones.
        accumulate: Parts in which the batch, or a process's share of it, goes through the network,
            one after the other, to save memory. Batch norms see one part at a time.

    Returns:
        The model with its best weights, in evaluation mode, and the history: one dict per
        validation with step, loss (mean since the last one), valid (wSDR) and valid_loss (loss) of
        the validation clips, rate (learning rate), skipped (steps without a finite gradient),
        seconds.

    Raises:
        UserError: The loss is not finite for several steps in a row, or a validation is not; the
            model is for another sample rate than the crops; the batch cannot be dealt to the
            processes and parts; or another process has ended.
    """
    if model.rate not in (None, crops.corpus.rate):
        raise UserError(
            f"{label}: this {model.name} is for {model.rate} Hz, the speech has {crops.corpus.rate}"
        )
    precision = chosen_precision(precision)
    fabric = _fabric(precision)
    if crops.batch % (fabric.world_size * accumulate):
        raise UserError(
            f"{label}: a batch of {crops.batch} crops cannot be dealt to {fabric.world_size} "
            f"processes{f' in {accumulate} parts' if accumulate > 1 else ''}: make it a multiple "
            f"of {fabric.world_size * accumulate}"
        )
    plan = _plan(model, crops, damage, validation, schedule, loss, margin, precision, fixed_norms)
    plan["processes"] = fabric.world_size
    if accumulate > 1:
        plan["accumulate"] = accumulate
    lock = checkpoint.with_name(f".{checkpoint.stem}.lock")
    alone = locked(lock, f"training {checkpoint.name}") if fabric.is_global_zero else nullcontext()
    with alone, ends_with_the_others(f"the training of {checkpoint.name}"):
        finished = fabric.broadcast(_finished(checkpoint, plan) if fabric.is_global_zero else None)
        if finished:
            if fabric.is_global_zero:  # left over where the process ended right before
                _state_path(checkpoint).unlink(missing_ok=True)
            fabric.print(f"{label}: read back the finished training in {checkpoint.name}")
            return finished
        return _train(
            fabric,
            model,
            crops,
            damage,
            validation,
            plan,
            schedule,
            checkpoint,
            loss=loss,
            margin=margin,
            label=label,
            progress=progress,
            workers=workers,
            fixed_norms=fixed_norms,
            half=half,
            accumulate=accumulate,
        )


def _fabric(precision: str) -> Fabric:
    """One device, or one for each process of a group that ``torchrun`` has started.

    Lightning's own choice would start further processes on a machine with several GPUs, which a
    notebook cannot, and would take Apple's GPU where it does not work.
    """
    group: dict = {"devices": 1, "plugins": [LightningEnvironment()]}  # nor one that SLURM names
    if launched():
        choose_interface()
        here, all_ = (int(os.environ[name]) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
        group = {"devices": here, "num_nodes": all_ // here, "strategy": "ddp"}
        group["plugins"] = [TorchElasticEnvironment()]  # under SLURM, too
    accelerator = torch.device(device()).type
    with _without("LT_"):  # Lightning's variables go before what it is told, and are in no plan
        fabric = Fabric(accelerator=accelerator, precision=precision, **group)
    with joining():
        fabric.launch()
    return fabric


@contextmanager
def _without(prefix: str) -> Iterator[None]:
    """Without the environment variables whose names begin so."""
    hidden = {name: os.environ.pop(name) for name in [*os.environ] if name.startswith(prefix)}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _train(
    fabric: Fabric,
    model: Denoiser,
    crops: CleanCrops,
    damage: Damage,
    validation: tuple[Tensor, Tensor],
    plan: dict,
    schedule: Schedule,
    checkpoint: Path,
    *,
    loss: Loss,
    margin: int,
    label: str,
    progress: Callable[[dict], None] | None,
    workers: int,
    fixed_norms: bool,
    half: bool,
    accumulate: int,
) -> tuple[Denoiser, list[dict]]:
    """What :func:`train` does once it is known that there is something to do; the lock is held."""
    optimizer = torch.optim.AdamW(
        model.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    network, optimizer = fabric.setup(model, optimizer)
    own = slice(fabric.global_rank, None, fabric.world_size)  # rows of a batch
    noisy, clean = (fabric.to_device(each[own]) for each in validation)
    state = _State(checkpoint, plan, model, optimizer)
    log = state.resume(fabric)
    batches = damaged_batches(
        crops, damage, first_step=log.step, device=fabric.device, workers=workers, rows=own
    )
    _learn(network, fixed_norms)
    for noisy_crops, clean_crops in batches:
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate * schedule.factor(log.step)
        with synchronised(model):
            value = _step(
                fabric,
                network,
                optimizer,
                loss,
                noisy_crops,
                clean_crops,
                margin,
                schedule,
                accumulate,
            )
        log.add(value, label)
        if log.step % schedule.validate_every and log.step != schedule.steps:
            continue
        with multiplied_in(plan["precision"], model, fabric.device):
            found = scores(model, noisy, clean, loss)
        valid = _mean_of_all(fabric, found, len(validation[0]))
        better = log.validated(*valid, optimizer.param_groups[0]["lr"], label)
        _learn(network, fixed_norms)
        if fabric.is_global_zero:
            if better:
                facts = {"plan": plan, "earlier": model.trainings, **log.last()}
                save_model(checkpoint, model, half=half, **facts, finished=False)
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
    best = load_model(checkpoint) if fabric.is_global_zero else None
    return fabric.broadcast(best), log.history  # others may be on hosts without the file


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
    accumulate: int,
) -> float | None:
    """One optimiser step; the loss, or None where it or its gradient was not finite.

    Such a step is skipped and leaves no trace, in the statistics of batch norms neither.
    """
    inner = slice(margin, noisy.shape[-1] - margin)
    statistics = [(each, each.clone()) for each in _statistics(network)]
    optimizer.zero_grad()
    value = torch.zeros((), device=noisy.device)
    for part in range(accumulate):
        x, y = (each[part::accumulate] for each in (noisy, clean))
        later = part + 1 < accumulate  # gradients are exchanged once, with the last part
        with fabric.no_backward_sync(network) if later else nullcontext():
            share = loss(network(x)[:, inner], y[:, inner], x[:, inner]) / accumulate
            fabric.backward(share)
        value = value + share.detach()
    norm = fabric.clip_gradients(
        network, optimizer, max_norm=schedule.clip_norm, error_if_nonfinite=False
    )
    value = fabric.all_reduce(value)  # the mean over processes
    if not (torch.isfinite(value) and torch.isfinite(norm)):
        for buffer, before in statistics:
            buffer.copy_(before)
        return None
    optimizer.step()
    return value.item()


def _statistics(network: torch.nn.Module) -> Iterator[Tensor]:
    """What batch norms keep of the batches that they have seen."""
    for module in network.modules():
        if isinstance(module, NORMS):
            yield from module.buffers(recurse=False)


def validate(model: Denoiser, noisy: Tensor, clean: Tensor) -> float:
    """Mean wSDR over clips, (batch, time), in evaluation mode; the mode is restored after."""
    return float(scores(model, noisy, clean)[:, 0].mean())


@torch.inference_mode()
def scores(
    model: Denoiser, noisy: Tensor, clean: Tensor, loss: Loss = wsdr_loss, at_once: int = 8
) -> Tensor:
    """WSDR and loss of each clip, (batch, time) -> (batch, 2), in evaluation mode.

    The mode is restored.
    """
    if not len(noisy):  # more processes than clips
        return noisy.new_zeros(0, 2)
    was_training = model.training
    model.eval()
    found = []
    for x, y in zip(noisy.split(at_once), clean.split(at_once), strict=True):
        estimate = model(x)
        scored = wsdr(estimate, y, x)
        losses = scored if loss is wsdr_loss else _losses(loss, estimate, y, x)
        found.append(torch.stack([scored, losses], -1))
    model.train(was_training)
    return torch.cat(found)


def _losses(loss: Loss, *waveforms: Tensor) -> Tensor:
    """The loss of each clip, (batch,), taken of one at a time and in full precision.

    So it does not depend on the company of a clip. A loss that is a ratio to what the damage has
    changed needs clips with damage.
    """
    clips = zip(*(each.split(1) for each in waveforms), strict=True)
    with torch.autocast(waveforms[0].device.type, enabled=False):
        return torch.stack([loss(*each) for each in clips])


def _mean_of_all(fabric: Fabric, own: Tensor, clips: int) -> list[float]:
    """Means over the scores of all clips, of which each process has every so many-th."""
    if fabric.world_size == 1:
        return own.mean(0).tolist()
    placed = torch.zeros(clips, own.shape[1], device=fabric.device)
    placed[fabric.global_rank :: fabric.world_size] = own
    return fabric.all_reduce(placed, reduce_op="sum").mean(0).tolist()


def _plan(
    model: Denoiser,
    crops: CleanCrops,
    damage: Damage,
    validation: tuple[Tensor, Tensor],
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
        "start": weights_digest(model),
        "corpus": [crops.corpus.name, crops.corpus.digest],
        "clips": len(crops.clips),
        "clip_names": _clips_digest(crops.clips),
        "validation": _tensors_digest(zip(("noisy", "clean"), validation, strict=True)),
        "batch": crops.batch,
        "samples": crops.samples,
        "seed": crops.seed,
        "vary": _named(crops.vary),
        "vary_parameters": getattr(crops.vary, "parameters", {}),
        "damage": [type(damage).__name__, getattr(damage, "parameters", {})],
        "loss": loss.__name__,
        "margin": margin,
        "schedule": asdict(schedule),
        "precision": precision,
        "fixed_norms": fixed_norms,
    }
    if loss is not wsdr_loss:
        plan["chosen_by"] = loss.__name__  # the best weights; earlier versions took wSDR for all
    if hasattr(crops, "speeds"):
        plan["speeds"] = crops.speeds  # of joined crops
    return json.loads(json.dumps(plan))  # as it will come back from the file


def _named(function: Callable | None) -> str | list | None:
    """A function as a plain value; of a ``functools.partial`` what it was given stands beside."""
    if isinstance(function, partial):
        name = _named(function.func)
        return [name, function.keywords] if function.keywords else name
    return function and getattr(function, "__name__", type(function).__name__)


def weights_digest(model: Denoiser) -> str:
    """Fingerprint of a network's weights, by which a plan names what it started from."""
    return _tensors_digest(model.state_dict().items())


def _tensors_digest(named: Iterable[tuple[str, Tensor]]) -> str:
    """Fingerprint of tensors and their names."""
    total = hashlib.sha256()
    for name, tensor in named:
        total.update(name.encode())
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def _clips_digest(clips: list[Clip]) -> str:
    """Fingerprint of the clips to train on, in their order."""
    names = [[clip.name, clip.voice, clip.samples] for clip in clips]
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def _facts(record: dict) -> dict:
    """What a checkpoint's record holds beyond what save_model writes by itself."""
    return {key: record[key] for key in KEPT if key in record}


def _history_path(checkpoint: Path) -> Path:
    return checkpoint.with_suffix(".history.json")


def _state_path(checkpoint: Path) -> Path:
    return checkpoint.with_suffix(".state.safetensors")


def _finished(checkpoint: Path, plan: dict) -> tuple[Denoiser, list[dict]] | None:
    """Model and history of a finished training with this very plan, if there is one."""
    if not (checkpoint.exists() and _history_path(checkpoint).exists()):
        return None
    try:
        record = read_record(checkpoint)
        if not record.get("finished") or not _same(record.get("plan"), plan):
            return None
        return load_model(checkpoint), read_json(_history_path(checkpoint))
    except UserError as error:  # damaged: what it holds can be made anew
        say(f"{error}; training it again")
        return None


def _same(plan: object, other: dict) -> bool:
    """Whether two plans lead to one result: any number of processes does, but for rounding."""
    return isinstance(plan, dict) and plan | {"processes": 0} == other | {"processes": 0}


def _progress_line(label: str, steps: int, last: dict) -> str:
    mean = "none" if last["loss"] is None else f"{last['loss']:.4f}"
    other = "" if last["valid_loss"] == last["valid"] else f"  valid loss {last['valid_loss']:.4f}"
    return (
        f"{label}: step {last['step']}/{steps}  loss {mean}  "
        f"valid {last['valid']:.4f}{other}  {last['seconds']:.1f} s"
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

    def validated(self, valid: float, valid_loss: float, rate: float, label: str) -> bool:
        """Note a validation; True when it is the best so far.

        Raises:
            UserError: It is not finite; the best weights before it stay as they are.
        """
        if not (math.isfinite(valid) and math.isfinite(valid_loss)):
            raise UserError(
                f"{label}: the validation at step {self.step} is not finite: lower the learning "
                "rate or look at the validation clips"
            )
        now = time.perf_counter()
        before = self.history[-1]["seconds"] if self.history else 0.0
        self.history.append(
            {
                "step": self.step,
                "loss": sum(self.losses) / len(self.losses) if self.losses else None,
                "valid": valid,
                "valid_loss": valid_loss,
                "rate": rate,
                "skipped": self.skipped,
                "seconds": round(before + now - self.started, 1),
            }
        )
        self.losses, self.started = [], now
        better = valid_loss < self.best
        self.best = min(valid_loss, self.best)
        return better

    def last(self) -> dict:
        """Step and scores of the last validation."""
        return {key: self.history[-1][key] for key in ("step", "valid", "valid_loss")}


class _State:
    """What a training needs to go on after an interruption, in a file of plain tensors.

    Args:
        checkpoint: Where the best weights so far are; the state lies beside them.
    """

    def __init__(
        self, checkpoint: Path, plan: dict, model: Denoiser, optimizer: torch.optim.Optimizer
    ) -> None:
        self.checkpoint, self.path = checkpoint, _state_path(checkpoint)
        self.plan, self.model, self.optimizer = plan, model, optimizer

    def save(self, log: _Log) -> None:
        """Write model, optimiser and log, whole or not at all."""
        told = {key: getattr(log, key) for key in ("step", "history", "best", "skipped", "broken")}
        tensors = {f"model/{name}": each for name, each in self.model.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{name}": each for name, each in moments.items()}
        write_tensors(self.path, tensors, {"plan": self.plan, "log": told})

    def resume(self, fabric: Fabric) -> _Log:
        """Bring all processes to where the training was, if the plan is the same."""
        found = fabric.broadcast(self._read() if fabric.is_global_zero else None)
        if found is None:
            return _Log()
        told, weights, moments = found
        self.model.load_state_dict(weights)
        settings = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": settings})
        return _Log(**told)

    def _read(self) -> tuple[dict, dict[str, Tensor], dict[int, dict[str, Tensor]]] | None:
        """Log, weights and moments; None where there are none that can be used."""
        if not self.path.exists():
            return None
        try:
            record = read_record(self.path)
            if not _same(record["plan"], self.plan):
                return None
            log = _Log(**record["log"])
            weights, moments = self._tensors()
            best = read_record(self.checkpoint)
            reached = best.get("valid_loss", best["valid"])
            if not _same(best.get("plan"), self.plan) or reached > log.best:
                raise ValueError(f"{self.checkpoint.name} is not of this training")
        except (UserError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            say(f"{self.path} cannot be used ({error}); starting over")
            return None
        return record["log"], weights, moments

    def _tensors(self) -> tuple[dict[str, Tensor], dict[int, dict[str, Tensor]]]:
        """Weights by name, and the optimiser's moments by the number of the parameter.

        Raises:
            ValueError: They are not those of this model.
        """
        weights: dict[str, Tensor] = {}
        moments: dict[int, dict[str, Tensor]] = {}
        for key, tensor in safetensors.torch.load(self.path.read_bytes()).items():
            kind, _, name = key.partition("/")
            if kind == "model":
                weights[name] = tensor
            else:
                index, _, name = name.partition("/")
                moments.setdefault(int(index), {})[name] = tensor
        expected = {name: each.shape for name, each in self.model.state_dict().items()}
        if {name: each.shape for name, each in weights.items()} != expected:
            raise ValueError("other weights than this model's")
        return weights, moments
