"""From the listening room back to the report: a parameter file for a notebook.

The notebooks choose their example clips by the seed. Where the room's clip is the one that its seed
gives, the notebook plays what the room plays, to the sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path

import yaml

from denoise_lib.damage.corruption import FIXED as CHANGES
from denoise_lib.data.crops import drawn
from denoise_lib.errors import UserError
from denoise_lib.files import atomic
from denoise_lib.listening_room.scene import DRAWN, NONE, STREET, Scene, Setting
from denoise_lib.paths import ROOT
from denoise_lib.report.parameters import cell_parameters, read_notebook

FIXED, STREETS = "01_noise_design", "05_street_noise"
PLAYED = {FIXED: 1, STREETS: 2}  # notebook -> how many clips drawn by the seed it plays damaged
MOST_SEEDS = 2000  # seeds tried before a clip counts as one that no seed gives


@dataclass(frozen=True)
class Recipe:
    """A notebook, the values to run it with, and what it will not reproduce, in sentences."""

    notebook: str
    values: dict
    remarks: tuple[str, ...]


def notebook_of(damage: str) -> str | None:
    """The notebook that plays this damage; None for no damage."""
    return {NONE: None, STREET: STREETS}.get(damage, FIXED)


def plays(scene: Scene, setting: Setting) -> bool:
    """Whether the notebook of this damage, run with this seed, plays this sound."""
    notebook = notebook_of(setting.damage)
    return notebook is not None and setting.sound in _played(scene, notebook, setting.seed)


def seeds(scene: Scene, sound: str, damage: str, after: int = -1) -> Iterator[int]:
    """Seeds, from the one behind ``after`` on, with which the notebook plays this clip.

    Every seed where none will do: no damage, a recording of one's own, another split or length.
    """
    notebook = notebook_of(damage)
    clip = scene.clip(sound)
    if notebook and clip and clip.split == "test":
        fitting = drawn(scene.speech, "test", len(scene.speech.clips), seed=0)
        if clip in fitting:
            tried = range(after + 1, after + 1 + MOST_SEEDS)
            return (seed for seed in tried if sound in _played(scene, notebook, seed))
    return count(after + 1)


def first_clip(scene: Scene) -> str:
    """Name of the clip that the notebooks play with their own seed."""
    return _played(scene, FIXED, Setting.seed)[0]


def own_seed(scene: Scene, setting: Setting) -> int:
    """The setting's seed if the notebook plays this sound with it, else the first that does."""
    if plays(scene, setting):
        return setting.seed
    return next(seeds(scene, setting.sound, setting.damage), setting.seed)


def next_seed(scene: Scene, setting: Setting) -> int:
    """The next of ``seeds`` behind the setting's."""
    return next(seeds(scene, setting.sound, setting.damage, setting.seed), setting.seed + 1)


def recipe(scene: Scene, setting: Setting, folder: Path = ROOT / "notebooks") -> Recipe:
    """The notebook and the parameters that give what a setting plays.

    A notebook takes those of the setting's values that are among its parameters.

    Raises:
        UserError: Nothing is damaged, or the damage's parameters do not go together.
    """
    notebook = notebook_of(setting.damage)
    if notebook is None:
        raise UserError("nothing is damaged: choose a damage, then save its parameters")
    if setting.damage in CHANGES:
        setting.corruption  # noqa: B018 - raises where the notebook would
    known = cell_parameters(read_notebook(folder, notebook), notebook)
    values = {
        field.name: getattr(setting, field.name)
        for field in fields(setting)
        if field.name in known
    }
    return Recipe(notebook, values, tuple(_remarks(scene, setting, notebook)))


def _remarks(scene: Scene, setting: Setting, notebook: str) -> Iterator[str]:
    if plays(scene, setting):
        yield f"It plays {setting.sound} with this very damage."
    else:
        heard = " and ".join(_played(scene, notebook, setting.seed))
        yield f"It plays {heard}, which it draws by the seed, not {setting.sound}."
    if notebook == STREETS:
        if setting.recording != DRAWN:
            yield f"It draws street recordings by the seed, not {setting.recording} alone."
        yield "It trains its network again, which takes minutes."
    elif setting.models:
        yield "It plays the damage alone; networks are in the notebooks after it."


def write(recipe: Recipe, name: str, root: Path = ROOT) -> str:
    """Write report/<name>, a papermill parameter file.

    Returns:
        The command that runs the notebook with it.

    Raises:
        UserError: A name that the command line could not take.
    """
    if not re.fullmatch(r"[\w][\w.-]*\.ya?ml", name, re.ASCII):
        raise UserError(f"{name!r}: use letters, digits, - and _, and end in .yaml")
    path = root / "report" / name
    command = f'make notebook NB={recipe.notebook} P="-f {path.relative_to(root).as_posix()}"'
    lines = [f"# {line}" for line in ("Saved in the listening room.", command, *recipe.remarks)]
    with atomic(path) as temporary:
        text = "\n".join(lines) + "\n" + yaml.safe_dump(recipe.values, sort_keys=False)
        temporary.write_text(text, encoding="utf-8")
    return command


def _played(scene: Scene, notebook: str, seed: int) -> list[str]:
    return [clip.name for clip in drawn(scene.speech, "test", PLAYED[notebook], seed)]
