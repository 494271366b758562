"""What the page needs to denoise a listener's own voice: scripts, the network, noise of streets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from denoise_lib.files import read_json
from denoise_lib.paths import TEMPLATE
from denoise_lib.report.matrix import Matrix
from denoise_lib.report.page_network import page_network

# They run in a worker, one behind the other.
WORKER = ("spectra", "kernel", "causal", "fixed_damage", "level", "voice_worker")


def voice(runs: Path, notebooks: list[str], heard: Matrix | None) -> dict[str, Any]:
    """What the template of that part takes.

    Args:
        runs: Folder of one profile's runs.
        notebooks: Whose examples to take street noise from, where there is no matrix.

    Returns:
        {"worker": JavaScript, "network": JSON, "street": [(key of a noisy clip, of its clean one)]}
    """
    return {
        "worker": "\n".join(
            (TEMPLATE / f"{each}.js").read_text(encoding="utf-8") for each in WORKER
        ),
        "network": json.dumps(page_network()),
        "street": heard.street() if heard else _streets(runs, notebooks),
    }


def measures() -> str:
    """The page's own measures as a script: ``denoiseMeasures`` of the window."""
    text = (TEMPLATE / "measures.js").read_text(encoding="utf-8")
    return (
        f"window.denoiseMeasures = (() => {{\n{text}\nreturn {{ wsdr, siSdr, loudness }};\n}})();\n"
    )


def _streets(runs: Path, notebooks: list[str]) -> list[tuple[str, str]]:
    """Keys of the noisy and the clean clip of each example on a street."""
    found = []
    for name in notebooks:
        for path in sorted((runs / name / "examples").glob("*.json")):
            example = read_json(path)
            keys = {each["name"]: each["key"] for each in example["versions"]}
            if example["condition"] == "street" and {"clean", "noisy"} <= set(keys):
                found.append((keys["noisy"], keys["clean"]))
    return list(dict.fromkeys(found))
