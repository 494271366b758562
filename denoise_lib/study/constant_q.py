"""Constant-Q: a differentiable transform, a loss on its magnitudes, and speech made from them."""

from __future__ import annotations

import time
import warnings
from functools import cache
from typing import Any

import librosa
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from denoise_lib import RATE
from denoise_lib.damage.corruption import Corruption
from denoise_lib.data.corpora import Clip
from denoise_lib.data.crops import clip_generator
from denoise_lib.display.mean import Mean
from denoise_lib.metrics.wsdr import wsdr
from denoise_lib.study.experiment import Experiment

LOWEST = 60.0  # Hz, below most voices' fundamental
OCTAVES = 7  # up to 7.7 kHz
WEIGHT = 0.5  # of the loss on magnitudes beside wSDR
COMPRESSION = 0.5  # magnitudes are compared as their square roots, which 60 dB turns into 30


class ConstantQ(nn.Module):
    """Constant-Q transform by convolution, differentiable; no parameters are learned.

    Each bin is the inner product of a stretch of the waveform with a windowed complex exponential
    whose length is a fixed number of periods. Filters are librosa's, in its scaling.

    Args:
        per_octave: Bins per octave.
        hop: Samples from frame to frame.

    Shape:
        (batch, time) -> complex (batch, bins, frames), frames = 1 + time // hop.

    References:
        Brown, "Calculation of a constant Q spectral transform", JASA 89 (1), 1991.
    """

    def __init__(self, per_octave: int = 12, hop: int = 512) -> None:
        super().__init__()
        self.hop = hop
        self.frequencies = librosa.cqt_frequencies(
            OCTAVES * per_octave, fmin=LOWEST, bins_per_octave=per_octave
        )
        filters, lengths = librosa.filters.wavelet(
            freqs=self.frequencies, sr=RATE, norm=1, pad_fft=False
        )
        filters = np.conj(filters) * np.sqrt(lengths)[:, None]  # (bins, taps)
        taps = torch.from_numpy(np.concatenate([filters.real, filters.imag])).float()
        self.register_buffer("taps", taps[:, None], persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Transform waveforms, (batch, time) -> complex (batch, bins, frames)."""
        left = self.taps.shape[-1] // 2
        padded = F.pad(waveform, (left, self.taps.shape[-1] - left))[:, None]
        real, imaginary = F.conv1d(padded, self.taps, stride=self.hop).chunk(2, dim=1)
        return torch.complex(real, imaginary)


@cache
def _transform(device: torch.device) -> ConstantQ:
    return ConstantQ().to(device)


def magnitude_distance(estimate: Tensor, clean: Tensor) -> Tensor:
    """Mean distance of two waveforms' compressed CQT magnitudes, re the clean one's; 0 is perfect.

    Shape:
        Both (batch, time).

    Returns:
        Values of 0 and more, (batch,); the phases have no part in it.
    """
    both = _transform(clean.device)(torch.cat([estimate, clean]).float())
    power = both.real.square() + both.imag.square()  # (2 batch, bins, frames)
    one, other = ((power + 1e-8) ** (COMPRESSION / 2)).chunk(2)
    return (one - other).abs().mean((1, 2)) / other.mean((1, 2))


def wsdr_cqt_loss(estimate: Tensor, clean: Tensor, noisy: Tensor) -> Tensor:
    """Mean wSDR of a batch plus ``WEIGHT`` times :func:`magnitude_distance`, for training."""
    distance = magnitude_distance(estimate, clean)
    return (wsdr(estimate, clean, noisy) + WEIGHT * distance).mean()


def resynthesis(
    waveform: Tensor, *, per_octave: int, iterations: int | None, seed: int = 0
) -> Tensor:
    """A waveform made from its own CQT: from magnitudes alone, or with the true phases.

    Args:
        waveform: (time,).
        per_octave: Bins per octave.
        iterations: Of Griffin and Lim's algorithm, from random phases; None takes the true phases
            and inverts once, which shows what the transform itself loses.
        seed: Fixes the random phases.

    Returns:
        (time,)

    References:
        Griffin, Lim, "Signal Estimation from Modified Short-Time Fourier Transform", 1984, in
        librosa's version for constant-Q with momentum.
    """
    grid = {
        "sr": RATE,
        "hop_length": 2 ** (OCTAVES - 1),
        "fmin": LOWEST,
        "bins_per_octave": per_octave,
    }
    samples = waveform.numpy()
    with warnings.catch_warnings():
        # Short clips are shorter than the longest filter; they are padded, as is meant.
        warnings.filterwarnings("ignore", message="n_fft=")
        spectrum = librosa.cqt(samples, n_bins=OCTAVES * per_octave, **grid)
        if iterations is None:
            made = librosa.icqt(spectrum, length=len(samples), **grid)
        else:
            made = librosa.griffinlim_cqt(
                np.abs(spectrum),
                n_iter=iterations,
                length=len(samples),
                random_state=np.random.default_rng(seed),
                **grid,
            )
    return torch.from_numpy(np.ascontiguousarray(made, dtype=np.float32))


def score_resynthesis(
    lab: Experiment, clips: list[Clip], model: str, experiment: str, **options: Any
) -> dict[str, float]:
    """Score clean clips after :func:`resynthesis`, and time it; rows go to the run.

    Nothing is denoised. wSDR needs a noisy clip all the same: the clip with the fixed damage.

    Args:
        model: Name in results.
        options: Of :func:`resynthesis`.

    Returns:
        Mean of each measure, and "seconds": of computing, per second of audio.
    """
    records, computing, audio = [], 0.0, 0.0
    resynthesis(lab.clean(clips[0]), **options)  # compiles what librosa compiles on first use
    for clip in clips:
        clean = lab.clean(clip)
        noisy = Corruption()(clean, clip_generator(clip.name, lab.seed))
        started = time.perf_counter()
        made = resynthesis(clean, **options)
        computing += time.perf_counter() - started
        audio += len(clean) / RATE
        records.append(lab.record(clip, made[None], clean[None], noisy[None]))
    rows = lab.run.add(
        records, condition="resynthesis", model=model, split="test", experiment=experiment
    )
    seconds = computing / audio
    lab.run.measure(
        "computing per second of audio",
        model,
        seconds,
        unit="s",
        n=len(clips),
        experiment=experiment,
    )
    return {row["metric"]: Mean(row) for row in rows} | {"seconds": seconds}
