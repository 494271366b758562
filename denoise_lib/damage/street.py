"""Street noise: a random stretch of a random recording, times a factor, added to speech."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from denoise_lib.damage.corruption import Generators
from denoise_lib.files import scratch_folder

IN_MEMORY = 2**25  # samples of noise, 128 MiB; more lie in a file

# An uncorrelated noise at this SNR gives a noisy wSDR of -0.40, the original study's street level:
# wSDR = -a ** 1.5 with a = |y|^2 / (|y|^2 + |n|^2), so a = 0.543.
STREET_SNR_DB = 0.75


class Stretches(NamedTuple):
    """Which recording, and from which sample on, for each clip; both (batch,) int64."""

    recording: Tensor
    start: Tensor


class StreetMix:
    """Adds noise recordings to speech at a given signal-to-noise ratio.

    It is called as :class:`~denoise_lib.damage.corruption.Corruption` is: either damages clips.
    A recording that ends before the clip does starts over.

    Args:
        recordings: Noise waveforms, each (time,), float32; they are gone through once.
        snr_db: Ratio of the mean powers of speech and noise over the clip, in dB.

    Raises:
        ValueError: There is no recording, or one is empty.
    """

    def __init__(self, recordings: Iterable[Tensor], snr_db: float = STREET_SNR_DB) -> None:
        self.snr_db = snr_db
        self.noise, self.lengths = end_to_end(recordings)
        if not len(self.lengths) or not self.lengths.all():
            raise ValueError("StreetMix: needs at least one recording, and none of them empty")
        self.offsets = self.lengths.cumsum(0) - self.lengths

    @property
    def parameters(self) -> dict:
        """Settings as plain values, for records."""
        return {"snr_db": self.snr_db, "recordings": len(self.lengths), "noise": self.digest}

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 of the recordings: their number does not tell one set from another."""
        return digest_of(self.noise, self.lengths)

    def draw(self, batch: int, generator: Generators = None) -> Stretches:
        """Choose a stretch for each of ``batch`` clips.

        Args:
            generator: One generator for the batch, or a list with one for each clip.
        """
        if isinstance(generator, list):
            drawn = torch.cat([_uniform(1, each) for each in generator])
        else:
            drawn = _uniform(batch, generator)
        recording = (drawn[:, 0] * len(self.lengths)).long()
        return Stretches(recording, (drawn[:, 1] * self.lengths[recording]).long())

    def stretch(self, stretches: Stretches, samples: int, speed: Tensor | float = 1.0) -> Tensor:
        """The chosen stretches alone, (batch, samples), as recorded.

        Args:
            speed: How many times as fast each is played, (batch, 1) or one for all; between
                samples values are interpolated linearly.
        """
        lengths = self.lengths[stretches.recording, None]
        offsets = self.offsets[stretches.recording, None]
        place = torch.arange(samples, dtype=torch.float64) * speed
        whole = place.floor()
        before = (stretches.start[:, None] + whole.long()) % lengths
        noise = self.noise[offsets + before]
        if not (whole == place).all():
            after = self.noise[offsets + (before + 1) % lengths]
            noise = torch.lerp(noise, after, (place - whole).to(noise))
        return noise

    def apply(self, waveform: Tensor, stretches: Stretches) -> Tensor:
        """Add the chosen stretches, (batch, time) -> the same shape."""
        return add_noise(waveform, self.stretch(stretches, waveform.shape[-1]), self.snr_db)

    def __call__(self, waveform: Tensor, generator: Generators = None) -> Tensor:
        """Mix noise into waveforms, (time,) or (batch, time); same shape, same device."""
        batch = torch.atleast_2d(waveform)
        return self.apply(batch, self.draw(len(batch), generator)).reshape(waveform.shape)


def end_to_end(recordings: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Recordings one after the other, (time,), and the length of each.

    Hours of them lie in a nameless file, of which the system keeps in memory what is being read.
    """
    lengths, held = [], []
    with tempfile.TemporaryFile(dir=scratch_folder()) as file:
        for each in recordings:
            lengths.append(len(each))
            held.append(each.float())
            if sum(lengths) > IN_MEMORY:
                for part in held:
                    file.write(part.contiguous().numpy())
                held.clear()
        if sum(lengths) > IN_MEMORY:
            file.flush()
            noise = torch.from_numpy(np.memmap(file, np.float32, mode="r+"))
        else:
            noise = torch.cat(held) if held else torch.zeros(0)
    return noise, torch.tensor(lengths, dtype=torch.int64)


def digest_of(*tensors: Tensor) -> str:
    """Hex SHA-256 of the values of tensors, in this order."""
    total = hashlib.sha256()
    for each in tensors:
        total.update(each.detach().cpu().contiguous().numpy())
    return total.hexdigest()


def add_noise(waveform: Tensor, noise: Tensor, snr_db: Tensor | float) -> Tensor:
    """Speech with noise at a ratio of their mean powers; silence stays silent.

    Args:
        waveform, noise: (batch, time).
        snr_db: dB, (batch, 1) or one for all.
    """
    noise = noise.to(waveform)
    speech_power = waveform.square().mean(-1, keepdim=True)
    noise_power = noise.square().mean(-1, keepdim=True).clamp_min(1e-12)
    return waveform + noise * (speech_power / noise_power / 10 ** (snr_db / 10)).sqrt()


def _uniform(batch: int, generator: torch.Generator | None) -> Tensor:
    """Two uniform float64 values for each clip, (batch, 2), on the CPU."""
    device = generator.device if generator is not None else "cpu"
    return torch.rand(batch, 2, dtype=torch.float64, generator=generator, device=device).cpu()
