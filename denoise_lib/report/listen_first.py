"""The player at the head of the page: one clip, all versions that the notebooks made of it."""

import soundfile

from denoise_lib import names
from denoise_lib.display import player
from denoise_lib.files import read_json


def listen_first(runs, notebooks):
    """The player at the head of the page: one clip with the outputs of several runs.

    Takes the clip that most versions of exist; runs that kept the same clip with other damage are
    left out, for their outputs would not compare.

    Returns:
        A player.Player, or None when no run kept an example.
    """
    groups = {}
    for path in (
        path for name in notebooks for path in sorted((runs / name / "examples").glob("*.json"))
    ):
        example = read_json(path)
        versions = _waveforms(example, path.parent)
        merged = groups.setdefault((example["clip"], example["condition"]), (example, {}, {}))
        same = all(
            _equal(merged[1][name], versions[name])
            for name in ("clean", "noisy")
            if name in merged[1]
        )
        if same and {"clean", "noisy"} <= set(versions):
            for entry in example["versions"]:
                # The first run that has a version gives both its sound and its scores.
                if (name := entry["name"]) not in merged[1]:
                    merged[1][name], merged[2][name] = versions[name], entry["scores"]
    order = list(names.CONDITIONS)
    ranked = sorted(
        groups.values(), key=lambda group: (-len(group[1]), order.index(group[0]["condition"]))
    )
    if not ranked or not ranked[0][1]:
        return None
    example, versions, scores = ranked[0]
    condition = example["condition"]
    return player.compare(
        versions,
        example["rate"],
        title=f"{example['clip']}, {names.condition(condition)}",
        listen_for=names.CONDITIONS[condition].listen_for,
        scores=scores,
        seconds=player.LONGEST_HEARD,  # as in the sections, so that the sounds are the same
    )


def _waveforms(example, folder):
    """The versions of an example as they were before its gain."""
    gain = 10 ** (example["gain_db"] / 20)
    files = {entry["name"]: folder / entry["file"] for entry in example["versions"]}
    return {name: soundfile.read(file, dtype="float32")[0] / gain for name, file in files.items()}


def _equal(one, other):
    return (
        len(one) == len(other) and abs(one - other).max() < 1e-3
    )  # two roundings to 16 bits, and a gain
