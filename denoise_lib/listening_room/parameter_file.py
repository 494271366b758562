"""From the listening room back to the report: a parameter file for a notebook.

Notebooks draw their example clips by seed. If some seed draws the clip chosen in the room, the file
sets this seed, and the notebook plays exactly the same samples as the room.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from denoise_lib.damage.corruption import FIXED
from denoise_lib.data.crops import drawn
from denoise_lib.errors import UserError
from denoise_lib.files import atomic
from denoise_lib.listening_room.scene import DRAWN, STREET, Scene, Setting
from denoise_lib.paths import NOTEBOOKS, ROOT
from denoise_lib.report.parameters import cell_parameters, declared, names, read_notebook

MOST_SEEDS = 2000  # seeds tried before a clip counts as one that no seed gives


@dataclass(frozen=True)
class ParameterFile:
    """A notebook, the values to run it with, and what it will not reproduce, in sentences."""

    notebook: str
    values: dict[str, Any]
    remarks: tuple[str, ...]


@cache
def _players(folder: Path) -> dict[str, tuple[str, int]]:
    """Which notebook plays a damage, and on how many clips drawn by its seed, as they declare."""
    found = {}
    for name in names(folder):
        notebook = read_notebook(folder, name)
        clips = declared(notebook, "played_clips", 1)
        found |= dict.fromkeys(declared(notebook, "plays", []), (name, clips))
    return found


def notebook_of(damage: str, folder: Path = NOTEBOOKS) -> str | None:
    """The notebook that plays this damage; None where none does."""
    return _players(folder).get(damage, (None, 0))[0]


def plays(scene: Scene, setting: Setting) -> bool:
    """Whether the notebook of this damage, run with this seed, plays this sound."""
    return setting.sound in _played(scene, setting.damage, setting.seed)


def seeds(scene: Scene, sound: str, damage: str, after: int = -1) -> Iterator[int]:
    """Seeds, from the one behind ``after`` on, with which the notebook plays this clip.

    Every seed where none will do: no damage, a recording of one's own, another split or length.
    """
    clip = scene.clip(sound)
    if notebook_of(damage) and clip and clip.split == "test":
        fitting = drawn(scene.speech, "test", len(scene.speech.clips), seed=0)
        if clip in fitting:
            tried = range(after + 1, after + 1 + MOST_SEEDS)
            return (seed for seed in tried if sound in _played(scene, damage, seed))
    return count(after + 1)


def first_clip(scene: Scene) -> str:
    """Name of the clip that the notebooks play with their own seed."""
    return _played(scene, Setting.damage, Setting.seed)[0]


def own_seed(scene: Scene, setting: Setting) -> int:
    """The setting's seed if the notebook plays this sound with it, else the first that does."""
    if plays(scene, setting):
        return setting.seed
    return next(seeds(scene, setting.sound, setting.damage), setting.seed)


def next_seed(scene: Scene, setting: Setting) -> int:
    """The next of ``seeds`` behind the setting's."""
    return next(seeds(scene, setting.sound, setting.damage, setting.seed), setting.seed + 1)


def made_for(scene: Scene, setting: Setting, folder: Path = NOTEBOOKS) -> ParameterFile:
    """The notebook and the parameters that give what a setting plays.

    A notebook takes those of the setting's values that are among its parameters. The frame is the
    fixed damage's: where a street is played it is left as the notebook has it.

    Raises:
        UserError: Nothing is damaged, or the damage's parameters do not go together.
    """
    notebook = notebook_of(setting.damage, folder)
    if notebook is None:
        raise UserError("nothing is damaged: choose a damage, then save its parameters")
    if setting.damage in FIXED:
        setting.corruption  # noqa: B018 - raises where the notebook would
    known = cell_parameters(read_notebook(folder, notebook), notebook)
    left = () if setting.damage in FIXED else ("n_fft", "hop")
    own = [each.name for each in fields(setting) if each.name in known and each.name not in left]
    values = {name: getattr(setting, name) for name in own}
    return ParameterFile(notebook, values, tuple(_remarks(scene, setting)))


def _remarks(scene: Scene, setting: Setting) -> Iterator[str]:
    if plays(scene, setting):
        yield f"It plays {setting.sound} with this very damage."
    else:
        heard = " and ".join(_played(scene, setting.damage, setting.seed))
        yield f"It plays {heard}, which it draws by the seed, not {setting.sound}."
    if setting.damage == STREET:
        if setting.recording != DRAWN:
            yield f"It draws street recordings by the seed, not {setting.recording} alone."
        yield "It trains its network again, which takes minutes."
    elif setting.models:
        yield "It plays the damage alone; networks are in the notebooks after it."


def write(file: ParameterFile, name: str, root: Path = ROOT) -> str:
    """Write report/<name>, a papermill parameter file.

    Returns:
        The command that runs the notebook with it.

    Raises:
        UserError: A name that the command line could not take.
    """
    if not re.fullmatch(r"[\w][\w.-]*\.ya?ml", name, re.ASCII):
        raise UserError(f"{name!r}: use letters, digits, - and _, and end in .yaml")
    path = root / "report" / name
    command = f'make notebook NB={file.notebook} P="-f {path.relative_to(root).as_posix()}"'
    lines = [f"# {line}" for line in ("Saved in the listening room.", command, *file.remarks)]
    with atomic(path) as temporary:
        text = "\n".join(lines) + "\n" + yaml.safe_dump(file.values, sort_keys=False)
        temporary.write_text(text, encoding="utf-8")
    return command


def _played(scene: Scene, damage: str, seed: int) -> list[str]:
    """Names of the clips on which the notebook of a damage plays it, with this seed."""
    _, clips = _players(NOTEBOOKS).get(damage, (None, 0))
    return [clip.name for clip in drawn(scene.speech, "test", clips, seed)]
