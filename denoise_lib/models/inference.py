"""Denoising whole recordings, in chunks, so that memory does not grow with their length."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from numbers import Integral
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from denoise_lib import RATE
from denoise_lib.audio import channels_last
from denoise_lib.models.base import Denoiser
from denoise_lib.models.checkpoints import denoiser
from denoise_lib.models.processes import launched
from denoise_lib.models.whole_band import Treatment, WholeBand, resampled
from denoise_lib.recordings.level import Meter

AT_ONCE = 8  # most waveforms at a time, for memory's sake


@torch.inference_mode()
def process(
    model: Denoiser,
    noisy: Tensor,
    chunk_seconds: float = 10.0,
    rate: int | None = None,
    precision: str = "32-true",
) -> Tensor:
    """Run a model over one waveform, (time,) -> (time,), chunk by chunk.

    Each chunk is read with ``model.context`` samples on either side and the context's output is
    thrown away; chunks start on the model's own grid (``model.stride``). The result is that of
    one pass over the whole waveform, up to rounding.

    Args:
        model: Any of the networks; it is run in evaluation mode and left in the mode it was in.
        noisy: Waveform at the level that the model was trained at.
        chunk_seconds: Length of a chunk without its context.
        rate: Samples per second of the waveform, the model's own when None. At another rate the
            model hears the waveform resampled, and what it changes is resampled and added: what
            lies above its band stays.
        precision: Of a network's multiplications, see :func:`multiplied_in`.
    """
    if rate and model.rate and rate != model.rate:
        low = _at(noisy, rate, model.rate)
        change = process(model, low, chunk_seconds, precision=precision) - low
        return noisy + _at(change, model.rate, rate, len(noisy))
    grid = model.stride
    context = -(-model.context // grid) * grid
    step = max(1, round(chunk_seconds * (model.rate or rate or RATE)) // grid) * grid
    pieces = []
    with evaluated(model), multiplied_in(precision, model, noisy.device):
        for start in range(0, max(len(noisy), 1), step):
            first = max(0, start - context)
            piece = model(noisy[None, first : start + step + context])[0]
            pieces.append(piece[start - first : start - first + step])
    return torch.cat(pieces)


def process_each(
    model: Denoiser,
    waveforms: Sequence[Tensor],
    rate: int | None = None,
    device: str | torch.device = "cpu",
    precision: str = "32-true",
) -> list[Tensor]:
    """Run a model over several waveforms, see :func:`process`: on the processor, some at once.

    Two cores with a waveform each are faster than two cores that share one. Torch's threads are
    divided among the waveforms, and each thread of Python has a copy of the model, which may keep
    something from call to call.

    Args:
        model: One of the networks, in evaluation mode.
        waveforms: Each (time,), on the processor.
        rate: Samples per second of the waveforms, the model's own when None.
        device: Where the model is.
        precision: Of a network's multiplications, see :func:`multiplied_in`.

    Returns:
        What the model makes of each, in their order.
    """
    from joblib.externals import loky  # only here: a recording is denoised without it

    run = partial(process, rate=rate, precision=precision)
    workers = min(len(waveforms), loky.cpu_count(), AT_ONCE)
    if torch.device(device).type != "cpu" or workers < 2:
        return [run(model, each.to(device)).cpu() for each in waveforms]
    threads = torch.get_num_threads()
    models: SimpleQueue[Denoiser] = SimpleQueue()
    for each in (model, *(copy.deepcopy(model) for _ in range(workers - 1))):
        models.put(each)

    def one(waveform: Tensor) -> Tensor:
        own = models.get()
        try:
            return run(own, waveform)
        finally:
            models.put(own)

    try:
        share = (max(1, threads // workers),)
        with ThreadPoolExecutor(workers, "clip", torch.set_num_threads, share) as pool:
            return list(pool.map(one, waveforms))
    finally:
        torch.set_num_threads(threads)  # a thread's setting reaches some libraries as a whole


def _at(x: Tensor, source: int, target: int, length: int | None = None) -> Tensor:
    """A waveform (time,) at another rate, on its device."""
    return torch.from_numpy(resampled(x.cpu().numpy(), source, target, length)).to(x)


def enhance(
    waveform: Any,
    model: str | Denoiser = "speech",
    *,
    rate: int = RATE,
    chunk_seconds: float = 10.0,
    device: str | torch.device = "auto",
    strength: float = 1.0,
    attenuation_limit: float = math.inf,
    cut: bool = False,
) -> Any:
    """Denoise a recording of any rate and number of channels.

    The level of speech is measured over the whole recording, channel by channel, without offset
    and pauses; it is brought to the one that the networks were trained at, and restored
    afterwards. Digital silence stays silence, more than 40 ms from any sound: no training has shown
    it to a network, and some would write into it.

    Args:
        waveform: float samples, full scale = 1, (time,), (time, channels) or (channels, time),
            tensor or array. Channels are processed apart.
        model: Name for :func:`~denoise_lib.models.checkpoints.denoiser`, or a network.
        rate: Samples per second. A network hears what lies below half its own rate, which is
            8 kHz for those that are shipped.
        chunk_seconds: Stretch that is processed at a time.
        device: Where to run the network, see :func:`device`.
        strength: How much of the noise goes, 0 to 1.
        attenuation_limit: Noise goes down by at most so many dB.
        cut: Cut off what lies above the network's band. Otherwise it is turned down as the network
            turns down the upper part of what it hears.

    Returns:
        The same kind as ``waveform``: array or tensor, of its type, shape and device.

    Raises:
        ValueError: A rate that is none, or samples that are not finite.
        UserError: Samples that are no floats, a shape that is not clear, or no such model.
    """
    if not (isinstance(rate, Integral) and rate > 0):
        raise ValueError(f"enhance: the rate must be a whole number of Hz above 0, got {rate}")
    samples = channels_last(waveform)  # (time, channels)
    if not np.isfinite(samples).all():
        raise ValueError("enhance: the waveform has samples that are not finite")
    if isinstance(model, str):
        model = denoiser(model)
    meter = Meter(rate, samples.shape[1])
    meter.add(samples)
    treatment = Treatment(strength, attenuation_limit, cut, chunk_seconds)
    place = _device(device)
    with evaluated(model, place):
        whole = WholeBand(model, rate, meter.level, meter.offset, treatment, place)
        out = np.concatenate(list(whole.blocks([samples])))
    return like(out, waveform)


@contextmanager
def evaluated(model: Denoiser, device: str | torch.device | None = None) -> Iterator[None]:
    """A model in evaluation mode, on a device if one is given.

    Afterwards, and after an error too, it is where it was, and each part is in the mode it was in.
    """
    modes = [(part, part.training) for part in model.modules()]
    places = {each.device for each in (*model.parameters(), *model.buffers())}
    try:
        model.eval()
        if device is not None:
            model.to(device)
        yield
    finally:
        for part, was_training in modes:
            part.training = was_training
        if device is not None and len(places) == 1:
            model.to(places.pop())


def runs_in(model: Denoiser, precision: str) -> str:
    """The precision that a model is run in where this one is wanted: 32 bits if it needs them."""
    return precision if model.bfloat16 else "32-true"


@contextmanager
def multiplied_in(precision: str, model: Denoiser, device: str | torch.device) -> Iterator[None]:
    """Have a network's convolutions multiply in this precision, if the network may be run in it.

    On two cores that multiply in bfloat16, a U-Net takes a third of the time so. Sums and
    transforms keep 32 bits.

    Args:
        precision: One of :data:`~denoise_lib.environment.PRECISIONS`.
        model: See its ``bfloat16``.
        device: Where the model is.
    """
    half = runs_in(model, precision) == "bf16-mixed"
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half):
        yield


def like(samples: NDArray[np.float32], waveform: Any) -> Any:
    """Samples (time, channels) in the layout, type and kind of a waveform."""
    shape = np.shape(waveform)
    samples = samples if len(shape) == 1 or shape[0] >= shape[1] else samples.T
    samples = np.ascontiguousarray(samples).reshape(shape)
    if isinstance(waveform, Tensor):
        return torch.from_numpy(samples).to(waveform)
    return samples.astype(np.asarray(waveform).dtype)


def device(wanted: str | torch.device = "auto") -> str | torch.device:
    """Where networks are trained and run.

    "auto" is a GPU that CUDA knows, else Apple's where it works, else the processor. Of the
    processes that ``torchrun`` started on one host each has a GPU of its own.
    """
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        own = os.environ.get("LOCAL_RANK") if launched() else None
        return f"cuda:{own}" if own else "cuda"
    return "mps" if _apple_gpu_works() else "cpu"


@cache
def _apple_gpu_works() -> bool:
    """Whether Apple's GPU is there, knows what networks are made of, and does it rightly."""
    if not torch.backends.mps.is_available():
        return False
    try:
        return torch.allclose(_little_network("mps"), _little_network("cpu"), atol=1e-4)
    except (RuntimeError, TypeError, NotImplementedError):
        return False


def _little_network(place: str) -> Tensor:
    """Gradient of what networks do to a waveform: STFT, convolutions there and back, inverse."""
    window = torch.hann_window(64).to(place)
    wave = torch.sin(torch.arange(512.0) ** 1.3).to(place).requires_grad_()
    spectrum = torch.stft(wave[None], 64, 16, window=window, return_complex=True)
    kernel = torch.linspace(-1, 1, 2 * 2 * 3 * 3).reshape(2, 2, 3, 3).to(place)
    parts = torch.view_as_real(spectrum).movedim(-1, 1)  # (batch, 2, freq, frames)
    low = torch.nn.functional.conv2d(parts, kernel, stride=2, padding=1)
    parts = torch.nn.functional.conv_transpose2d(low, kernel, stride=2, padding=1)
    spectrum = torch.view_as_complex(parts.movedim(1, -1).contiguous())
    torch.istft(spectrum, 64, 16, window=window).square().mean().backward()
    return wave.grad.cpu()


_device = device  # for functions with an argument of this name
