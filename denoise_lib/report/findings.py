"""The findings at the head of the page: a sentence, its number and where it was measured.

Every number comes from results.json. A finding whose rows are missing is left out, and what a
finding says follows the numbers: a network that does harm is said to.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from denoise_lib import names
from denoise_lib.names import change_of_ratio, label, listed, number, score
from denoise_lib.names import condition as written
from denoise_lib.report import glance
from denoise_lib.report.glance import Line, Row
from denoise_lib.report.hearing import Wanted

SHIPPED = ("repair", "speech", "unet-street")  # trained beforehand; the others within the report
ELSEWHERE = {"speech": ", which was trained on noise of many kinds,"}  # and not on streets alone
NOTHING_DB = 0.5  # a smaller change of SI-SDR is called none
COMPARED = "08_outside:compared"  # all systems on the same clips
CONTROLS = ("identity", "clean", "gain")


class Finding(NamedTuple):
    """One sentence or two, the row that holds their main number, others that are quoted, sounds."""

    text: str
    row: Row
    others: tuple[Row, ...] = ()
    sounds: Wanted | None = None


def findings(results: dict[str, Any]) -> list[Finding]:
    """What came out, most important first.

    Args:
        results: Content of results.json.
    """
    table, unseen = (
        {(line.condition, line.stage): line for line in glance.lines(results, split) if line.scored}
        for split in ("test", "unseen_voice")
    )
    found = [
        _repaired(table.get(("both", "fixed"))),
        _volume(table.get(("zero", "fixed"))),
        _failed([table[key] for key in table if key[1] == "fixed"]),
        _street(table.get(("street", "before"))),
        _retrained(table.get(("street", "retrained")), results["results"]),
        _unseen(unseen.get(("both", "fixed"))),
    ]
    return [each for each in found if each]


def _repaired(line: Line | None) -> Finding | None:
    if not line:
        return None
    model, row = line.best
    text = f"On {line.name}, {_the(model)} {_goes(line, model)}."
    here = {name: each for name, each in line.scored.items() if name not in SHIPPED}
    if model in SHIPPED and here:
        best = replace(line, rows=here).best[0]
        text += (
            f" It was trained beforehand, for hours; the best network that this report trains by "
            f"itself, {_the(best)}, reaches {_both(line, best)}."
        )
        versions = ("noisy", best, model, "clean")
    else:
        versions = ("noisy", model, "clean")
    return Finding(text, row, sounds=Wanted(line.condition, versions))


def _volume(line: Line | None) -> Finding | None:
    if not line or not line.volume:
        return None
    row = line.volume_alone
    mark = line.original[1]
    against = "worse" if row["denoised"] < mark else "better"
    return Finding(
        f"wSDR can be moved by volume alone: for {line.name}, {row['model']} takes the mean wSDR "
        f"from {number(row['noisy'])} to {number(row['denoised'])} and repairs nothing. The "
        f"original study’s best network scored {glance.as_given(mark)} there, which is {against} "
        "than that. So SI-SDR, which does not depend on volume, stands beside wSDR on this page.",
        row,
        sounds=Wanted(line.condition, ("noisy", row["model"])),
    )


def _failed(lines: list[Line]) -> Finding | None:
    """Networks whose SI-SDR falls: they do harm, whatever wSDR says."""
    for line in lines:
        worse = {
            name: row
            for name, row in line.si_sdr.items()
            if row["denoised"] < row["noisy"] - NOTHING_DB
        }
        if worse:
            names = listed([_the(name) for name in worse])
            values = listed([score("si_sdr", row["denoised"]) for row in worse.values()])
            noisy = score("si_sdr", next(iter(worse.values()))["noisy"])
            does = "does" if len(worse) == 1 else "do"
            text = f"For {line.name}, {names} {does} harm: SI-SDR falls from {noisy} to {values}"
            if any(
                line.scored[name]["denoised"] < line.noisy for name in worse if name in line.scored
            ):
                text += ", although wSDR calls it an improvement"
            sounds = Wanted(line.condition, ("noisy", *worse, "clean"))
            return Finding(f"{text}.", next(iter(worse.values())), sounds=sounds)
    return None


def _street(line: Line | None) -> Finding | None:
    if not line or not line.si_sdr:
        return None
    model = line.best[0]
    if model not in line.si_sdr:
        return None
    row = line.si_sdr[model]
    gained = row["denoised"] - row["noisy"]
    does = "does not help" if gained < NOTHING_DB else "helps"
    return Finding(
        f"What {_the(model)} learned from the fixed damage {does} against street noise: it "
        f"{change_of_ratio(row)}.",
        row,
        sounds=Wanted(line.condition, ("noisy", f"{model}, as it is", "clean")),
    )


def _retrained(line: Line | None, rows: list[Row]) -> Finding | None:
    if not line or not line.si_sdr:
        return None
    model = line.best[0]
    text = f"On street noise, after training on other street recordings, {_the(model)} "
    text += f"{_goes(line, model)}."
    others = [name for name in line.si_sdr if name != model]
    if others:
        parts = [
            f"{_the(name)}{ELSEWHERE.get(name, '')} reaches "
            f"{score('si_sdr', line.si_sdr[name]['denoised'])}"
            for name in others
        ]
        text += f" {glance.capital(listed(parts))}."
    best = _winner(rows, "street", "stoi")
    if best:
        text += (
            f" By STOI, the most intelligible output comes from {_source(best['model'])}: "
            f"{score('stoi', best['denoised'])}, where noisy clips have "
            f"{score('stoi', best['noisy'])} ({names.over([best])})."
        )
    ours = [name if name in SHIPPED else f"{name}, retrained" for name in (model, *others)]
    versions = ("noisy", *ours, *([best["model"]] if best else []), "clean")
    sounds = Wanted(line.condition, tuple(dict.fromkeys(versions)))
    return Finding(text, line.rows[model], (best,) if best else (), sounds)


def _winner(rows: list[Row], condition: str, metric: str) -> Row | None:
    """The best row of the comparison of all systems; higher is better."""
    wanted = {"experiment": COMPARED, "condition": condition, "metric": metric, "split": "test"}
    found = [
        row
        for row in rows
        if wanted.items() <= row.items()
        and row["denoised"] is not None
        and row["model"] not in CONTROLS
    ]
    # A mean that leaves clips out, which others' means are over, is not the best by that.
    return max(found, key=lambda row: (row["n"], row["denoised"]), default=None)


def _unseen(line: Line | None) -> Finding | None:
    if not line:
        return None
    model, row = line.best
    return Finding(
        f"On a voice that no training has heard, damaged by {written(line.condition)}, "
        f"{_the(model)} {_goes(line, model)}.",
        row,
        sounds=Wanted(line.condition, ("noisy", model, "clean"), unseen=True),
    )


def _goes(line: Line, model: str) -> str:
    """What a network does to the mean, in SI-SDR where there is one, and in wSDR."""
    row = line.rows[model]
    span = f"from {number(row['noisy'])} to {number(row['denoised'])}"
    interval = f" {glance.interval(row)}".rstrip()
    if model not in line.si_sdr:
        return f"takes the mean wSDR {span}{interval}"
    return f"{change_of_ratio(line.si_sdr[model])}, and wSDR {span}{interval}"


def _both(line: Line, model: str) -> str:
    """SI-SDR and wSDR of a network."""
    parts = [f"wSDR {number(line.rows[model]['denoised'])}"]
    if model in line.si_sdr:
        parts.insert(0, score("si_sdr", line.si_sdr[model]["denoised"]))
    return f"{parts[0]} ({parts[1]})" if len(parts) == 2 else parts[0]


def _the(model: str) -> str:
    """A network as the subject of a sentence: two shipped ones are called by a plain word."""
    return f"the network “{model}”" if model in ("repair", "speech") else f"the {label(model)}"


def _source(model: str) -> str:
    return _the(model) if model in glance.NETWORKS else label(model)
