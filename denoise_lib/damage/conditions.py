"""Every condition by its name: which damage it is, of which speech."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from denoise_lib.damage.augment import OneOf, VariedCorruption, VariedStreet
from denoise_lib.damage.corruption import CONDITIONS as FIXED
from denoise_lib.damage.corruption import Corruption
from denoise_lib.damage.shifted import MadeAtRate, room, telephone
from denoise_lib.damage.street import StreetMix
from denoise_lib.data.corpora import Corpus, open_noise, open_read_speech
from denoise_lib.data.crops import Damage
from denoise_lib.errors import UserError

STREET, VARIED, VARIED_STREET = "street", "varied", "varied_street"


class UnknownCondition(UserError):
    """No condition of a training has this name."""


def damage_for(condition: str, split: str, noise: str, snr_db: float) -> Damage:
    """The damage of a condition; street noise takes its recordings from the split.

    Args:
        condition: "zero", "raise", "both", "street", "varied" (the procedure with drawn
            parameters), "varied_street" (streets made from the recordings), or several of these
            with commas between: one of them for each clip.

    Raises:
        UserError: Unknown condition, or no noise recordings.
    """
    if "," in condition:
        each_alone = [each.strip() for each in condition.split(",")]
        return OneOf([damage_for(each, split, noise, snr_db) for each in each_alone])
    if condition in FIXED:
        return Corruption.for_condition(condition)
    if condition == VARIED:
        return VariedCorruption()
    if condition not in (STREET, VARIED_STREET):
        known = ", ".join((*FIXED, STREET, VARIED, VARIED_STREET))
        raise UnknownCondition(f"no condition {condition!r}: use {known}")
    recordings = open_noise(noise)
    own = recordings.split("test" if split == "unseen_voice" else split)
    if not own:
        raise UserError(f"{noise}: no noise recording for the split {split!r}")
    mix = StreetMix if condition == STREET else VariedStreet
    return mix([recordings.waveform(each) for each in own], snr_db)


def no_damage(waveform: Tensor, generator=None) -> Tensor:
    """The identity check's damage: none."""
    return waveform


@dataclass(frozen=True)
class Condition:
    """A way to differ from the home condition, which is the fixed damage on the default corpus.

    Args:
        damage: In place of the fixed procedure.
        change: Of each clean waveform, (time,) -> (time,), before it is brought to its level.
        speech: Opens the corpus whose test clips are scored, in place of the default one.
    """

    damage: Damage = Corruption()
    change: Callable[[Tensor], Tensor] | None = None
    speech: Callable[[], Corpus] | None = None


CONDITIONS = {
    "home": Condition(),
    "frames of 30 ms": Condition(Corruption(n_fft=480, hop=120)),
    "frames of 60 ms, Hann": Condition(Corruption(n_fft=960, hop=240, window="hann")),
    # The original study's frame: 2048/512 at 48 kHz.
    "made at 48 kHz": Condition(MadeAtRate(Corruption(n_fft=2048, hop=512), 48_000)),
    # The damage is absolute and linear but for its level: a raise of 2 is speech 6 dB softer.
    "speech 6 dB softer": Condition(Corruption(value=2.0)),
    "speech 6 dB louder": Condition(Corruption(value=0.5)),
    "telephone band": Condition(change=telephone),
    "in a room": Condition(change=room),
    "read, another studio": Condition(speech=open_read_speech),
}
