"""Checkpoints: safetensors files that rebuild their own model.

Tensors are the model's state; the metadata holds, as JSON, the model's name and constructor
arguments, the sample rate, library versions, and what the writer adds (seed, step, score, ...).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

import denoise_lib
from denoise_lib.errors import UserError
from denoise_lib.files import atomic
from denoise_lib.models.base import Denoiser, find
from denoise_lib.models.baselines import BASELINES
from denoise_lib.paths import PRETRAINED

_read: set[str] = set()  # shipped files that this process has asked for


def save_model(path: Path, model: Denoiser, *, half: bool = False, **facts: Any) -> None:
    """Write a model to ``path`` (*.safetensors), whole or not at all.

    Args:
        half: Round weights to 16 bits, for half the size; what norms have measured stays exact.
        facts: Plain values to keep beside the weights, such as seed, step and validation score.
    """
    record = {
        "model": model.name,
        "config": model.config,
        "rate": model.rate,
        "versions": {"denoise_lib": denoise_lib.__version__, "torch": torch.__version__},
        **facts,
    }
    state = model.state_dict()
    if half:
        state |= {name: state[name].half() for name, _ in model.named_parameters()}
    write_tensors(path, state, record)


def write_tensors(path: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Write tensors to ``path`` (*.safetensors) with a record of plain values, whole or not at all.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    plain = {name: each.detach().cpu().contiguous() for name, each in tensors.items()}
    with atomic(path) as temporary:
        # Bytes first: safetensors has an exception of its own for a full disk.
        temporary.write_bytes(safetensors.torch.save(plain, {"denoise_lib": json.dumps(record)}))


def read_record(path: Path) -> dict:
    """What :func:`save_model` wrote beside the weights.

    Raises:
        UserError: The file is missing, or is no checkpoint of this library.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            record = json.loads((file.metadata() or {})["denoise_lib"])
        if not isinstance(record, dict):
            raise ValueError("its record is not a JSON object")
    except (OSError, KeyError, ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} is not a checkpoint of denoise_lib: {error}") from None
    return record


def plans(record: dict) -> list[dict]:
    """Plans of all trainings that made a network, the latest first, from its record."""
    latest = [record["plan"]] if record.get("plan") else []
    return [*latest, *record.get("earlier", [])]


# What building and filling a network raises that a record describes wrongly.
_UNFIT = (ArithmeticError, AttributeError, KeyError, TypeError, ValueError, RuntimeError)


def load_model(path: Path) -> Denoiser:
    """Rebuild the model that a checkpoint holds, in evaluation mode, on the CPU.

    Raises:
        UserError: The file is missing, is no checkpoint of this library, or does not fit the
            network that it names.
    """
    record = read_record(path)
    rate = record.get("rate", denoise_lib.RATE)
    if type(rate) is not int or rate < 1:
        raise UserError(f"{path} says {rate!r} where its samples per second should stand")
    try:
        _check_shapes(path, record)
        model = find(record["model"])(**record["config"])
        model.load_state_dict(safetensors.torch.load_file(path))
        model.rate = rate
        model.trainings = plans(record)
    except _UNFIT as error:
        told = " ".join(str(error).split())
        raise UserError(
            f"{path} was trained by another version of the library, train it again ({told})"
        ) from None
    return model.eval()


def _check_shapes(path: Path, record: dict) -> None:
    """Compare a file's header with the network that it names, before a weight is allocated.

    Raises:
        ValueError: It holds other tensors.
    """
    try:
        with torch.device("meta"):
            sketch = find(record["model"])(**record["config"])
    except RuntimeError:  # a network that needs values to be built
        return
    expected = {name: list(each.shape) for name, each in sketch.state_dict().items()}
    with safetensors.safe_open(path, "pt") as file:
        found = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    if found != expected:
        other = [name for name in {**expected, **found} if found.get(name) != expected.get(name)]
        name = other[0]
        raise ValueError(
            f"size mismatch, {len(other)} tensors differ, such as {name}: "
            f"{found.get(name)} where {expected.get(name)} is needed"
        )


def shipped(file: str) -> Path:
    """Path of a file that comes with the library, such as "unet.safetensors".

    What a process asks for is noted (:func:`read_files`): a notebook's numbers depend on it.
    """
    _read.add(file)
    return PRETRAINED / file


def read_files() -> frozenset[str]:
    """The shipped files that this process has asked for."""
    return frozenset(_read)


def pretrained_names() -> list[str]:
    """Names that :func:`load_pretrained` knows."""
    return sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))


def load_pretrained(name: str) -> Denoiser:
    """A trained model: one that is shipped, or a checkpoint file of your own.

    Args:
        name: One of ``pretrained_names()``, or the path of a *.safetensors file.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        UserError: There is no such name or file.
    """
    if name in pretrained_names():
        return load_model(shipped(f"{name}.safetensors"))
    if name.endswith(".safetensors"):
        return load_model(Path(name))
    raise UserError(
        f"no pretrained model {name!r}: use one of {', '.join(pretrained_names())}, "
        "or the path of a .safetensors checkpoint"
    )


def denoiser(name: str) -> Denoiser:
    """A baseline by its name, or what :func:`load_pretrained` finds.

    Raises:
        UserError: There is no such name or file.
    """
    if name in BASELINES:
        return find(name)()
    try:
        return load_pretrained(name)
    except UserError as error:
        if name.endswith(".safetensors"):
            raise
        raise UserError(f"{error}; or a baseline: {', '.join(BASELINES)}") from None
