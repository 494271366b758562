"""The player at the head of the page: one clip, all versions that the notebooks made of it."""

from __future__ import annotations

from pathlib import Path

from denoise_lib import names
from denoise_lib.display.player import Player, Sound
from denoise_lib.files import read_json

SAME = ("clean", "noisy")  # versions that two notebooks must have alike


def listen_first(runs: Path, notebooks: list[str]) -> Player | None:
    """The player at the head of the page: one clip with the outputs of several runs.

    Takes the clip that most versions of exist. Runs that kept the same clip with other damage or
    another gain are left out, for their outputs would not compare. The sounds are those that the
    sections play, to the byte.

    Args:
        runs: Folder of one profile's runs.
        notebooks: Whose examples to take, in order.

    Returns:
        None when no run kept an example.
    """
    groups: dict[tuple[str, str], dict[str, tuple[dict, Path]]] = {}
    examples: dict[tuple[str, str], dict] = {}
    for name in notebooks:
        for path in sorted((runs / name / "examples").glob("*.json")):
            example = read_json(path)
            key = example["clip"], example["condition"]
            found = {each["name"]: (each, path.parent) for each in example["versions"]}
            known = groups.get(key, found)
            if set(SAME) <= set(found) and all(
                _key(known, each) == _key(found, each) for each in SAME
            ):
                examples.setdefault(key, example)
                # The first run that has a version gives both its sound and its scores.
                groups[key] = known | {each: found[each] for each in found if each not in known}
    order = {condition: place for place, condition in enumerate(names.CONDITIONS)}
    ranked = sorted(examples, key=lambda key: (-len(groups[key]), order.get(key[1], len(order))))
    if not ranked:
        return None
    clip, condition = ranked[0]
    example, versions = examples[ranked[0]], groups[ranked[0]]
    return Player(
        title=f"{clip}, {names.condition(condition)}",
        versions={name: _sound(*version) for name, version in versions.items()},
        rate=example["rate"],
        seconds=example["seconds"],
        gain_db=example["gain_db"],
        listen_for=names.CONDITIONS.get(condition, names.Condition(condition)).listen_for,
        scores={name: entry["scores"] for name, (entry, _) in versions.items()},
        cut=example["cut"],
    )


def _key(versions: dict[str, tuple[dict, Path]], name: str) -> str:
    """What tells the sound of a version."""
    return versions[name][0]["key"]


def _sound(entry: dict, folder: Path) -> Sound:
    """A version as its example keeps it."""
    sound, picture = ((folder / entry[each]).read_bytes() for each in ("sound", "picture"))
    return Sound(entry["key"], sound, picture)
