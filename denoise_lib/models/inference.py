"""Denoising whole recordings, in chunks, so that memory does not grow with their length."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from denoise_lib import RATE
from denoise_lib.audio import as_mono, to_level
from denoise_lib.models.base import Denoiser
from denoise_lib.models.checkpoints import load_pretrained

NEAR = 640  # samples, 40 ms: a frame of the networks


@torch.inference_mode()
def process(model: Denoiser, noisy: Tensor, chunk_seconds: float = 10.0) -> Tensor:
    """Run a model over one waveform, (time,) -> (time,), chunk by chunk.

    Each chunk is read with ``model.context`` samples on either side and the context's output is
    thrown away; chunks start on the model's own grid (``model.stride``). The result is that of
    one pass over the whole waveform, up to rounding.

    Args:
        model: Any of the networks; it is run in evaluation mode and left in the mode it was in.
        noisy: Waveform at the level that the model was trained at.
        chunk_seconds: Length of a chunk without its context.
    """
    was_training = model.training
    model.eval()
    grid = model.stride
    context = -(-model.context // grid) * grid
    step = max(1, round(chunk_seconds * RATE) // grid) * grid
    pieces = []
    for start in range(0, max(len(noisy), 1), step):
        first = max(0, start - context)
        piece = model(noisy[None, first : start + step + context])[0]
        pieces.append(piece[start - first : start - first + step])
    model.train(was_training)
    return torch.cat(pieces)


def enhance(
    waveform: Any,
    model: str | Denoiser = "speech",
    *,
    rate: int = RATE,
    chunk_seconds: float = 10.0,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Denoise a recording.

    The level is measured over the whole recording, brought to the one that the networks were
    trained at, and restored afterwards. Digital silence stays silence, more than 40 ms from any
    sound: no training has shown it to a network, and some would write into it.

    Args:
        waveform: float samples, full scale = 1, (time,), (time, channels) or (channels, time),
            tensor or array; several channels are mixed down.
        model: Name for :func:`~denoise_lib.load_pretrained`, or a network.
        rate: Sample rate in Hz; anything but 16000 is refused (``audio.load`` resamples files).
        chunk_seconds: Stretch that is processed at a time.
        device: Where to run the network.

    Returns:
        float32 waveform (time,) of the same length, on the CPU.

    Raises:
        ValueError: Wrong rate, wrong shape, or samples that are not finite.
    """
    if rate != RATE:
        raise ValueError(f"enhance: the networks run at {RATE} Hz, got {rate} Hz: resample first")
    noisy = as_mono(waveform)
    if not torch.isfinite(noisy).all():
        raise ValueError("enhance: the waveform has samples that are not finite")
    if isinstance(model, str):
        model = load_pretrained(model)
    levelled = to_level(noisy)
    # to_level leaves silence alone, so the gain is found by comparing and is 1 for silence.
    energy = noisy.square().sum()
    gain = (levelled.square().sum() / energy).sqrt() if energy > 0 else torch.tensor(1.0)
    model = model.to(device)
    denoised = process(model, levelled.to(device), chunk_seconds).cpu() / gain
    return denoised.where(near_sound(noisy), 0.0)


def near_sound(waveform: Tensor) -> Tensor:
    """Where a sample that is not zero lies within ``NEAR`` samples; bool, (time,)."""
    count = F.pad((waveform != 0).cumsum(0), (NEAR + 1, 0))
    last = torch.arange(len(waveform)) + 2 * NEAR + 1
    return count[last.clamp_max(len(count) - 1)] > count[: len(waveform)]


def device() -> str:
    """Where networks run: on a GPU that CUDA knows, else on the processor."""
    return "cuda" if torch.cuda.is_available() else "cpu"
