"""The listening matrix: sentences against networks, a tab for each damage, from several runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from denoise_lib import names
from denoise_lib.display.player import data_uri
from denoise_lib.files import read_json

SHOWN = ("wsdr", "si_sdr", "stoi")  # scores below the player
TABS = ("both", "zero", "raise", "street")  # the first is open
SAME = ("clean", "noisy")  # versions that two runs must have alike


@dataclass(frozen=True)
class Matrix:
    """What the page shows and plays.

    Attributes:
        sentences: {"clip", "who", "meaning", "seconds"} of each row.
        tabs: For each damage {"condition", "name", "hint", "missing": a sentence on what is not
            heard, "versions": [{"name", "written", "colour"}], "rows": [{version: {"key", "grid",
            "scores": {heading: text}}}]}.
        sounds: FLAC files by key.
    """

    sentences: list[dict[str, Any]]
    tabs: list[dict[str, Any]]
    sounds: dict[str, bytes]

    @property
    def text(self) -> str:
        """All but the sounds as JSON that can stand in a script of the page."""
        held = {"sentences": self.sentences, "tabs": self.tabs}
        return json.dumps(held, ensure_ascii=False).replace("<", "\\u003c")

    def source(self, key: str) -> str:
        """A sound as an address that holds it."""
        return data_uri("audio/flac", self.sounds[key])

    def street(self) -> list[tuple[str, str]]:
        """Keys of noisy and clean clips, whose difference is the noise of a street."""
        rows = [row for tab in self.tabs if tab["condition"] == "street" for row in tab["rows"]]
        return [(row["noisy"]["key"], row["clean"]["key"]) for row in rows if set(SAME) <= set(row)]


def matrix(runs: Path, notebooks: list[str]) -> Matrix | None:
    """The matrix from the sentences that notebooks kept.

    A version of a sentence is left out where its run had other damage than the first one, for it
    would not compare.

    Args:
        runs: Folder of one profile's runs.
        notebooks: Whose sentences to take, in order; so stand the versions.

    Returns:
        None when no run kept any.
    """
    rows, sentences, sounds = _read(runs, notebooks)
    known = [*TABS, *(each for each in names.CONDITIONS if each not in TABS)]
    listed = sorted({condition for condition, _ in rows}, key=known.index)
    tabs = [_tab(condition, rows, sorted(sentences)) for condition in listed]
    for tab in tabs:
        tab["missing"] = _missing(tab, tabs)
    used = {cell["key"] for tab in tabs for row in tab["rows"] for cell in row.values()}
    if not used:
        return None
    kept = {key: path.read_bytes() for key, path in sounds.items() if key in used}
    return Matrix([sentences[each] for each in sorted(sentences)], tabs, kept)


def _read(runs: Path, notebooks: list[str]) -> tuple[dict, dict, dict]:
    """Versions by (condition, place), sentences by place, and paths of the sounds by key."""
    rows: dict[tuple[str, int], dict[str, dict]] = {}
    sentences: dict[int, dict[str, Any]] = {}
    sounds: dict[str, Path] = {}
    for notebook in notebooks:
        for path in sorted((runs / notebook / "sentences").glob("*.json")):
            record = read_json(path)
            found = {each["name"]: each for each in record["versions"]}
            row = rows.setdefault((record["condition"], record["order"]), {})
            if any(each in row and row[each]["key"] != found[each]["key"] for each in SAME):
                continue
            row |= {name: each for name, each in found.items() if name not in row}
            sounds |= {each["key"]: path.parent / f"{each['key']}.flac" for each in found.values()}
            told = ("clip", "who", "meaning", "seconds")
            sentences.setdefault(record["order"], {each: record[each] for each in told})
    return rows, sentences, sounds


def _tab(condition: str, rows: dict, places: list[int]) -> dict[str, Any]:
    """One damage: its versions in order of appearance, and a row for each sentence."""
    here = [rows.get((condition, place), {}) for place in places]
    versions = list(dict.fromkeys(name for row in here for name in row))
    return {
        "condition": condition,
        "name": names.condition(condition),
        "hint": names.CONDITIONS[condition].listen_for,
        "versions": [
            {"name": each, "written": names.label(each), "colour": names.colour(each)}
            for each in versions
        ],
        "rows": [{name: _cell(each) for name, each in row.items()} for row in here],
    }


def _missing(tab: dict[str, Any], tabs: list[dict[str, Any]]) -> str:
    """A sentence on what other damages are heard with and this one is not; may be empty."""
    here = {_system(each["name"]) for each in tab["versions"]}
    others = [_system(each["name"]) for other in tabs for each in other["versions"]]
    absent = [names.label(each) for each in dict.fromkeys(others) if each not in here]
    return f"Not run on {tab['name']}: {names.listed(absent)}." if absent else ""


def _system(version: str) -> str:
    """What made a version: "dcunet, retrained" -> "dcunet"."""
    return version.partition(",")[0]


def _cell(version: dict[str, Any]) -> dict[str, Any]:
    scores = version["scores"]
    return {
        "key": version["key"],
        "grid": names.score("si_sdr", scores.get("si_sdr")),
        "scores": {
            names.heading(each): names.score(each, scores[each])
            for each in SHOWN
            if each in scores and version["name"] != "clean"
        },
    }
