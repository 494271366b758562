"""RNNoise, a small recurrent network that others have trained on real-world noise."""

from __future__ import annotations

import ctypes
import importlib.util
import weakref
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from denoise_lib import RATE
from denoise_lib.audio import resample
from denoise_lib.errors import UserError
from denoise_lib.models.base import Denoiser

OWN_RATE = 48000  # Hz, the only one it knows
DELAY = 960  # samples at OWN_RATE (20 ms), measured by cross-correlation
FULL_SCALE = 32768  # it works on floats in the range of 16-bit integers
EDGE = 16  # samples at 16 kHz, more than the filters of the two resamplings reach
FLOATS = ctypes.POINTER(ctypes.c_float)


@cache
def _binding() -> ModuleType:
    """The module of `pyrnnoise` that calls the C library.

    Loaded by its file: the package's front end, which reads files, would load another reader of
    files than the project's. Calling the C function itself keeps floats; pyrnnoise's wrapper of it
    rounds to 16 bits.

    Raises:
        UserError: pyrnnoise is not installed.
    """
    package = importlib.util.find_spec("pyrnnoise")  # found without importing it
    if package is None:
        raise UserError("the baseline rnnoise needs the package pyrnnoise: pip install pyrnnoise")
    path = Path(package.origin).with_name("rnnoise.py")
    spec = importlib.util.spec_from_file_location("denoise_lib_rnnoise_binding", path)
    binding = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(binding)
    return binding


class RNNoise(Denoiser):
    """RNNoise at 48 kHz between two resamplings, its delay taken off.

    It is recurrent and looks 20 ms ahead; a chunk of a long recording is run in on ``context``,
    so it differs slightly from one pass. It was trained on other people's speech and noise;
    whether that shares recordings with what it is scored on is not known here.

    Shape:
        (batch, time) -> (batch, time), time >= 1, at 16 kHz; computed on the CPU, without gradient.

    Raises:
        UserError: `pyrnnoise` is not installed.

    References:
        Valin, "A Hybrid DSP/Deep Learning Approach to Real-Time Full-Band Speech Enhancement", MMSP
        2018 (arXiv 1709.08243); the library and its weights as packed by pyrnnoise.
    """

    name = "rnnoise"
    stride = 160  # its frame of 10 ms
    context = 2 * RATE

    def __init__(self) -> None:
        super().__init__()
        _binding()

    @torch.no_grad()
    def forward(self, noisy: Tensor) -> Tensor:
        """Denoise waveforms, (batch, time) -> (batch, time)."""
        wide = FULL_SCALE * resample(noisy.float().cpu(), RATE, OWN_RATE)
        clean = torch.stack([torch.from_numpy(_denoise(clip.numpy())) for clip in wide])
        return resample(clean / FULL_SCALE, OWN_RATE, RATE)[:, : noisy.shape[-1]].to(noisy)


def _denoise(waveform: np.ndarray) -> np.ndarray:
    """One clip at 48 kHz through a state of its own, (time,) -> (time,), without delay."""
    binding = _binding()
    size = binding.FRAME_SIZE
    length = len(waveform) + DELAY
    frames = np.pad(waveform, (0, DELAY + -length % size)).astype(np.float32).reshape(-1, size)
    state = binding.create()
    try:
        for frame in frames:  # in place
            samples = frame.ctypes.data_as(FLOATS)
            binding.lib.rnnoise_process_frame(state, samples, samples)
    finally:
        binding.destroy(state)
    return frames.reshape(-1)[DELAY:length]


class RNNoiseStream:
    """RNNoise block by block, with its state kept: what one pass over all blocks gives.

    Attributes:
        latency: Samples at 16 kHz that go in, at most, before one's output comes out.
    """

    def __init__(self) -> None:
        binding = _binding()
        self.lib, self.state = binding.lib, binding.create()
        weakref.finalize(self, binding.destroy, self.state)
        self.size, self.times = binding.FRAME_SIZE, OWN_RATE // RATE
        self.latency = self.size // self.times + DELAY // self.times + 2 * EDGE
        # Each resampling gets EDGE samples at 16 kHz on either side, silence before the beginning.
        self.heard = torch.zeros(EDGE)
        self.wide = torch.zeros(0)  # at 48 kHz, less than a frame
        self.clean = torch.zeros(EDGE * self.times)
        self.skip = DELAY  # samples at 48 kHz that come before the beginning
        self.taken = self.given = 0

    @torch.no_grad()
    def push(self, samples: Tensor) -> Tensor:
        """(time,) -> (samples that are ready,)."""
        self.taken += len(samples)
        self.heard = torch.cat([self.heard, samples])
        wide = _inner(self.heard, RATE, OWN_RATE, EDGE)
        self.heard = self.heard[max(0, len(self.heard) - 2 * EDGE) :]
        self.wide = torch.cat([self.wide, wide])
        frames = self.wide[: len(self.wide) // self.size * self.size].reshape(-1, self.size)
        self.wide = self.wide[frames.numel() :]
        frames = np.ascontiguousarray(FULL_SCALE * frames.numpy(), np.float32)
        for frame in frames:  # in place
            data = frame.ctypes.data_as(FLOATS)
            self.lib.rnnoise_process_frame(self.state, data, data)
        clean = torch.from_numpy(frames.reshape(-1)) / FULL_SCALE
        first, self.skip = min(self.skip, len(clean)), max(0, self.skip - len(clean))
        self.clean = torch.cat([self.clean, clean[first:]])
        whole = self.clean[: len(self.clean) // self.times * self.times]
        out = _inner(whole, OWN_RATE, RATE, EDGE * self.times)
        self.clean = self.clean[len(out) * self.times :]
        self.given += len(out)
        return out

    def finish(self) -> Tensor:
        """What still waited, as if silence followed."""
        left = self.taken - self.given
        return self.push(torch.zeros(self.latency + EDGE))[:left]


def _inner(samples: Tensor, source: int, target: int, edge: int) -> Tensor:
    """Samples resampled, without those that lie within ``edge`` of either end."""
    if len(samples) <= 2 * edge:
        return samples[:0]
    out = resample(samples, source, target)
    first = edge * target // source
    return out[first : first + (len(samples) - 2 * edge) * target // source]
