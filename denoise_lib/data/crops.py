"""Training and validation data: crops of clean speech and their damaged twins.

A training batch is a pure function of the seed and the step, so a resumed run sees what an
uninterrupted one would have seen.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from denoise_lib.audio import to_level
from denoise_lib.data.corpora import Clip, Corpus
from denoise_lib.data.splits import share
from denoise_lib.errors import UserError

EXAMPLE_SECONDS = (2.5, 4.5)  # lengths of clips that are drawn to be played on the page
# Speeds of joined crops; with 1.5 s at 16 kHz all lengths are products of 2, 3 and 5, which are
# fast to transform.
SPEEDS = (0.75, 0.8, 0.853333, 0.9, 0.96, 1.0, 1.0, 1.066667, 1.125, 1.2, 1.25, 1.333333)
Damage = Callable[..., Tensor]  # (waveform, generator) -> waveform: Corruption or StreetMix


class CleanCrops(Dataset):
    """Item ``step`` is the batch of clean crops for that training step.

    Clips are drawn in proportion to their length, brought to the nominal level as a whole, and
    cropped at a random place; a shorter clip is padded with silence at its end.

    Args:
        corpus: Where the waveforms are.
        clips: The clips to draw from.
        batch: Crops side by side.
        seconds: Length of a crop.
        seed: Together with the step it fixes the batch.
        steps: Number of batches.
        vary: Changes the batch, (batch, time) and a generator -> the same shape, such as
            :func:`denoise_lib.damage.augment.vary_speech`.
    """

    def __init__(
        self,
        corpus: Corpus,
        clips: list[Clip],
        *,
        batch: int,
        seconds: float,
        seed: int,
        steps: int,
        vary: Damage | None = None,
    ) -> None:
        if not clips:
            raise ValueError(f"no training clips in {corpus.name}: use more clips")
        self.corpus, self.clips, self.batch = corpus, clips, batch
        self.samples = round(seconds * corpus.rate)
        self.seed, self.steps, self.vary = seed, steps, vary
        self.rows = range(batch)  # those that are read; the others are silent
        self.weights = torch.tensor([float(clip.samples) for clip in clips])

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Tensor:
        """The batch of one training step, (batch, time)."""
        generator = clip_generator(f"crops/{step}", self.seed)
        chosen = torch.multinomial(self.weights, self.batch, True, generator=generator)
        places = torch.rand(self.batch, dtype=torch.float64, generator=generator)
        silence = torch.zeros(self.samples)
        crops = torch.stack(
            [
                self._crop(self.clips[i], place) if row in self.rows else silence
                for row, (i, place) in enumerate(zip(chosen.tolist(), places.tolist(), strict=True))
            ]
        )
        return self.vary(crops, generator) if self.vary else crops

    def _crop(self, clip: Clip, place: float) -> Tensor:
        start = int(place * max(1, clip.samples - self.samples + 1))
        crop = self.corpus.crop(clip, start, self.samples)
        return F.pad(crop, (0, self.samples - len(crop)))


class JoinedCrops(CleanCrops):
    """Crops of one voice each that is talking on: several clips, one after the other.

    Most clips of volunteers last one or two seconds. A crop begins anywhere in its first clip;
    pauses last 0.05 to 0.65 s, short ones more often; each clip is brought to the nominal level,
    give or take 2 dB. A voice with more to say is drawn more often, by its length to the power of
    0.75. The crop is played at 0.75 to 1.33 times its speed, so that voices are also higher and
    lower than they are.

    Args:
        speeds: Times as fast that a crop may be played, all alike; (1.0,) for as it is.

    Raises:
        ValueError: No clips.
    """

    def __init__(self, *args: Any, speeds: tuple[float, ...] = SPEEDS, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.speeds = tuple(speeds)
        self.voices: dict[str, list[Clip]] = {}
        for clip in self.clips:
            self.voices.setdefault(clip.voice, []).append(clip)
        lengths = [sum(clip.samples for clip in own) for own in self.voices.values()]
        self.weights = torch.tensor(lengths, dtype=torch.float32) ** 0.75

    def __getitem__(self, step: int) -> Tensor:
        """(batch, time)."""
        generator = clip_generator(f"crops/{step}", self.seed)
        voices = torch.multinomial(self.weights, self.batch, True, generator=generator)
        speeds = torch.randint(len(self.speeds), (self.batch,), generator=generator)
        crops = [
            self._talk(list(self.voices.values())[v], self.speeds[s], generator, row in self.rows)
            for row, (v, s) in enumerate(zip(voices.tolist(), speeds.tolist(), strict=True))
        ]
        crops = torch.stack(crops)
        return self.vary(crops, generator) if self.vary else crops

    def _talk(
        self, own: list[Clip], speed: float, generator: torch.Generator, read: bool
    ) -> Tensor:
        """A crop of one voice, (time,); silence, after the same draws, where it is not read."""
        samples, rate = round(self.samples * speed), self.corpus.rate
        talk, place = torch.zeros(samples), 0
        weights = torch.tensor([float(clip.samples) for clip in own])
        while place < samples:
            clip = own[int(torch.multinomial(weights, 1, generator=generator))]
            begin, level, pause = torch.rand(3, generator=generator).tolist()
            start = int(begin * max(0, clip.samples - rate // 2)) if place == 0 else 0
            if read:
                crop = self.corpus.crop(clip, start, samples - place)
                talk[place : place + len(crop)] = crop * 10 ** ((4 * level - 2) / 20)
            place += clip.samples - start + int(rate * (0.05 + 0.6 * pause**2))
        return talk if samples == self.samples else stretched(talk, self.samples)


def stretched(waveform: Tensor, samples: int) -> Tensor:
    """A waveform (time,) played faster or slower, so that it lasts ``samples``.

    Its spectrum is cut off or padded, which is exact but for its ends, where it wraps around.
    """
    spectrum, size = torch.fft.rfft(waveform), samples // 2 + 1
    spectrum = F.pad(spectrum, (0, max(0, size - len(spectrum))))[:size]
    return torch.fft.irfft(spectrum, samples) * (samples / len(waveform))


def damaged_batches(
    crops: CleanCrops,
    damage: Damage,
    *,
    first_step: int = 0,
    device: torch.device | str = "cpu",
    workers: int = 0,
    rows: slice = slice(None),
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (noisy, clean), each (batch, time) on ``device``, from ``first_step`` on.

    The damage is drawn anew for every batch and made on the device; but not on Apple's GPU, which
    has no numbers of 64 bits to draw positions by.

    Args:
        workers: Processes that read clips ahead; 0 reads in this one.
        rows: Of each batch these are read and given; they are the same whichever are asked for.
    """
    crops = copy(crops)
    crops.rows = range(crops.batch)[rows]
    place = "cpu" if torch.device(device).type == "mps" else device
    loader = DataLoader(
        crops, batch_size=None, sampler=range(first_step, len(crops)), num_workers=workers
    )
    for step, clean in enumerate(loader, start=first_step):
        clean = clean.to(place)
        noisy = damage(clean, clip_generator(f"damage/{step}", crops.seed))
        yield noisy[rows].to(device), clean[rows].to(device)


