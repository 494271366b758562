"""Noise that nobody recorded: coloured, moving, wind, hum, clicks, calls, and babble of voices."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from denoise_lib import RATE
from denoise_lib.data.corpora import Clip, Corpus

POINTS = torch.tensor([60.0, 120.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0])  # Hz
OCTAVES = POINTS.log2() - math.log2(1000)  # from 1 kHz


def coloured(spectrum: Tensor, points_db: Tensor) -> Tensor:
    """A spectrum times a filter that is given at ``POINTS``.

    Args:
        spectrum: From ``rfft``, complex (batch, freq).
        points_db: Gains at ``POINTS``, dB, (batch, 8); in between they are interpolated over the
            logarithm of the frequency, below and above they stay as they are.
    """
    freq = torch.linspace(0, RATE / 2, spectrum.shape[-1], device=spectrum.device).clamp(
        float(POINTS[0]), float(POINTS[-1])
    )
    low, high = math.log2(float(POINTS[0])), math.log2(float(POINTS[-1]))
    place = (freq.log2() - low) / (high - low) * (len(POINTS) - 1)
    below = place.floor().long().clamp_max(len(POINTS) - 2)
    gain_db = torch.lerp(points_db[:, below], points_db[:, below + 1], place - below)
    return spectrum * 10 ** (gain_db / 20)


def at_unit_level(waveform: Tensor) -> Tensor:
    """(batch, time) at an RMS level of 1; silence stays silent."""
    return waveform / waveform.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-9)


def steady(
    batch: int,
    samples: int,
    generator: torch.Generator,
    slope_db: tuple[float, float] = (-9.0, 3.0),
    bumps_db: float = 6.0,
) -> Tensor:
    """Gaussian noise of a random colour, (batch, samples), RMS level 1.

    Args:
        slope_db: Range of its slopes, dB an octave.
        bumps_db: Standard deviation of what is added to that at each of ``POINTS``, dB.
    """
    low, high = slope_db
    slope = low + (high - low) * torch.rand(batch, 1, generator=generator)
    bumps = bumps_db * torch.randn(batch, len(POINTS), generator=generator)
    white = torch.randn(batch, samples, generator=generator)
    spectrum = coloured(torch.fft.rfft(white), slope * OCTAVES + bumps)
    return at_unit_level(torch.fft.irfft(spectrum, samples))


def moving(batch: int, samples: int, generator: torch.Generator) -> Tensor:
    """Two steady noises whose levels move apart from each other, as traffic and crowds do."""
    return sum(
        steady(batch, samples, generator) * _gain(6.0, batch, samples, generator, (0.5, 12.0))
        for _ in range(2)
    )


def wind(batch: int, samples: int, generator: torch.Generator) -> Tensor:
    """Low noise in gusts."""
    low = steady(batch, samples, generator, slope_db=(-15.0, -8.0), bumps_db=3.0)
    return low * _gain(8.0, batch, samples, generator, (0.3, 3.0))


def hum(batch: int, samples: int, generator: torch.Generator, harmonics: int = 40) -> Tensor:
    """Harmonics of 25 to 400 Hz that drift by up to 3 percent, as mains, fans and engines do."""
    pitch = 25 * 16 ** torch.rand(batch, 1, generator=generator)
    drift = 0.03 * torch.rand(batch, 1, generator=generator)
    course = pitch * (1 + drift * _course(batch, samples, generator, (0.1, 2.0)))
    phase = 2 * torch.pi * (course.double() / RATE).cumsum(-1)
    decay = 1.5 * torch.rand(batch, 1, generator=generator)
    tone = torch.zeros(batch, samples)
    for number in range(1, harmonics + 1):
        strength = number**-decay * torch.rand(batch, 1, generator=generator)
        tone += strength * (pitch * number < 7500) * torch.sin(number * phase).float()
    tone = at_unit_level(tone) * _gain(3.0, batch, samples, generator, (0.5, 8.0))
    return tone + steady(batch, samples, generator) * torch.rand(batch, 1, generator=generator)


def clicks(batch: int, samples: int, generator: torch.Generator) -> Tensor:
    """One to ten knocks a second, of five kinds each, as of keyboards and dishes."""
    length = RATE // 5
    seconds = torch.arange(length) / RATE
    out = torch.zeros(batch, samples + length)
    for row in out:
        count = int((1 + 9 * torch.rand((), generator=generator)) * samples / RATE)
        places = (torch.rand(count, generator=generator) * samples).long().tolist()
        strengths = (10 ** (torch.rand(count, generator=generator) - 1)).tolist()
        kinds = torch.randint(5, (count,), generator=generator).tolist()
        pitch = 300 * 20 ** torch.rand(5, 3, 1, generator=generator)
        fading = torch.exp(-seconds / (0.004 * 15 ** torch.rand(5, 3, 1, generator=generator)))
        rings = torch.sin(2 * torch.pi * pitch * seconds) * torch.rand(5, 3, 1, generator=generator)
        knocks = (rings * fading).sum(1)
        knocks += 0.5 * torch.randn(5, length, generator=generator) * fading[:, 0]
        for place, strength, kind in zip(places, strengths, kinds, strict=True):
            row[place : place + length] += strength * knocks[kind]
    return at_unit_level(out[:, :samples]) + 0.1 * steady(batch, samples, generator)


def calls(batch: int, samples: int, generator: torch.Generator) -> Tensor:
    """Tones that glide within 0.6 to 7 kHz, again and again, as birds, bats, brakes and alarms do.

    Each noise has three calls of its own, of 20 ms to 0.6 s. They come up to eight times a second.
    """
    length = round(0.6 * RATE)
    seconds = torch.arange(length) / RATE
    out = torch.zeros(batch, samples + length)
    for row in out:
        lasting = 0.02 * 30 ** torch.rand(3, 1, generator=generator)
        place = (seconds / lasting).clamp_max(1)
        low, glide, trill = torch.rand(3, 3, 1, generator=generator)
        rate = 5 * 12 ** torch.rand(3, 1, generator=generator)  # Hz, of the trill
        octaves = (2 * glide - 1) * place + 0.3 * trill * torch.sin(2 * torch.pi * rate * seconds)
        pitch = (1200 * 3**low * 2**octaves).clamp(600, 7000)
        phase = 2 * torch.pi * (pitch.double() / RATE).cumsum(-1).float()
        second = torch.rand(3, 1, generator=generator) * (pitch < 3500) * torch.sin(2 * phase)
        sung = (torch.sin(phase) + second) * torch.sin(torch.pi * place)
        count = int((0.5 + 7.5 * torch.rand((), generator=generator)) * samples / RATE) + 1
        places = (torch.rand(count, generator=generator) * samples).long().tolist()
        strengths = (10 ** (torch.rand(count, generator=generator) - 1)).tolist()
        kinds = torch.randint(3, (count,), generator=generator).tolist()
        for start, strength, kind in zip(places, strengths, kinds, strict=True):
            row[start : start + length] += strength * sung[kind]
    around = 0.5 * torch.rand(batch, 1, generator=generator)
    return at_unit_level(out[:, :samples]) + around * steady(batch, samples, generator)


# How often each kind is made, relative to each other.
KINDS = {steady: 2, moving: 4, wind: 1, hum: 2, clicks: 1, calls: 2}


def made_noises(count: int, seconds: float, generator: torch.Generator) -> list[Tensor]:
    """About ``count`` noises of all kinds, each (time,)."""
    noises: list[Tensor] = []
    for kind, weight in KINDS.items():
        share = max(1, round(count * weight / sum(KINDS.values())))
        while share > 0:  # ten at a time: what a kind needs in between takes ten times its memory
            noises += kind(min(share, 10), round(seconds * RATE), generator).unbind()
            share -= 10
    return noises


def babble(corpus: Corpus, clips: list[Clip], seconds: float, generator: torch.Generator) -> Tensor:
    """Three to ten voices at once, each talking on with short pauses, (time,), RMS level about 1.

    Args:
        clips: Of whom; a voice with more of them is heard more often, by the root of their length.
    """
    own: dict[str, list[Clip]] = {}
    for clip in clips:
        own.setdefault(clip.voice, []).append(clip)
    lengths = torch.tensor([float(sum(clip.samples for clip in each)) for each in own.values()])
    samples = round(seconds * RATE)
    total = 0.01 * torch.randn(samples, generator=generator)
    count = 3 + int(torch.randint(8, (), generator=generator))
    for voice in torch.multinomial(lengths.sqrt(), count, True, generator=generator).tolist():
        talk = _talk(corpus, list(own.values())[voice], samples, generator)
        total += talk * 10 ** (-10 * float(torch.rand((), generator=generator)) / 20)
    return at_unit_level(total)


def _talk(corpus: Corpus, clips: list[Clip], samples: int, generator: torch.Generator) -> Tensor:
    """Clips of one voice, one after the other, each at unit level, (samples,)."""
    out = torch.zeros(samples)
    place = -int(RATE * torch.rand((), generator=generator))
    while place < samples:
        clip = clips[int(torch.randint(len(clips), (), generator=generator))]
        waveform = at_unit_level(corpus.waveform(clip))
        start, end = max(place, 0), min(place + len(waveform), samples)
        out[start:end] += waveform[start - place : max(end - place, start - place)]
        place += len(waveform) + int(0.3 * RATE * torch.rand((), generator=generator))
    return out


def _gain(
    deviation_db: float,
    batch: int,
    samples: int,
    generator: torch.Generator,
    rates: tuple[float, float],
) -> Tensor:
    """A level that moves around 0 dB, as a factor, (batch, samples)."""
    return 10 ** (deviation_db * _course(batch, samples, generator, rates) / 20)


def _course(
    batch: int, samples: int, generator: torch.Generator, rates: tuple[float, float]
) -> Tensor:
    """Smooth random courses of about unit variance; each moves at a rate of its own, in Hz."""
    low, high = rates
    rate = low * (high / low) ** torch.rand(batch, 1, generator=generator)
    points = torch.randn(batch, 256, generator=generator)
    place = torch.arange(samples) / RATE * rate
    before = place.floor().long() % 256
    weight = 0.5 - 0.5 * torch.cos(torch.pi * (place - place.floor()))
    return torch.lerp(points.gather(1, before), points.gather(1, (before + 1) % 256), weight)
