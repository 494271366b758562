"""Model cards: what is known of each shipped network, written from its record and the results."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from safetensors import safe_open

from denoise_lib.data import default_corpora, wide_corpora
from denoise_lib.files import atomic, read_json
from denoise_lib.models.checkpoints import pretrained_names, read_record
from denoise_lib.names import METRICS, PURPOSES, condition, heading, score
from denoise_lib.paths import PRETRAINED, ROOT

SPLITS = {"test": "training voices", "unseen_voice": "a voice never heard"}
STARTED = [
    "- It started from the weights of another network: [README.md](README.md) says which, and what "
    "trained that one."
]
SHOWN = ("wsdr", "si_sdr", "pesq", "stoi")


def write_cards(folder: Path = PRETRAINED) -> list[Path]:
    """Write the card of every shipped network beside it, <name>.md."""
    paths = []
    for name in pretrained_names():
        paths.append(folder / f"{name}.md")
        with atomic(paths[-1]) as temporary:
            temporary.write_text(card(name), encoding="utf-8")
    return paths


def card(name: str) -> str:
    """The card of one shipped network, as Markdown."""
    path = PRETRAINED / f"{name}.safetensors"
    record = read_record(path)
    plan = record.get("plan", {})
    schedule = plan.get("schedule", {})
    facts = [
        ("network", f"`{record['model']}`, {weights(path):,} weights"),
        ("rate", f"{record['rate']} Hz, one channel"),
        ("speech", f"{corpus(record)}, {plan.get('clips', 'unknown')} clips"),
        ("damage", damages(plan.get("damage"))),
        ("loss", f"`{plan.get('loss')}`"),
        (
            "steps",
            f"{record.get('step')} of {schedule.get('steps')}, batches of {plan.get('batch')}",
        ),
        ("seed", plan.get("seed")),
        ("torch", record["versions"]["torch"]),
    ]
    lines = [
        f"# {name}",
        "",
        "Written by `denoise models --cards`; do not edit.",
        "",
        f"For {PURPOSES.get(name, 'what its training names')}.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in facts),
        "",
        "## What trained it",
        "",
        *(f"- {each}" for each in licences(record)),
        *STARTED * ("start" in plan),
        "",
        "The code is under the MIT licence, the recordings are under those above.",
        "",
        "## Scores",
        "",
        *_scores(name),
        "",
        "## Limits",
        "",
        "- Speech at 16 kHz; nothing above 8 kHz is known to it.",
        f"- It was trained on {damages(plan.get('damage'))} only; elsewhere it may harm.",
    ]
    return "\n".join(lines) + "\n"


def weights(path: Path) -> int:
    """Numbers in a checkpoint, buffers included."""
    with safe_open(path, "pt") as file:
        return sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118


def corpus(record: dict[str, Any]) -> str:
    """Name of the corpus that a checkpoint's record gives."""
    return str(record.get("plan", {}).get("corpus", ["unknown"])[0])


def damages(found: Any) -> str:
    """The damages of a plan by their names, each once."""
    kind, settings = found if found else ("unknown", {})
    kinds = settings.get("damages", [found]) if found else []
    return ", ".join(dict.fromkeys(f"`{each[0]}`" for each in kinds)) or f"`{kind}`"


def licences(record: dict[str, Any]) -> list[str]:
    """Who made the recordings that trained a network, and their licences, each once."""
    plan = record.get("plan", {})
    if corpus(record) == "wide":
        packages = (*wide_corpora.SPEECH, *wide_corpora.NOISE)
    elif corpus(record) == "default":
        noisy = any(word in str(plan.get("damage")) for word in ("Street", "recordings"))
        packages = (*default_corpora.SPEECH, *(default_corpora.STREET if noisy else ()))
    else:
        return [f"the corpus {corpus(record)!r}, whose licence is not known here"]
    return list(dict.fromkeys(f"{each.name}: {each.credit}" for each in packages))


def results(name: str) -> list[dict[str, Any]]:
    """Rows of the published results.json that score this network or baseline by its name."""
    path = ROOT / "docs" / "results.json"
    if not path.exists():
        return []
    return [
        row
        for row in read_json(path)["results"]
        if row["model"] == name and row["experiment"] == "08_outside:compared"
    ]


def _scores(name: str) -> list[str]:
    rows = [row for row in results(name) if row["metric"] in SHOWN and row["split"] in SPLITS]
    if not rows:
        record = read_record(PRETRAINED / f"{name}.safetensors")
        return [
            "The published report does not score it by this name. Its validation during training, "
            f"on damage of its own kind: wSDR {score('wsdr', record.get('valid'))}."
        ]
    rows.sort(key=lambda row: (row["condition"], row["split"], list(METRICS).index(row["metric"])))
    return [
        "| damage | clips of | measure | noisy | denoised | clips |",
        "|---|---|---|--:|--:|--:|",
        *(
            f"| {condition(row['condition'])} | {SPLITS[row['split']]} | {heading(row['metric'])} "
            f"| {score(row['metric'], row['noisy'])} | {score(row['metric'], row['denoised'])} "
            f"| {row['n']} |"
            for row in rows
        ),
    ]