def spread(clips: list[Clip], max_clips: int | None) -> list[Clip]:
    """At most ``max_clips`` clips, evenly of all voices: always the same.

    One clip of every voice, then the next of every voice, for as long as they have one; within a
    voice, and among voices, a hash of the clip's name decides. All of them when ``max_clips`` is 0
    or None; a smaller choice is the beginning of a larger one.
    """
    turns: Counter[str] = Counter()
    order = []
    for clip in _by_hash(clips):
        order.append((turns[clip.voice], clip))
        turns[clip.voice] += 1
    order.sort(key=lambda pair: pair[0])
    return [clip for _, clip in order][: max_clips or None]


def _by_hash(clips: list[Clip]) -> list[Clip]:
    """Clips in an order that is as good as random and depends on nothing but their names."""
    return sorted(clips, key=lambda clip: share(clip.name))


def fixed_clip(
    corpus: Corpus, clip: Clip, damage: Damage | None, seed: int, max_seconds: float | None = None
) -> tuple[Tensor, Tensor]:
    """One clip and the damage that is its own for ever: (noisy, clean), each (time,).

    Args:
        damage: Makes the noisy clip of the clean one, which is brought to the nominal level. None
            takes the noisy recording that the corpus has of it: that is brought to the nominal
            level, as in use, and the clean one is moved along.
        seed: Together with the clip's name it fixes the damage.
        max_seconds: Seconds of the clip's beginning to use; all of it when None.

    Raises:
        UserError: The corpus has no noisy recordings, or this one is not as long as the clean one.
    """
    samples = None if max_seconds is None else round(max_seconds * corpus.rate)
    if damage is not None:
        clean = to_level(corpus.beginning(clip, samples))
        return damage(clean, clip_generator(clip.name, seed)), clean
    waveform, noisy = corpus.waveform(clip), corpus.noisy(clip)
    if len(noisy) != len(waveform):
        raise UserError(
            f"{corpus.name}: {clip.name} has {len(waveform)} samples and its noisy twin "
            f"{len(noisy)}; make them equally long"
        )
    pair = torch.stack([noisy[:samples], waveform[:samples]])
    return tuple(to_level(pair, by=0))


def fixed_batch(
    corpus: Corpus,
    clips: list[Clip],
    damage: Damage,
    *,
    seed: int,
    seconds: float,
    max_clips: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The beginnings of several clips with their fixed damage: (noisy, clean), (batch, time).

    Clips shorter than ``seconds`` are left out, so that nothing is padded; of the others at
    most ``max_clips`` are used.

    Raises:
        UserError: No clip is long enough.
    """
    samples = round(seconds * corpus.rate)
    # By the hash alone: the shipped networks were validated on clips so chosen.
    long_enough = _by_hash([clip for clip in clips if clip.samples >= samples])[: max_clips or None]
    if not long_enough:
        raise UserError(
            f"{corpus.name}: no clip of {seconds} s or more to validate on; add longer ones"
        )
    pairs = [fixed_clip(corpus, clip, damage, seed, seconds) for clip in long_enough]
    noisy, clean = zip(*pairs, strict=True)
    return torch.stack(noisy), torch.stack(clean)


def drawn(corpus: Corpus, split: str, count: int, seed: int) -> list[Clip]:
    """Clips of a length to listen to, drawn by the seed, not by ear."""
    low, high = (seconds * corpus.rate for seconds in EXAMPLE_SECONDS)
    fitting = [clip for clip in corpus.split(split) if low <= clip.samples <= high]
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(fitting), generator=generator).tolist()
    return [fitting[i] for i in order[:count]]


def clip_generator(name: str, seed: int = 0) -> torch.Generator:
    """CPU generator fixed by a clip's identity and a seed: the same damage for every model.

    Args:
        name: The clip's unique name.
        seed: Seed of the whole experiment.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
