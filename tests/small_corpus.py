"""A corpus in memory, small enough to train on in a test."""

import torch

from denoise_lib import RATE
from denoise_lib.data.clips import Clip, Reader
from denoise_lib.data.corpora import Corpus


class _Memory(Reader):
    def __init__(self, waveforms):
        self.waveforms = waveforms

    def waveform(self, name):
        return self.waveforms[name]


def small_corpus(seconds: float = 2.2, per_split: int = 3) -> Corpus:
    """Harmonic tones with slow envelopes, unlike in pitch, loudness and length."""
    generator = torch.Generator().manual_seed(0)
    clips, waveforms = [], {}
    for split in ("train", "valid", "test", "unseen_voice"):
        for number in range(per_split):
            name = f"{split}/{number}"
            samples = round((seconds + 0.31 * number) * RATE)
            time = torch.arange(samples) / RATE
            pitch = 100 + 60 * torch.rand(1, generator=generator) + 10 * torch.sin(3 * time)
            phase = 2 * torch.pi * pitch.cumsum(0) / RATE
            tone = sum(torch.sin(k * phase) / k for k in range(1, 12))
            loudness = 0.02 * (1 + number) * (1 + torch.sin(7 * time))
            noise = 1e-3 * torch.randn(samples, generator=generator)
            waveforms[name] = tone * loudness + noise
            clips.append(Clip(name, "low" if number % 2 else "high", split, samples))
    return Corpus("small", RATE, clips, _Memory(waveforms), "d1" * 32)
