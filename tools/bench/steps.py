"""Training steps: the networks of the report against plain formulations, and what was tried."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from denoise_lib import RATE
from denoise_lib.damage.corruption import Corruption
from denoise_lib.errors import UserError
from denoise_lib.models import (
    CausalNet,
    ConvAutoencoder,
    DCUnet,
    DenoisingWaveNet,
    UNet,
    complex_layers,
)
from denoise_lib.training.losses import wsdr_loss
from tools.bench import asteroid_side, obvious_damage
from tools.bench.plain import plain
from tools.bench.timing import Row, in_turn, ratios

CROP = RATE  # samples of a training crop, 1 s
BATCH = 4


def step(model: nn.Module, batch: int = BATCH) -> Callable[[], None]:
    """A call that makes one forward and backward pass over a batch."""
    noisy, clean = 0.05 * torch.randn(2, batch, CROP)

    def call() -> None:
        model.zero_grad()
        wsdr_loss(model(noisy), clean, noisy).backward()

    return call


def against_plain(asteroid: Path, rounds: int) -> tuple[list[Row], list[str]]:
    """Steps of complex networks against the plain formulation, and against asteroid's DCUNet.

    Returns:
        Rows, and sentences on what was left out.
    """
    rows, left_out = [], []
    ours = "DCUnet 10"
    ten = DCUnet.from_preset("10")
    work = {ours: step(ten), "DCUnet 10, four real convolutions": step(plain(ten))}
    with ExitStack() as stack:
        try:
            python = asteroid_side.environment(asteroid)
            call = stack.enter_context(asteroid_side.steps(python, BATCH, CROP))
            work["asteroid 0.7 DCUNet-10, same frame"] = call
        except UserError as error:
            left_out.append(f"The comparison with asteroid was left out: {error}.")
        rows += ratios(in_turn(work, rounds), ours)
    small = DCUnet.from_preset("small")
    work = {
        "DCUnet, small": step(small),
        "DCUnet, small, four real convolutions": step(plain(small)),
    }
    return rows + ratios(in_turn(work, rounds), "DCUnet, small"), left_out


def networks(rounds: int) -> list[Row]:
    """Steps of the report's networks, by that of its DCUnet; the same batch for all."""
    ours = "DCUnet, small"
    models = {
        ours: DCUnet.from_preset("small"),
        "autoencoder": ConvAutoencoder(),
        "WaveNet, light": DenoisingWaveNet.from_preset("light"),
        "U-Net": UNet(),
        "causal network": CausalNet(),
    }
    return ratios(in_turn({name: step(each) for name, each in models.items()}, rounds), ours)


def tried(rounds: int, threads: int) -> list[Row]:
    """What might make a step of the report's DCUnet faster, and what it gives on this machine.

    Args:
        rounds: How often each is tried.
        threads: How many torch takes by itself: these are tried by the clock on the wall.
    """
    model = DCUnet.from_preset("small")
    as_it_is = step(model)

    def lower() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            as_it_is()

    def channels_last() -> None:
        with _channels_last():
            as_it_is()

    def with_threads() -> None:
        torch.set_num_threads(threads)
        try:
            as_it_is()
        finally:
            torch.set_num_threads(1)

    work = {"as it is": as_it_is, "bf16": lower, "channels last": channels_last}
    compiled = step(torch.compile(model))
    try:
        compiled()
        work["torch.compile"] = compiled
    except Exception as error:  # a compiler that is missing has many names
        print(f"torch.compile was left out: {str(error).splitlines()[0]}")
    rows = ratios(in_turn(work, rounds), "as it is")
    if threads > 1:
        work = {"one thread": as_it_is, f"{threads} threads": with_threads}
        rows += ratios(in_turn(work, rounds, time.perf_counter), "one thread")
    return rows


@contextmanager
def _channels_last() -> Iterator[None]:
    """Complex convolutions that take their input in the other order of memory."""

    def conv2d(x: torch.Tensor, *rest: object) -> torch.Tensor:
        return F.conv2d(x.contiguous(memory_format=torch.channels_last), *rest)

    own = vars(F) | {"conv2d": conv2d}
    complex_layers.F = SimpleNamespace(**own)
    try:
        yield
    finally:
        complex_layers.F = F


def damage(rounds: int) -> list[Row]:
    """The damage of a batch against a NumPy loop, and as a share of a training step."""
    procedure, model = Corruption(), step(DCUnet.from_preset("small"))
    waveforms = 0.05 * torch.randn(BATCH, CROP)
    arrays, generator = waveforms.numpy(), np.random.default_rng(0)
    ours = "damage of a batch"
    work = {
        ours: lambda: procedure(waveforms),
        "the obvious NumPy loop": lambda: [
            obvious_damage.damage(each, procedure, generator) for each in arrays
        ],
        "STFT and inverse alone": lambda: procedure.istft(procedure.stft(waveforms), CROP),
    }
    rows = ratios(in_turn(work, rounds), ours)
    share = {"training step of the small DCUnet": model, ours: lambda: procedure(waveforms)}
    return rows + ratios(in_turn(share, rounds), "training step of the small DCUnet")
