"""Speech of the voices that festival synthesises from diphones: further voices to train on.

A diphone is the recorded way from the middle of one sound to the middle of the next. A voice of
festival has some 1,300 of them, all that its language needs, in one file: of each the residual of
linear prediction, and at each mark of the pitch the coefficients of the filter. Walking from sound
to sound gives speech that flows, with words of no language, and its pitch can be changed without
the timbre.
"""

from __future__ import annotations

import io
import re
import struct
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from denoise_lib.data.seeds import clip_generator

CLIPS = 80  # of each voice
SECONDS = (2.5, 6.0)  # length of a clip is drawn between these
LOUDER = 0.7  # exponent of the level by which diphones are drawn; vowels are loud
PITCH = (0.85, 1.2)  # of a whole clip re the recordings
ACCENT = 0.14  # octaves, the most that each of three slow waves moves the pitch by
LEAST_HZ, MOST_HZ = 50.0, 600.0  # of what is taken for a pitch
RINGING = 25.0  # times the RMS level; a filter that peaks higher has become unstable
_SILENCE = {"pau", "#", "_"}  # names of the sound that is none
_HEADER = b"EST_Header_End\n"
Array = NDArray[np.float64]


class Diphone(NamedTuple):
    """What is left of a recording and the filter that makes it whole.

    marks: places of the pitch's periods, samples, (marks,).
    coefficients: of the all-pole filter at each mark, (marks, order).
    residual: of linear prediction, (samples,).
    """

    marks: Array
    coefficients: Array
    residual: Array


def read_group(data: bytes) -> tuple[dict[str, Diphone], int]:
    """The diphones of a voice by their names, such as "a-b", and their sampling rate, Hz.

    A group begins with a header of text, in which a line of each diphone gives its name, the places
    of its track and its residual behind the header, and a frame. A track has a header of its own,
    then for each mark its time in seconds, a flag, the power and the coefficients, in 32-bit
    floats. A residual is a file of Sun's format in 8-bit mu-law.

    Raises:
        ValueError: It is no such file.
    """
    count = re.search(rb"^NumEntries (\d+)\n", data, re.MULTILINE)
    if not data.startswith(b"EST_File index\n") or not count:
        raise ValueError("no group of diphones")
    place, lines = data.index(_HEADER) + len(_HEADER), []
    for _ in range(int(count[1])):
        end = data.index(b"\n", place)
        lines.append(data[place:end].decode("latin-1").split())
        place = end + 1
    found, rate = {}, 0
    for name, track, residual, *_ in lines:
        if name.count("-") == 1:
            samples, rate = _residual(data, place + int(residual))
            times, coefficients = _track(data[place + int(track) : place + int(residual)])
            if len(times) > 2:
                found[name] = Diphone(times * rate, coefficients, samples)
    if not found:
        raise ValueError("a group without diphones")
    return found, rate


def _track(data: bytes) -> tuple[Array, Array]:
    """Times of the marks, s, and the coefficients at each."""
    start = data.index(_HEADER) + len(_HEADER)
    frames, channels = (
        int(re.search(rb"%s\s+(\d+)" % each, data[:start])[1])
        for each in (b"NumFrames", b"NumChannels")
    )
    values = np.frombuffer(data, "<f4", frames * (channels + 2), start).astype(np.float64)
    values = values.reshape(frames, channels + 2)
    return values[:, 0], values[:, 3:]


def _residual(data: bytes, place: int) -> tuple[Array, int]:
    import soundfile

    magic, start, size, encoding, rate, channels = struct.unpack_from(">4s5I", data, place)
    if (magic, encoding, channels) != (b".snd", 1, 1):
        raise ValueError("a diphone whose residual is not in mu-law")
    samples = data[place + start : place + start + size]
    if len(samples) < size:
        raise ValueError("a diphone that is cut off")
    head = struct.pack(">4s5I", magic, 24, len(samples), encoding, rate, channels)
    return soundfile.read(io.BytesIO(head + samples))[0], rate


def talks(data: bytes, clips: int = CLIPS) -> Iterator[tuple[str, bytes]]:
    """(number as "07.wav", file) of each clip that is made of a group's diphones.

    Clips depend on the group and their number alone. One whose filter rings is left out.
    """
    import soundfile

    diphones, rate = read_group(data)
    following = _following(diphones)
    for number in range(clips):
        draw = clip_generator(f"diphones/{number}", len(data))
        low, high = SECONDS
        seconds = low + (high - low) * float(torch.rand((), generator=draw))
        joined = _walk(diphones, following, round(seconds * rate), draw)
        samples = _spoken(joined, rate, _pitch(joined.marks / rate, draw))
        peak = np.abs(samples).max()
        level = np.sqrt(np.mean(np.square(samples / peak))) if 0 < peak < np.inf else 0.0
        if RINGING * level > 1:
            file = io.BytesIO()
            soundfile.write(file, 0.7 / peak * samples, rate, format="WAV", subtype="PCM_16")
            yield f"{number:02}.wav", file.getvalue()


