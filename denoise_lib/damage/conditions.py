"""All conditions by name: the damage, and the speech that it is applied to.

The out-of-domain conditions (`away` in names.py) differ from the fixed damage on the default
corpus, except "home", which is their reference. Training with :mod:`denoise_lib.damage.augment`
covers similar levels and rooms, and frames as long as those at 48 kHz, but none of these conditions
exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from denoise_lib import RATE, names
from denoise_lib.damage.augment import OneOf, VariedCorruption, VariedStreet
from denoise_lib.damage.corruption import FIXED, Corruption, frame_at
from denoise_lib.damage.outside import OutsideNoise, outside_noise
from denoise_lib.damage.shifted import MadeAtRate, room, telephone
from denoise_lib.damage.street import STREET_SNR_DB, StreetMix
from denoise_lib.data.corpora import Clip, Corpus, open_noise, open_read_speech, open_speech
from denoise_lib.data.crops import Damage
from denoise_lib.errors import UserError


class UnknownConditionError(UserError):
    """No condition has the name that was given."""


@dataclass(frozen=True)
class Noise:
    """What a condition is made of: where recordings come from, rate and frame.

    Args:
        source: "default", "wide" or a folder, see :func:`~denoise_lib.data.corpora.open_noise`.
        split: Whose recordings, so that no test clip is mixed with noise heard in training.
        snr_db: Speech to noise, dB; "outside" has a range of its own.
        speech: Corpus whose voices, of the same split, are made into babble.
        rate: Samples per second of the speech that is damaged.
        n_fft, hop: Frame of the fixed damage in samples; 40 ms every 10 ms where they are 0.
    """

    source: str = "default"
    split: str = "test"
    snr_db: float = STREET_SNR_DB
    speech: str = "default"
    rate: int = RATE
    n_fft: int = 0
    hop: int = 0

    def corruption(self, condition: str) -> Corruption:
        """The fixed damage at this rate, in this frame: "both", "zero" or "raise".

        Raises:
            UserError: There is no such frame.
        """
        try:
            return Corruption.for_condition(condition, **frame_at(self.rate, self.n_fft, self.hop))
        except ValueError as error:
            raise UserError(error) from None

    def mix(self, kind: type) -> Damage:
        """A mix such as ``StreetMix``, of these recordings.

        Raises:
            UserError: The split has no recording.
        """
        recordings, own = self._recordings()
        return kind((recordings.waveform(each) for each in own), self.snr_db)

    def outside(self, **sounds: int) -> OutsideNoise:
        """Noise of many kinds; beside training at -5 to 20 dB, and no clip without any.

        Args:
            sounds: How many are made, see :func:`~denoise_lib.damage.outside.outside_noise`.

        Raises:
            UserError: The split has no recording.
        """
        recordings, own = self._recordings()
        speech = open_speech(self.speech)
        scored = {"snr_db": (-5.0, 20.0), "clean": 0.0, "almost_clean": 0.0}
        settings = {} if self.split == "train" else scored
        voices = speech.split(self.split)
        return outside_noise(recordings, own, speech, voices, **sounds, **settings)

    def _recordings(self) -> tuple[Corpus, list[Clip]]:
        recordings = open_noise(self.source, self.rate)
        own = recordings.split("test" if self.split == "unseen_voice" else self.split)
        if not own:
            raise UserError(f"{self.source}: no noise recording for the split {self.split!r}")
        return recordings, own


@dataclass(frozen=True)
class Condition:
    """A damage, and of which speech where that is not the corpus's as it is.

    Args:
        make: Makes the damage.
        change: Of each clean waveform, (time,) -> (time,), before it is brought to its level.
        speech: Opens the corpus whose test clips are scored, in place of the default one.
    """

    make: Callable[[Noise], Damage]
    change: Callable[[Tensor], Tensor] | None = None
    speech: Callable[[], Corpus] | None = None


def _is(damage: Damage, **options: Callable) -> Condition:
    return Condition(lambda noise: damage, **options)


# The same keys as in names.CONDITIONS.
CONDITIONS = {
    **{
        each: Condition(partial(Noise.corruption, condition=each))
        for each in ("both", "zero", "raise")
    },
    "street": Condition(lambda noise: noise.mix(StreetMix)),
    "varied": _is(VariedCorruption()),
    "varied_street": Condition(lambda noise: noise.mix(VariedStreet)),
    "outside": Condition(lambda noise: noise.outside()),
    "home": _is(Corruption()),
    "frames of 30 ms": _is(Corruption(n_fft=480, hop=120)),
    "frames of 60 ms, Hann": _is(Corruption(n_fft=960, hop=240, window="hann")),
    # The original study's frame: 2048/512 at 48 kHz.
    "made at 48 kHz": _is(MadeAtRate(Corruption(n_fft=2048, hop=512), 48_000)),
    # The damage is absolute and linear but for its level: a raise of 2 is speech 6 dB softer.
    "speech 6 dB softer": _is(Corruption(value=2.0)),
    "speech 6 dB louder": _is(Corruption(value=0.5)),
    "telephone band": _is(Corruption(), change=telephone),
    "in a room": _is(Corruption(), change=room),
    "read, another studio": _is(Corruption(), speech=open_read_speech),
}
# Those that are a damage and nothing else.
TRAINED = tuple(
    name for name, each in CONDITIONS.items() if each.change is None and each.speech is None
)
ANY_RATE = (*FIXED, "street")  # the others are made for 16 kHz
OUT_OF_DOMAIN = {name: each for name, each in CONDITIONS.items() if names.CONDITIONS[name].away}


def damage_for(condition: str, noise: Noise) -> Damage:
    """The damage of a condition that a network may be trained on.

    Args:
        condition: One of ``TRAINED``, or several with commas between: one of them for each clip.
        noise: Recordings, for conditions that need some.

    Raises:
        UnknownConditionError: There is no such condition.
        UserError: There is no noise recording, or the condition is made for another rate.
    """
    if condition in TRAINED and noise.rate != RATE and condition not in ANY_RATE:
        raise UserError(
            f"the condition {condition!r} is made for {RATE} Hz; at {noise.rate} there are "
            f"{', '.join(ANY_RATE)}"
        )
    if condition in TRAINED:
        return CONDITIONS[condition].make(noise)
    if "," in condition:
        return OneOf([damage_for(each.strip(), noise) for each in condition.split(",")])
    at_home = ", ".join(each for each in TRAINED if each not in OUT_OF_DOMAIN)
    raise UnknownConditionError(f"no condition {condition!r}: use {at_home}")


def no_damage(waveform: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """The identity check's damage: none."""
    return waveform
