"""The example clips in audio/, under the original study's names, taken from finished runs."""

import shutil
from pathlib import Path

from denoise_lib.data import default_corpora
from denoise_lib.errors import UserError
from denoise_lib.files import atomic, read_json
from denoise_lib.names import number

# name in audio/ -> (notebook, example, version, what it is)
SOUNDS = {
    "clean": ("01_noise_design", "levels", "clean", "clean speech"),
    "ex_01_80": ("01_noise_design", "levels", "ex_01_80", "zeroing and raising"),
    "ex_0_50": ("01_noise_design", "levels", "ex_0_50", "zeroing alone, strong"),
    "ex_1_95": ("01_noise_design", "levels", "ex_1_95", "raising alone, weak"),
    "out_01": ("04_dcunet", "both1", "dcunet", "ex_01_80 after the DCUnet"),
    "ex_street": ("05_street_noise", "street1", "noisy", "street noise"),
    "out_street": (
        "05_street_noise", "street1", "dcunet, as it is",
        "ex_street after a DCUnet that was trained on zeroing and raising",
    ),
    "ex_street2": ("05_street_noise", "street2", "noisy", "street noise, another recording"),
    "out_street2": (
        "05_street_noise", "street2", "dcunet, retrained",
        "ex_street2 after the DCUnet retrained on street noise",
    ),
}  # fmt: skip


def copy(build: Path, folder: Path) -> None:
    """Copy the example sounds of one profile's runs into a folder, with their credits.

    Args:
        build: report/build/<profile>.
        folder: where <name>.flac and README.md are written.

    Raises:
        UserError: a run or one of its sounds is missing.
    """
    lines, sources = [], {}
    for name, (notebook, key, version, what) in SOUNDS.items():
        example = read_json(build / notebook / "examples" / f"{key}.json")
        found = [each for each in example["versions"] if each["name"] == version]
        if not found:
            raise UserError(f"{notebook}, example {key!r} has no version {version!r}")
        sources[name] = build / notebook / "examples" / found[0]["file"]
        wsdr = number(found[0]["scores"].get("wsdr"))
        lines.append(f"| `{name}.flac` | {what} | {wsdr} | `{example['clip']}` |")
    for name, source in sources.items():
        with atomic(folder / f"{name}.flac") as temporary:
            shutil.copyfile(source, temporary)
    with atomic(folder / "README.md") as temporary:
        temporary.write_text(_credits(lines), encoding="utf-8")


def _credits(lines: list[str]) -> str:
    speech = "\n".join(f"- `{each.prefix}...`: {each.credit}" for each in default_corpora.SPEECH)
    street = "\n".join(f"- {each.credit}" for each in default_corpora.STREET)
    return f"""# Example clips

Written by `make publish` from the runs of the quick profile; 16 kHz, 16 bit, one gain for all.

| sound | what it is | wSDR | clip |
|---|---|--:|---|
{chr(10).join(lines)}

The speech comes from the core sound prompts of Asterisk (Debian packages
`asterisk-core-sounds-*-g722`), here changed as the table says:

{speech}

The street recordings come from the city game LinCity-NG (Debian package `lincity-ng-data`):

{street}

Sounds made from these recordings are under the same licences as the recordings.
"""