def _following(diphones: dict[str, Diphone]) -> dict[str, tuple[list[str], torch.Tensor]]:
    """Diphones that begin with each sound, and how often each is drawn; silence is left out."""
    names: dict[str, list[str]] = defaultdict(list)
    for name in diphones:
        first, last = name.split("-")
        if last not in _SILENCE:
            names[first].append(name)
    return {
        sound: (own, torch.tensor([_level(diphones[each]) ** LOUDER + 1e-9 for each in own]))
        for sound, own in names.items()
    }


def _level(diphone: Diphone) -> float:
    """RMS level through the filter of the middle."""
    from scipy.signal import lfilter

    middle = diphone.coefficients[len(diphone.marks) // 2]
    return float(np.sqrt(np.mean(lfilter([1.0], [1.0, *-middle], diphone.residual) ** 2)))


def _walk(
    diphones: dict[str, Diphone],
    following: dict[str, tuple[list[str], torch.Tensor]],
    samples: int,
    draw: torch.Generator,
) -> Diphone:
    """Diphones that follow each other from mark to mark, until there are so many samples."""
    sounds = list(following)
    sound = next((each for each in sounds if each in _SILENCE), sounds[0])
    parts: list[Diphone] = []
    length = 0
    while length < samples:
        if sound not in following:  # the last sound of no other diphone
            sound = sounds[int(torch.randint(len(sounds), (), generator=draw))]
        names, weights = following[sound]
        name = names[int(torch.multinomial(weights, 1, generator=draw))]
        marks, coefficients, residual = diphones[name]
        first, last = int(marks[0]), int(marks[-1])
        part = Diphone(marks[1:] - marks[0] + length, coefficients[1:], residual[first:last])
        parts.append(part)
        length += len(part.residual)
        sound = name.split("-")[1]
    return Diphone(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _pitch(seconds: Array, draw: torch.Generator) -> Array:
    """Factor of the pitch at each mark: one for the clip, and three slow waves as of sentences."""
    u = torch.rand(10, dtype=torch.float64, generator=draw).numpy()
    low, high = np.log2(PITCH)
    octaves = low + (high - low) * u[9]
    for depth, speed, phase in u[:9].reshape(3, 3):
        wave = np.sin(2 * np.pi * ((0.2 + 1.3 * speed) * seconds + phase))
        octaves = octaves + ACCENT * depth * wave
    return 2**octaves


def _spoken(joined: Diphone, rate: int, pitch: Array) -> Array:
    """The residual at another pitch and as long as before, through the filter of each moment.

    Around each mark a period on either side is cut out; at a higher pitch they stand closer
    together, and some are heard twice.

    References:
        Moulines, Charpentier, "Pitch-synchronous waveform processing techniques for text-to-speech
        synthesis using diphones", Speech Communication 9, 1990, sec. 3, for the residual.
    """
    marks, coefficients, residual = joined
    periods = np.diff(marks, prepend=2 * marks[0] - marks[1])
    periods = np.clip(periods, rate / MOST_HZ, rate / LEAST_HZ)
    most = int(rate / LEAST_HZ) + 1
    padded = np.pad(residual, most)
    excitation = np.zeros(len(residual) + 2 * most)
    places, chosen, place = [], [], 0.0
    while place < len(residual):
        mark = min(int(np.searchsorted(marks, place)), len(marks) - 1)
        before, after = int(periods[mark]), int(periods[min(mark + 1, len(marks) - 1)])
        centre, target = min(int(marks[mark]), len(residual)) + most, int(place) + most
        grain = padded[centre - before : centre + after].copy()
        grain[:before] *= np.linspace(0, 1, before, endpoint=False)
        grain[before:] *= np.linspace(1, 0, after, endpoint=False)
        excitation[target - before : target + after] += grain
        places.append(target)
        chosen.append(mark)
        place += periods[mark] / pitch[mark]
    return _filtered(excitation, np.array(places), coefficients[chosen])


def _filtered(excitation: Array, places: Array, coefficients: Array) -> Array:
    """All-pole filters, each from halfway behind the place before to halfway before the next."""
    from scipy.signal import lfilter, lfiltic

    order, out = coefficients.shape[1], np.zeros_like(excitation)
    ends = [*((places[1:] + places[:-1]) // 2), len(excitation)]
    start = 0
    for end, own in zip(ends, coefficients, strict=True):
        poles = [1.0, *-own]
        past = out[max(0, start - order) : start][::-1]
        state = lfiltic([1.0], poles, past)
        out[start:end], _ = lfilter([1.0], poles, excitation[start:end], zi=state)
        start = end
    return out
