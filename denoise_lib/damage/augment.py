"""Data augmentation: damage, street noise and speech that vary during training.

A network trained on one frame length, one studio, one level and a few minutes of street noise may
not generalise to others. This module draws the parameters of the damage, the sound of the street
noise, and the colour, bandwidth, room and level of the speech at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from denoise_lib import RATE
from denoise_lib.damage.corruption import Corruption
from denoise_lib.damage.street import STREET_SNR_DB, StreetMix, add_noise
from denoise_lib.data.crops import Damage

FRAMES = (256, 320, 400, 512, 640, 683, 800, 1024)  # samples; 683 is 2048 at 48 kHz
OVERLAPS = (2, 4, 8)  # hops in a frame


class OneOf:
    """For each clip one of several damages, drawn by weight.

    Clips of one batch get different ones, so that batch norm's statistics are those of the mixture.

    Args:
        damages: What to choose from.
        weights: How often each is chosen, relative to each other; all alike when left out.

    Raises:
        ValueError: There is no damage, or not one weight for each.
    """

    def __init__(self, damages: list[Damage], weights: list[float] | None = None) -> None:
        self.damages, self.weights = list(damages), list(weights or [1.0] * len(damages))
        if not damages or len(self.weights) != len(self.damages):
            raise ValueError("OneOf: needs at least one damage, and one weight for each")

    @property
    def parameters(self) -> dict:
        """Settings as plain values, for records."""
        kinds = [[type(each).__name__, getattr(each, "parameters", {})] for each in self.damages]
        return {"damages": kinds, "weights": self.weights}

    def __call__(self, waveform: Tensor, generator: torch.Generator) -> Tensor:
        """Damage waveforms, (time,) or (batch, time); same shape out."""
        batch = torch.atleast_2d(waveform)
        chosen = torch.multinomial(
            torch.tensor(self.weights), len(batch), replacement=True, generator=generator
        )
        damaged = torch.empty_like(batch)
        for index in chosen.unique().tolist():
            damaged[chosen == index] = self.damages[index](batch[chosen == index], generator)
        return damaged.reshape(waveform.shape)


class VariedCorruption:
    """The fixed procedure with parameters that are drawn anew for each call.

    Frame, hop and window come from short lists, the shares of touched coefficients and the value
    from ranges around the fixed ones; one of the two changes may be missing.
    """

    def draw(self, generator: torch.Generator) -> Corruption:
        """A procedure to damage one batch with."""
        n_fft, overlap = _choice(FRAMES, generator), _choice(OVERLAPS, generator)
        only = _choice(("both", "both", "zero", "raise"), generator)
        return Corruption(
            quantile=_uniform(0.8, 0.95, generator),
            zero=0.0 if only == "raise" else _uniform(0.1, 0.4, generator),
            raised=0.0 if only == "zero" else _uniform(0.2, 0.8, generator),
            # A longer frame sums up more samples, so its coefficients are larger.
            value=_uniform(0.5, 1.5, generator) * (n_fft / 640) ** 0.5,
            n_fft=n_fft,
            hop=n_fft // overlap,
            window=_choice(("rect", "hann"), generator) if overlap > 2 else "rect",
        )

    @property
    def parameters(self) -> dict:
        """Settings as plain values, for records."""
        return {"frames": list(FRAMES), "overlaps": list(OVERLAPS)}

    def __call__(self, waveform: Tensor, generator: torch.Generator) -> Tensor:
        """Damage waveforms, (time,) or (batch, time); same shape out."""
        return self.draw(generator)(waveform, generator)


class VariedStreet:
    """Streets that were not recorded, made from those that were.

    Each clip gets a random stretch, played at 0.7 to 1.4 times its speed; half of the clips get a
    second one on top, 0 to 12 dB weaker; the sum is filtered by a tilt of -3 to 3 dB an octave and
    added at 6 dB around the ratio that is given.

    Args:
        recordings: Noise waveforms, each (time,), float32.
        snr_db: Middle of the ratios of speech to noise, dB.

    Raises:
        ValueError: There is no recording, or one is empty.
    """

    def __init__(self, recordings: list[Tensor], snr_db: float = STREET_SNR_DB) -> None:
        self.street = StreetMix(recordings, snr_db)

    @property
    def parameters(self) -> dict:
        """Settings as plain values, for records."""
        return self.street.parameters

    def __call__(self, waveform: Tensor, generator: torch.Generator) -> Tensor:
        """Mix noise into waveforms, (time,) or (batch, time); same shape out."""
        batch = torch.atleast_2d(waveform)
        noise = self.noise(*batch.shape, generator).to(batch)
        snr_db = self.street.snr_db + 12 * torch.rand(len(batch), 1, generator=generator) - 6
        return add_noise(batch, noise, snr_db.to(batch)).reshape(waveform.shape)

    def noise(self, batch: int, samples: int, generator: torch.Generator) -> Tensor:
        """New streets at any level, (batch, samples)."""
        u = torch.rand(5, batch, 1, generator=generator)
        layers = []
        for speed in 2 ** (u[:2] - 0.5):
            layer = self.street.stretch(self.street.draw(batch, generator), samples, speed)
            layers.append(layer / layer.norm(dim=-1, keepdim=True).clamp_min(1e-9))
        second = torch.where(u[2] < 0.5, 10 ** (-12 * u[3] / 20), 0.0)
        noise = layers[0] + second * layers[1]
        freq = torch.fft.rfftfreq(samples, 1 / RATE)
        return torch.fft.irfft(torch.fft.rfft(noise) * _tilt(freq, 6 * u[4] - 3), samples)


def vary_speech(speech: Tensor, generator: torch.Generator, share: float = 0.25) -> Tensor:
    """Give some clips of a batch another colour, bandwidth, room and level.

    Each clip is filtered by a tilt of -6 to 6 dB an octave around 1 kHz and cut off between 3 and
    8 kHz; half of those then stand in a room, whose response decays exponentially by 60 dB
    within 0.1 to 0.5 s (Polack's model: decaying Gaussian noise). The filtered clip is brought
    back to its own level, and that is moved by -6 to 6 dB.

    Args:
        speech: (batch, time).
        share: How many of the clips are changed, in [0, 1].
    """
    batch, time = speech.shape
    u = torch.rand(8, batch, 1, generator=generator).to(speech)
    size = 2 * time  # room for the tail, so that it does not wrap around
    spectrum = torch.fft.rfft(speech, size)
    freq = torch.fft.rfftfreq(size, 1 / RATE).to(speech)
    cutoff = 3000 + 5000 * u[1]
    low_pass = (1 + (freq / cutoff) ** 16) ** -0.5  # Butterworth's magnitude, order 8
    spectrum = spectrum * low_pass * _tilt(freq, 12 * u[0] - 6)
    seconds = torch.arange(time).to(speech) / RATE
    tail = torch.randn(batch, time, generator=generator).to(speech)
    tail = tail * 10 ** (-3 * seconds / (0.1 + 0.4 * u[2]))
    tail = tail * u[3] / tail.norm(dim=-1, keepdim=True)  # as strong as the direct sound at most
    tail[:, 0] += 1
    spectrum = spectrum * torch.where(u[4] < 0.5, torch.fft.rfft(tail, size), 1)
    varied = torch.fft.irfft(spectrum, size)[:, :time]
    level = 10 ** ((12 * u[5] - 6) / 20) * speech.norm(dim=-1, keepdim=True)
    varied = varied * level / varied.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    return torch.where(u[6] < share, varied, speech)


def _tilt(freq: Tensor, slope: Tensor) -> Tensor:
    """Gains of a filter that rises by ``slope`` dB an octave, 1 at 1 kHz, level below 50 Hz."""
    return 10 ** (slope * (freq.clamp_min(50) / 1000).log2() / 20)


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _choice(options: Sequence[Any], generator: torch.Generator) -> Any:
    return options[int(torch.randint(len(options), (), generator=generator))]
