"""What the listening room plays: one sound, its damage, and what networks make of it.

No widgets here. A :class:`Setting` says all that decides what is heard; a :class:`Scene` computes
it, and computes again only what another setting changes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from denoise_lib import RATE, audio
from denoise_lib.damage.corruption import FIXED, Corruption
from denoise_lib.damage.street import STREET_SNR_DB, StreetMix
from denoise_lib.data.corpora import Clip, Corpus, open_noise, open_speech
from denoise_lib.data.crops import clip_generator
from denoise_lib.errors import UserError
from denoise_lib.metrics.measures import score
from denoise_lib.models.base import Denoiser
from denoise_lib.models.checkpoints import load_pretrained, pretrained_names, read_record
from denoise_lib.models.inference import process
from denoise_lib.paths import ROOT
from denoise_lib.recordings.read import Survey, blocks, survey

LONGEST = 8.0  # s of a sound's beginning that are used, as in the notebooks
SHORTEST = 0.1  # s; less is no sound to listen to
NONE, STREET = "none", "street"
DAMAGES = (NONE, *FIXED, STREET)
DRAWN = "drawn by the seed"  # one of the test recordings, as 05_street_noise does it


@dataclass(frozen=True)
class Setting:
    """Everything that decides what is heard.

    Args:
        sound: Name of a clip of the corpus, or of a recording that was added to the scene.
        damage: "none", "zero", "raise", "both" or "street".
        quantile, zero, raised, value, n_fft, hop, window: See ``Corruption``.
        recording: Name of a street recording, or ``DRAWN``.
        snr_db: Ratio of the mean powers of speech and street, dB.
        seed: Together with the sound's name it fixes what is drawn.
        models: Names out of ``Scene.models``.
    """

    sound: str
    damage: str = "both"
    quantile: float = Corruption.quantile
    zero: float = Corruption.zero
    raised: float = Corruption.raised
    value: float = Corruption.value
    n_fft: int = Corruption.n_fft
    hop: int = Corruption.hop
    window: str = Corruption.window
    recording: str = DRAWN
    snr_db: float = STREET_SNR_DB
    seed: int = 0
    models: tuple[str, ...] = ()

    @property
    def corruption(self) -> Corruption:
        """The fixed procedure with these parameters.

        Raises:
            UserError: Parameters that do not go together.
        """
        if self.hop > self.n_fft:
            raise UserError(
                f"a hop of {self.hop} samples is longer than the frame of {self.n_fft}: "
                "shorten the hop or lengthen the frame"
            )
        names = ("quantile", "zero", "raised", "value", "n_fft", "hop", "window")
        try:
            return Corruption.for_condition(
                self.damage, **{name: getattr(self, name) for name in names}
            )
        except ValueError as error:
            raise UserError(str(error).removeprefix("Corruption: ")) from None

    @property
    def damaged_by(self) -> tuple:
        """What the damage depends on besides the sound: equal for equal damages."""
        if self.damage == NONE:
            return (NONE,)
        if self.damage == STREET:
            return STREET, self.recording, self.snr_db, self.seed
        return self.corruption, self.seed


class Scene:
    """Sounds, damages and networks to choose from, and what a setting sounds like.

    Args:
        speech: Corpus of clips; the default one when None.
        noise: Corpus of street recordings; the default one when None.
        build: Folder with runs, <profile>/<notebook>/*.safetensors; the clone's when None.

    Attributes:
        models: {name: what ``load_pretrained`` takes}, shipped networks and those of finished runs.
    """

    def __init__(
        self, speech: Corpus | None = None, noise: Corpus | None = None, build: Path | None = None
    ) -> None:
        self.speech = speech or open_speech()
        self.noise = noise or open_noise()
        self.models = {name: name for name in pretrained_names()}
        self.models |= _checkpoints(build or ROOT / "report" / "build")
        self._clips = {clip.name: clip for clip in self.speech.clips}
        self._added: dict[str, Tensor] = {}
        self._takes: dict[str, int] = {}  # tells recordings of one name apart
        self._kept: dict = {}

    def clips(self, split: str, voice: str | None = None) -> list[Clip]:
        """Clips of a split, and of one voice in it."""
        return [each for each in self.speech.split(split) if voice in (None, each.voice)]

    def clip(self, name: str) -> Clip | None:
        """The clip of that name; None for a recording that was added."""
        return self._clips.get(name)

    def add(self, name: str, content: bytes) -> str:
        """Take in a recording of one's own.

        Args:
            name: A file name; its suffix helps where the content has no header.
            content: The file, in any format that ``audio.read`` knows.

        Returns:
            What was done to it, in a sentence.

        Raises:
            UserError: It cannot be read, or is too short.
        """
        name = Path(name.replace("\0", "")).name or "recording"
        if not content:
            raise UserError(f"{name} is empty: choose another file")
        found = survey(io.BytesIO(content), name)
        seconds = found.seconds
        if seconds < SHORTEST:
            raise UserError(
                f"{name} lasts {seconds:.3f} s, too short to listen to: choose a longer one"
            )
        beginning = _beginning(found)
        self._added[name] = audio.resample(beginning, found.rate, RATE)
        self._takes[name] = self._takes.get(name, 0) + 1
        notes = [f"{name}: {min(seconds, LONGEST):.1f} s"]
        if seconds > LONGEST:
            notes = [f"{name}: the first {LONGEST:g} of {seconds:.1f} s"]
        notes += found.notes
        if found.channels > 1:
            notes.append(f"{found.channels} channels mixed down to one")
        if found.rate != RATE:
            notes.append(f"resampled from {found.rate} to {RATE} Hz")
        return ", ".join([*notes, "brought to \N{MINUS SIGN}26 dB re full scale"])

    def clean(self, setting: Setting) -> Tensor:
        """The sound at the nominal level, (time,)."""

        def make() -> Tensor:
            if setting.sound in self._added:
                return audio.to_level(self._added[setting.sound])
            waveform = self.speech.waveform(self._clips[setting.sound])
            return audio.to_level(waveform[: round(LONGEST * self.speech.rate)])

        return self._keep("clean", self._sound(setting), make)

    def noisy(self, setting: Setting) -> Tensor:
        """The damaged sound, (time,).

        Raises:
            UserError: Parameters that do not go together.
        """

        def make() -> Tensor:
            clean, generator = self.clean(setting), clip_generator(setting.sound, setting.seed)
            if setting.damage == NONE:
                return clean
            if setting.damage == STREET:
                return self._street(setting)(clean, generator)
            return setting.corruption(clean, generator)

        return self._keep("noisy", self._damaged(setting), make)

    def street_recording(self, setting: Setting) -> str:
        """Name of the recording that a street setting mixes in."""
        drawn = self._street(setting).draw(1, clip_generator(setting.sound, setting.seed))
        return self._recordings(setting)[int(drawn.recording)].name

    def output(self, setting: Setting, model: str) -> Tensor:
        """What a network makes of the damaged sound, (time,).

        Raises:
            UserError: The checkpoint is gone or does not fit this version of the library.
        """
        return self._keep(
            ("output", model),
            (self._damaged(setting), self._version(model)),
            lambda: process(self._network(model), self.noisy(setting), rate=self.speech.rate),
        )

    def known(self, setting: Setting, model: str) -> bool:
        """Whether ``output`` would have nothing to compute."""
        key = self._damaged(setting), self._version(model)
        return self._kept.get(("output", model), (None,))[0] == key

    def versions(
        self, setting: Setting, models: tuple[str, ...] | None = None
    ) -> dict[str, Tensor]:
        """All that is heard, by name, in the order of the buttons.

        Args:
            models: Only the outputs of these; all of the setting's when None.
        """
        clean = self.clean(setting)
        found = {"clean": clean, "noisy": self.noisy(setting)}
        if setting.damage == NONE:
            found = {"as it is": clean}
        for model in setting.models if models is None else models:
            found[model] = self.output(setting, model)
        return found

    def scores(
        self, setting: Setting, name: str, metrics: tuple[str, ...] = ("wsdr", "si_sdr")
    ) -> dict[str, float | None]:
        """Scores of one version; None where a measure is not defined for it."""

        def make() -> dict[str, float | None]:
            waveform = self.versions(setting, (name,) if name in self.models else ())[name]
            return score(waveform, self.clean(setting), self.noisy(setting), metrics)[0]

        version = self._version(name) if name in self.models else name
        return self._keep(("scores", name, metrics), (self._damaged(setting), version), make)

    def _keep(self, slot: Hashable, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value of a slot, made again when its key is another.

        One value a slot: a slider that has been moved seldom comes back to where it was.
        """
        kept = self._kept.get(slot)
        if kept is None or kept[0] != key:
            kept = self._kept[slot] = key, make()
        return kept[1]

    def _sound(self, setting: Setting) -> tuple:
        return setting.sound, self._takes.get(setting.sound)

    def _damaged(self, setting: Setting) -> tuple:
        return *self._sound(setting), *setting.damaged_by

    def _recordings(self, setting: Setting) -> list[Clip]:
        if setting.recording == DRAWN:
            return self.noise.split("test")
        return [each for each in self.noise.clips if each.name == setting.recording]

    def _street(self, setting: Setting) -> StreetMix:
        recordings = [self.noise.waveform(each) for each in self._recordings(setting)]
        return StreetMix(recordings, setting.snr_db)

    def _version(self, model: str) -> tuple:
        """Tells a checkpoint from the one that a later run puts in its place."""
        path = Path(self.models[model])
        return model, path.stat().st_mtime_ns if path.exists() else None

    def _network(self, model: str) -> Denoiser:
        def make() -> Denoiser:
            return load_pretrained(str(self.models[model]))

        return self._keep(("network", model), self._version(model), make)


def _beginning(found: Survey) -> Tensor:
    """The first seconds of a recording, mixed down, (time,) at its own rate."""
    wanted, parts = round(LONGEST * found.rate), []
    for block in blocks(found):
        parts.append(block)
        if sum(map(len, parts)) >= wanted:
            break
    samples = np.concatenate(parts)[:wanted]  # (time, channels)
    mono = samples[:, 0] if found.channels == 1 else samples @ found.meter.weights()
    return torch.from_numpy(np.ascontiguousarray(mono))


def _checkpoints(build: Path) -> dict[str, str]:
    """Networks of finished runs, {"quick both dcunet": path}."""
    found = {}
    for path in sorted(build.glob("*/*/*.safetensors")):
        profile, notebook = path.parts[-3:-1]
        if "." in notebook:
            continue  # a run that is going on
        try:
            found[f"{profile} {path.stem} {read_record(path)['model']}"] = str(path)
        except (UserError, KeyError):
            continue
    return found
