"""Noise as it is outside: recordings, music, babble and made noise, filtered and in rooms."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from denoise_lib import RATE
from denoise_lib.damage.made_noise import OCTAVES, at_unit_level, babble, coloured, made_noises
from denoise_lib.damage.street import digest_of
from denoise_lib.data.corpora import Clip, Corpus
from denoise_lib.data.crops import clip_generator
from denoise_lib.data.wide_corpora import MUSIC

TAIL = RATE // 2  # samples of a room's response
# How often a recording has each of these.
LAYERS = {"second sound": 0.4, "filter": 0.7, "room": 0.3}
# How often a layer is of each group, and the seconds beyond which a longer recording is heard no
# more often. Within a group it is drawn by the root of its length.
GROUPS = {"recordings": (0.50, 30), "music": (0.10, 60), "babble": (0.16, 30), "made": (0.24, 30)}


class Scene(NamedTuple):
    """What each clip of a batch is mixed with; replayed by :meth:`OutsideNoise.apply`.

    recording, start, speed: of each of two layers, (2, batch); samples, times as fast.
    second_db: level of the second layer re the first, (batch, 1), dB; -inf for none.
    colour_db: filter of the sum, (batch, 8), dB at ``made_noise.POINTS``.
    room: index of the room that the noise is in, (batch,); -1 for none.
    snr_db: ratio of the mean powers of speech and noise over the clip, (batch, 1), dB; inf for
        no noise.
    """

    recording: Tensor
    start: Tensor
    speed: Tensor
    second_db: Tensor
    colour_db: Tensor
    room: Tensor
    snr_db: Tensor


class _Sounds(NamedTuple):
    """Recordings and rooms on one device.

    noise: all recordings, one after the other, int16 (samples,).
    lengths, offsets: of each recording, samples, and where it begins, (recordings,).
    rooms: responses, (rooms, TAIL).
    """

    noise: Tensor
    lengths: Tensor
    offsets: Tensor
    rooms: Tensor


class OutsideNoise:
    """Adds noise of many kinds to speech, at many levels.

    Same call as :class:`~denoise_lib.damage.street.StreetMix`. Each clip gets a stretch of one
    recording, played at 0.7 to 1.4 times its speed; four in ten get a second one, 0 to 15 dB
    weaker; seven in ten sums are filtered, three in ten stand in a room.

    Args:
        groups: Recordings by the name of their group in ``GROUPS``, each (time,).
        snr_db: Range that the ratio is drawn from, evenly.
        clean: Share of clips that stay without noise: a network must leave those alone.
        almost_clean: Share of clips at 25 to 45 dB instead.
        seed: Of the rooms.

    Raises:
        ValueError: There is no recording, an empty one, or an unknown group.
    """

    def __init__(
        self,
        groups: dict[str, list[Tensor]],
        snr_db: tuple[float, float] = (-8.0, 22.0),
        clean: float = 0.06,
        almost_clean: float = 0.10,
        seed: int = 0,
    ) -> None:
        recordings = [each for group in groups.values() for each in group]
        if (
            not recordings
            or any(len(each) == 0 for each in recordings)
            or set(groups) - set(GROUPS)
        ):
            raise ValueError(
                "OutsideNoise: needs recordings, none of them empty, in groups of "
                + ", ".join(GROUPS)
            )
        self.snr_db, self.clean, self.almost_clean = tuple(snr_db), clean, almost_clean
        self.counts = {name: len(group) for name, group in groups.items()}
        self.noise = torch.cat([_int16(each) for each in recordings])
        self.lengths = torch.tensor([len(each) for each in recordings])
        self.offsets = self.lengths.cumsum(0) - self.lengths
        weights = []
        for name, group in groups.items():
            share, longest = GROUPS[name]
            root = torch.tensor([min(len(each), longest * RATE) ** 0.5 for each in group])
            weights.append(share * root / root.sum().clamp_min(1))
        self.weights, self.left_out = torch.cat(weights), ""
        self.rooms = room_tails(48, clip_generator("rooms", seed))
        self.copies: dict[torch.device, _Sounds] = {}

    @property
    def parameters(self) -> dict:
        """Settings as plain values, for records."""
        return {
            "recordings": self.counts,
            "noise": self.digest,
            "snr_db": list(self.snr_db),
            "clean": self.clean,
            "almost_clean": self.almost_clean,
            **({"left_out": self.left_out} if self.left_out else {}),
        }

    @property
    def parts(self) -> tuple[str, ...]:
        """What :meth:`without` can leave out."""
        return (*(self.counts if len(self.counts) > 1 else ()), *LAYERS)

    def without(self, part: str) -> OutsideNoise:
        """The same noise with one part left out: a group of recordings, or a layer.

        All else is drawn as before. Recordings are shared with this one.

        Raises:
            ValueError: There is no such part.
        """
        if part not in self.parts:
            raise ValueError(f"OutsideNoise: no part {part!r}; parts are {', '.join(self.parts)}")
        less = copy.copy(self)
        less.__dict__.pop("digest", None)
        less.left_out = part
        if part in self.counts:
            ends = torch.tensor(list(self.counts.values())).cumsum(0).tolist()
            last = ends[list(self.counts).index(part)]
            less.weights = self.weights.clone()
            less.weights[last - self.counts[part] : last] = 0
        return less

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 of the recordings, of what was made, and of the rooms."""
        return digest_of(self.noise, self.lengths, self.weights, self.rooms)

    def draw(self, batch: int, generator: torch.Generator | None = None) -> Scene:
        """Choose what each of ``batch`` clips is mixed with."""
        recording = torch.multinomial(self.weights, 2 * batch, True, generator=generator)
        recording = recording.view(2, batch)
        place, speed = torch.rand(2, 2, batch, dtype=torch.float64, generator=generator)
        u = torch.rand(8, batch, 1, generator=generator)
        low, high = self.snr_db
        snr_db = low + (high - low) * u[0]
        snr_db = torch.where(u[1] < self.almost_clean, 25 + 20 * u[2], snr_db)
        snr_db = torch.where(u[1] >= 1 - self.clean, torch.inf, snr_db)
        bumps = 3 * torch.randn(batch, len(OCTAVES), generator=generator)
        room = torch.randint(len(self.rooms), (batch,), generator=generator)
        shares = [0.0 if layer == self.left_out else share for layer, share in LAYERS.items()]
        return Scene(
            recording,
            (place * self.lengths[recording]).long(),
            2 ** (speed - 0.5),
            torch.where(u[3] < shares[0], -15 * u[4], -torch.inf),
            ((6 * u[5] - 3) * OCTAVES + bumps) * (u[6] < shares[1]),
            torch.where(u[7, :, 0] < shares[2], room, -1),
            snr_db,
        )

    def alone(self, scene: Scene, samples: int, device: torch.device | str = "cpu") -> Tensor:
        """The noise of a scene at any level, (batch, samples) on ``device``.

        The recordings are copied to the device once, and stay there.
        """
        scene = Scene(*(each.to(device) for each in scene))
        sounds = self._on(torch.device(device))
        first = _layer(sounds, scene, 0, samples)
        if bool((scene.second_db > -torch.inf).any()):
            first = first + 10 ** (scene.second_db / 20) * _layer(sounds, scene, 1, samples)
        size = samples + TAIL  # room for the tail, so that it does not wrap around
        spectrum = coloured(torch.fft.rfft(first, size), scene.colour_db)
        inside = scene.room >= 0
        if inside.any():
            spectrum[inside] *= torch.fft.rfft(sounds.rooms[scene.room[inside]], size)
        return torch.fft.irfft(spectrum, size)[:, :samples]

    def apply(self, waveform: Tensor, scene: Scene) -> Tensor:
        """Add a scene to speech, (batch, time) -> the same shape; silence stays silent."""
        noise = self.alone(scene, waveform.shape[-1], waveform.device).to(waveform)
        ratio = waveform.square().mean(-1, keepdim=True) / noise.square().mean(
            -1, keepdim=True
        ).clamp_min(1e-12)
        return waveform + noise * (ratio / 10 ** (scene.snr_db.to(waveform) / 10)).sqrt()

    def __call__(self, waveform: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Mix noise into waveforms, (time,) or (batch, time); same shape, same device."""
        batch = torch.atleast_2d(waveform)
        return self.apply(batch, self.draw(len(batch), generator)).reshape(waveform.shape)

    def _on(self, device: torch.device) -> _Sounds:
        """The recordings on a device."""
        if device not in self.copies:
            sounds = _Sounds(self.noise, self.lengths, self.offsets, self.rooms)
            self.copies[device] = _Sounds(*(each.to(device) for each in sounds))
        return self.copies[device]


def _layer(sounds: _Sounds, scene: Scene, layer: int, samples: int) -> Tensor:
    """One stretch for each clip at unit level; a recording that ends starts over."""
    length = sounds.lengths[scene.recording[layer], None]
    offset = sounds.offsets[scene.recording[layer], None]
    place = torch.arange(samples, dtype=torch.float64, device=length.device)
    place = place * scene.speed[layer, :, None]
    whole = place.floor()
    before = (scene.start[layer, :, None] + whole.long()) % length
    now, next_ = (
        sounds.noise[offset + before].float(),
        sounds.noise[offset + (before + 1) % length].float(),
    )
    return at_unit_level(torch.lerp(now, next_, (place - whole).float()) / 32768)


class VariedRecording:
    """Speech as other rooms and recorders would have it: the target of a training, too.

    Half of the clips get another colour (a slope of -4 to 4 dB an octave and 2 dB at random), 15 %
    another band (an upper limit of 3 to 7.5 kHz), 30 % no lows (a limit of 60 to 300 Hz), 35 % a
    room (its tail 18 to 0 dB below the direct sound); all get a level of -15 to 10 dB re their own.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.rooms = room_tails(48, clip_generator("rooms", seed))

    @property
    def parameters(self) -> dict:
        """Settings as plain values, for records."""
        return {"seed": self.seed}

    def __call__(self, speech: Tensor, generator: torch.Generator) -> Tensor:
        """Vary clips, (batch, time) -> the same shape."""
        batch, time = speech.shape
        u = torch.rand(9, batch, 1, generator=generator)
        bumps = 2 * torch.randn(batch, len(OCTAVES), generator=generator)
        size = time + TAIL
        freq = torch.fft.rfftfreq(size, 1 / RATE)
        colour_db = ((8 * u[0] - 4) * OCTAVES + bumps) * (u[1] < 0.5)
        spectrum = coloured(torch.fft.rfft(speech, size), colour_db)
        upper, lower = 3000 + 4500 * u[2], 60 + 240 * u[4]  # Hz; Butterworth's magnitudes
        spectrum = spectrum * torch.where(u[3] < 0.15, (1 + (freq / upper) ** 16) ** -0.5, 1.0)
        spectrum = spectrum * torch.where(
            u[5] < 0.3, (1 + (lower / freq.clamp_min(1)) ** 4) ** -0.5, 1.0
        )
        room = torch.randint(len(self.rooms), (batch,), generator=generator)
        tail = 10 ** ((18 * u[7] - 18) / 20) * torch.fft.rfft(self.rooms[room], size)
        spectrum = spectrum * torch.where(u[6] < 0.35, 1 + tail, torch.ones(()))
        varied = torch.fft.irfft(spectrum, size)[:, :time]
        level = 10 ** ((25 * u[8] - 15) / 20) * speech.norm(dim=-1, keepdim=True)
        return varied * level / varied.norm(dim=-1, keepdim=True).clamp_min(1e-6)


def room_tails(count: int, generator: torch.Generator) -> Tensor:
    """Responses of rooms without their direct sound, (count, TAIL), each of unit energy.

    Gaussian noise that decays by 60 dB within 0.1 to 0.8 s, from 2.5 ms on, duller in some rooms
    than in others (Polack's model).
    """
    seconds = torch.arange(TAIL) / RATE
    decay = 0.1 * 8 ** torch.rand(count, 1, generator=generator)
    tails = torch.randn(count, TAIL, generator=generator) * 10 ** (-3 * seconds / decay)
    tails[:, : RATE // 400] = 0
    dull = -3.0 * torch.arange(len(OCTAVES)) * torch.rand(count, 1, generator=generator)
    tails = torch.fft.irfft(coloured(torch.fft.rfft(tails), dull), TAIL)
    return tails / tails.norm(dim=-1, keepdim=True)


def outside_noise(
    recordings: Corpus,
    own: list[Clip],
    speech: Corpus,
    voices: list[Clip],
    *,
    seed: int = 0,
    made: int = 400,
    babbles: int = 120,
    **settings: Any,
) -> OutsideNoise:
    """An :class:`OutsideNoise` of a corpus's recordings, with babble and made noise beside them.

    Args:
        own: The recordings to take; those whose kind ends with "music" are music.
        voices: Clips of ``speech`` that babble is made of.
        seed: Of everything that is made.
        made, babbles: How many noises of 10 s, and babbles of 20 s.
        settings: As for :class:`OutsideNoise`.
    """
    groups: dict[str, list[Tensor]] = {"recordings": [], "music": []}
    for clip in own:
        group = "music" if clip.voice.endswith(MUSIC) else "recordings"
        groups[group].append(recordings.waveform(clip))
    if voices:
        generator = clip_generator("babble", seed)
        groups["babble"] = [
            _in_a_room(babble(speech, voices, 20, generator), generator) for _ in range(babbles)
        ]
    groups["made"] = made_noises(made, 10, clip_generator("made", seed))
    groups = {name: group for name, group in groups.items() if group}
    return OutsideNoise(groups, seed=seed, **settings)


def _in_a_room(waveform: Tensor, generator: torch.Generator) -> Tensor:
    """A waveform partly through a room of its own, (time,), unit level."""
    share = float(torch.rand((), generator=generator))
    size = len(waveform) + TAIL
    response = torch.fft.rfft(room_tails(1, generator)[0], size)
    wet = torch.fft.irfft(torch.fft.rfft(waveform, size) * response, size)[: len(waveform)]
    return at_unit_level((1 - share) * waveform + share * at_unit_level(wet))


def _int16(waveform: Tensor) -> Tensor:
    """At an RMS level of 0.1, or less where the peaks would pass 0.95: half of the memory."""
    level = waveform.square().mean().sqrt().clamp_min(1e-9)
    gain = min(0.1 / float(level), 0.95 / max(float(waveform.abs().max()), 1e-9))
    return (waveform * (32768 * gain)).round().to(torch.int16)
