"""Sounds to press beside the findings: versions of one sentence of the listening matrix.

Nothing is stored for them: they name sounds that the matrix holds.
"""

from __future__ import annotations

import math
from io import BytesIO
from typing import NamedTuple

import numpy as np
import soundfile

from denoise_lib import names
from denoise_lib.report.matrix import Matrix

# A gain at which a version is played: the volume finding compares a clip with itself.
VOLUMES = {"twice the volume": (0.5, 1.0), "half the volume": (1.0, 0.5)}
LOUDER_DB = 3.0  # from where on a version sounds better than it is because it is louder


class Wanted(NamedTuple):
    """What a finding is about.

    Attributes:
        condition: The damage.
        versions: Names in the matrix, in the order of the buttons; those that are missing there are
            left out. One of ``VOLUMES`` is the noisy clip at another gain.
        unseen: Whether the sentence is to be one of the unseen voice.
    """

    condition: str
    versions: tuple[str, ...]
    unseen: bool = False


class Button(NamedTuple):
    """A version to press: how it is written, its colour, the key of its sound, and its gain."""

    written: str
    colour: str
    key: str
    gain: float


class Heard(NamedTuple):
    """The buttons of a finding, the sentence that they play, and which of them are louder."""

    who: str
    seconds: float
    buttons: list[Button]
    louder: str = ""


def heard(wanted: Wanted | None, matrix: Matrix | None) -> Heard | None:
    """The buttons of a finding; None where the matrix lacks its sounds.

    At least two versions must be there: one alone shows nothing.
    """
    tabs = [tab for tab in (matrix.tabs if matrix else []) if wanted]
    rows = [tab["rows"] for tab in tabs if tab["condition"] == wanted.condition]
    if not rows:
        return None
    fitting = [
        (sentence, cells)
        for sentence, cells in zip(matrix.sentences, rows[0], strict=True)
        if cells and ("unseen" in sentence["who"]) == wanted.unseen
    ]
    if not fitting:
        return None
    sentence, cells = fitting[0]
    volume = next((each for each in wanted.versions if each in VOLUMES), None)
    buttons = []
    for name in wanted.versions:
        key = "noisy" if name in VOLUMES else name
        if key in cells:
            gains = VOLUMES[volume] if volume else (1.0, 1.0)
            tone = names.colour("noisy" if name in VOLUMES else name)
            gain = gains[name in VOLUMES]
            buttons.append(Button(names.label(name), tone, cells[key]["key"], gain))
    if len(buttons) < 2:
        return None
    louder = "" if volume else _louder(buttons, matrix.sounds, cells["noisy"]["key"])
    return Heard(sentence["who"], sentence["seconds"], buttons, louder)


def _louder(buttons: list[Button], sounds: dict[str, bytes], noisy: str) -> str:
    """A sentence for each version that is much louder than the noisy clip; may be empty."""
    found = [
        (each.written, _level_db(sounds[each.key]) - _level_db(sounds[noisy])) for each in buttons
    ]
    return " ".join(
        f"“{name}” is {names.number(by, 0)} dB louder than “noisy” here."
        for name, by in found
        if by >= LOUDER_DB
    )


def _level_db(sound: bytes) -> float:
    """Level of a sound file, dB re full scale; -inf for silence."""
    power = float(np.square(soundfile.read(BytesIO(sound))[0]).mean())
    return 10 * math.log10(power) if power else -math.inf
