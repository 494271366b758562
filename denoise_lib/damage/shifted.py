"""Out-of-domain speech and damage: another sample rate, a telephone band, a room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torchaudio.functional import resample

from denoise_lib import RATE
from denoise_lib.damage.corruption import Corruption, Generators
from denoise_lib.data.corpora import Clip, Corpus


class MadeAtRate:
    """A damage made at another sample rate and brought back to 16 kHz.

    Args:
        damage: What is done at the other rate.
        rate: That rate, Hz.
    """

    def __init__(self, damage: Corruption, rate: int) -> None:
        self.damage, self.rate = damage, rate

    @property
    def parameters(self) -> dict:
        """Settings as plain values, for records."""
        return {"rate": self.rate, **self.damage.parameters}

    def __call__(self, waveform: Tensor, generator: Generators = None) -> Tensor:
        """Damage waveforms at 16 kHz, (time,) or (batch, time); same shape out."""
        damaged = self.damage(resample(waveform, RATE, self.rate), generator)
        return resample(damaged, self.rate, RATE)[..., : waveform.shape[-1]]


def telephone(waveform: Tensor) -> Tensor:
    """The band of a telephone, 300 to 3400 Hz (ITU-T G.712), cut in the frequency domain."""
    spectrum = torch.fft.rfft(waveform)
    freq = torch.fft.rfftfreq(waveform.shape[-1], 1 / RATE)
    return torch.fft.irfft(spectrum * ((freq >= 300) & (freq <= 3400)), waveform.shape[-1])


def room(waveform: Tensor, seconds: float = 0.7, direct_db: float = 3.0) -> Tensor:
    """Speech in one fixed room: exponentially decaying Gaussian noise after the direct sound.

    Args:
        waveform: (time,).
        seconds: Until the response has decayed by 60 dB.
        direct_db: Direct sound to reverberation, dB.
    """
    size = round(seconds * RATE)
    response = torch.randn(size, generator=torch.Generator().manual_seed(0))
    response = response * 10 ** (-3 * torch.arange(size) / size)
    response = response / response.norm() * 10 ** (-direct_db / 20)
    response[0] = 1.0
    length = len(waveform) + size
    product = torch.fft.rfft(waveform, length) * torch.fft.rfft(response, length)
    return torch.fft.irfft(product, length)[: len(waveform)]


@dataclass
class ChangedCorpus:
    """A corpus whose clean speech is changed on its way out; serves where clips are scored.

    Args:
        corpus: Where the waveforms come from.
        change: Waveform (time,) -> (time,).
    """

    corpus: Corpus
    change: Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        self.rate = self.corpus.rate

    def waveform(self, clip: Clip) -> Tensor:
        """Changed waveform of a clip, (time,)."""
        return self.change(self.corpus.waveform(clip))

    def beginning(self, clip: Clip, samples: int | None) -> Tensor:
        """So many samples of it, or all."""
        return self.waveform(clip)[:samples]
