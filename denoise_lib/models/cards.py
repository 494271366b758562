"""Model cards: what is known of each shipped network, written from its record and the results."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from safetensors import safe_open

from denoise_lib.data import default_corpora, wide_corpora
from denoise_lib.files import atomic, read_json
from denoise_lib.models.checkpoints import plans, pretrained_names, read_record
from denoise_lib.names import METRICS, PURPOSES, condition, heading, score
from denoise_lib.paths import PRETRAINED, ROOT

SPLITS = {"test": "training voices", "unseen_voice": "a voice never heard"}
STEPS = [
    "Each training went on from the one before it; [README.md](README.md) gives the commands.",
    "",
]
UNKNOWN_START = [
    "- It started from the weights of another network: [README.md](README.md) says which, and what "
    "trained that one."
]
SHOWN = ("wsdr", "si_sdr", "pesq", "stoi")
# Digests of the wide speech without a package that was added later: such trainings did not hear it.
# The older decoder found four clips fewer.
WITHOUT = {
    "festvox-ru": (
        "5e1db8d5226012cc55e58cd03e6980eabc1a61703a07f26a48009025067de565",
        "261474c7877547c7eb988e7b051e77c6e142d067d38d74ffe5e27555775b7e7e",
    )
}


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
    trainings = plans(record)
    facts = [
        ("network", f"`{record['model']}`, {weights(path):,} stored numbers"),
        ("rate", f"{record['rate']} Hz, one channel"),
        ("seed", plan.get("seed")),
        ("best weights", f"step {record.get('step')} of its last training"),
        ("torch", record["versions"]["torch"]),
    ]
    if record.get("mean"):
        facts.append(("weights", "the mean of those before and after the last training"))
    unknown = "start" in plan and "earlier" not in record
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
        *STEPS * (len(trainings) > 1),
        "| training | speech | damage | loss | steps | batch |",
        "|--:|---|---|---|--:|--:|",
        *(f"| {n} | {_training(each)} |" for n, each in enumerate(reversed(trainings), 1)),
        "",
        *(f"- {each}" for each in licences(record)),
        *UNKNOWN_START * unknown,
        "",
        "The code is under the MIT licence, the recordings are under those above.",
        "",
        "## Scores",
        "",
        *_scores(name),
        "",
        "## Limits",
        "",
        "- It processes sound at 16 kHz, and knows nothing of what lies above 8 kHz.",
        f"- It was trained on {_all_damages(trainings)} only; it may make other sounds worse.",
    ]
    return "\n".join(lines) + "\n"


def weights(path: Path) -> int:
    """Numbers in a checkpoint, buffers included."""
    with safe_open(path, "pt") as file:
        return sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118


def _training(plan: dict[str, Any]) -> str:
    """One training as the cells of a table's row."""
    speech = f"{corpus(plan)}, {plan.get('clips', 'unknown')} clips"
    told = ", ".join(f"`{each}`" for each in damages(plan))
    steps = plan.get("schedule", {}).get("steps")
    return f"{speech} | {told} | `{plan.get('loss')}` | {steps} | {plan.get('batch')}"


def corpus(plan: dict[str, Any]) -> str:
    """Name of the corpus of a training, from its plan."""
    return str(plan.get("corpus", ["unknown"])[0])


def damages(plan: dict[str, Any]) -> list[str]:
    """The damages of a training by their names, each once, from its plan."""
    kind, settings = plan.get("damage") or ("unknown", {})
    kinds = settings.get("damages", [[kind, settings]])
    return list(dict.fromkeys(each[0] for each in kinds))


def _all_damages(trainings: list[dict[str, Any]]) -> str:
    kinds = dict.fromkeys(kind for plan in trainings for kind in damages(plan))
    return ", ".join(f"`{each}`" for each in kinds)


def licences(record: dict[str, Any]) -> list[str]:
    """Who made the recordings that trained a network, and their licences, each once."""
    return list(dict.fromkeys(each for plan in plans(record) for each in _credits(plan)))


def _credits(plan: dict[str, Any]) -> list[str]:
    """Who made what a training heard, speech and noise; the wide corpora hold the default ones."""
    noisy = any(word in str(plan.get("damage")) for word in ("Street", "recordings"))
    if corpus(plan) not in ("default", "wide"):
        return [f"the corpus {corpus(plan)!r}, whose licence is not known here"]
    packages = (*default_corpora.SPEECH, *(default_corpora.STREET if noisy else ()))
    if corpus(plan) == "wide":
        kept_out = wide_corpora.TEST_NOISE | wide_corpora.VALID_NOISE
        heard = [each for each in wide_corpora.NOISE if each.prefix.rstrip("/") not in kept_out]
        digest = plan["corpus"][1]
        speech = [each for each in wide_corpora.SPEECH if digest not in WITHOUT.get(each.name, ())]
        packages += (*speech, *(heard if noisy else ()))
    return [f"{each.name}: {each.credit}" for each in packages]


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
        "From notebook 08 of the published report, which compares systems on fewer clips than "
        "README's table, so the numbers differ from those.",
        "",
        "| damage | clips of | measure | noisy | denoised | clips |",
        "|---|---|---|--:|--:|--:|",
        *(
            f"| {condition(row['condition'])} | {SPLITS[row['split']]} | {heading(row['metric'])} "
            f"| {score(row['metric'], row['noisy'])} | {score(row['metric'], row['denoised'])} "
            f"| {row['n']} |"
            for row in rows
        ),
    ]
