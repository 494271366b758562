"""Copy the built page, its clips and its networks to where they are found without building."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from denoise_lib.data import default_corpora
from denoise_lib.errors import UserError
from denoise_lib.files import atomic, read_json
from denoise_lib.names import label, number, score
from denoise_lib.paths import ROOT, runs_folder
from denoise_lib.report import glance
from denoise_lib.report.page import BUDGET
from denoise_lib.report.parameters import declared, names, read_notebook
from denoise_lib.report.provenance import uncommitted
from denoise_lib.report.runner import Study

PROFILE = "quick"
START = "<!-- results: written by `make publish` from docs/results.json -->"
END = "<!-- end of results -->"


def publish(root: Path = ROOT) -> None:
    """Publish the quick profile's page, and bring README's results in step.

    report/index.html and report/results.json are copied to docs/, example clips to audio/, trained
    networks to denoise_lib/pretrained/.

    Raises:
        UserError: There is no page, it is of another profile or too large, a run is missing, the
            numbers were not all made from one commit, or the commit that is checked out would make
            others; nothing is copied then.
    """
    root = Path(root)
    page = root / "report" / "index.html"
    results = read_json(root / "report" / "results.json")
    _check(page, results)
    text = rewritten((root / "README.md").read_text(encoding="utf-8"), results)
    build, notebooks = runs_folder(PROFILE, root), names(root / "notebooks")
    if missing := [name for name in notebooks if not (build / name / "run.json").exists()]:
        raise UserError(f"{', '.join(missing)} has not been run: run `make report`")
    _check_code(root)
    copies = {
        root / "docs" / name: root / "report" / name for name in ("index.html", "results.json")
    }
    for name, source in published_networks(root / "notebooks").items():
        copies[root / "denoise_lib" / "pretrained" / f"{name}.safetensors"] = build / source
    sounds, lines = _examples(build, notebooks)
    copies |= {root / "audio" / f"{name}.flac": source for name, source in sounds.items()}
    for source in copies.values():
        if not source.exists():
            raise UserError(f"{source} does not exist: run `make report`")
    for target, source in copies.items():
        with atomic(target) as temporary:
            shutil.copyfile(source, temporary)
    for target, content in (("README.md", text), ("audio/README.md", _credits(lines))):
        with atomic(root / target) as temporary:
            temporary.write_text(content, encoding="utf-8")
    print(
        f"published {page.stat().st_size / 1e6:.1f} MB to docs/; "
        "commit docs/, audio/, denoise_lib/pretrained/ and README.md"
    )


def _check(page: Path, results: dict[str, Any]) -> None:
    """Raise UserError unless this page can be published."""
    past = results["provenance"]
    if results["profile"] != PROFILE:
        raise UserError(
            f"the page is of profile {results['profile']!r}: run `make report` and publish "
            f"the {PROFILE} one"
        )
    if not page.exists():
        raise UserError(f"{page} does not exist: run `make report`")
    if page.stat().st_size > BUDGET:
        raise UserError(
            f"{page} has {page.stat().st_size / 1e6:.1f} MB, more than "
            f"{BUDGET / 1e6:.0f}: use fewer or shorter clips"
        )
    if past["dirty"]:
        raise UserError(
            "some runs were made with uncommitted changes: commit, then `make clean report`"
        )
    if not past["commit"]:
        raise UserError(
            "the runs are of different commits: `make clean report` makes them all again"
        )


def _check_code(root: Path) -> None:
    """Raise UserError unless the runs are what the commit that is checked out would make."""
    if stale := Study(PROFILE, root).stale():
        raise UserError(
            f"{', '.join(stale)} was run with other code, parameters or packages than there are "
            "now: run `make report` and publish what it makes"
        )
    # What an earlier call has published is no code.
    changed = [file for file in uncommitted(root) if "/pretrained/" not in file]
    if changed:
        raise UserError(f"{', '.join(changed)} differs from the commit: commit it, then publish")


def published_networks(folder: Path) -> dict[str, str]:
    """Shipped networks that the notebooks of a folder leave: {name: "<notebook>/<checkpoint>"}."""
    found = {}
    for notebook in names(folder):
        own = declared(read_notebook(folder, notebook), "publishes", {})
        found |= {name: f"{notebook}/{checkpoint}" for name, checkpoint in own.items()}
    return found


def _examples(build: Path, notebooks: list[str]) -> tuple[dict[str, Path], list[str]]:
    """The clips that the runs keep for audio/: {name: path}, and a line of a table for each."""
    sounds, lines = {}, []
    for notebook in notebooks:
        for path in sorted((build / notebook / "examples").glob("*.json")):
            example = read_json(path)
            for entry in example["versions"]:
                if name := entry.get("publish_as"):
                    sounds[name] = path.parent / entry["whole"]
                    wsdr = number(entry["scores"].get("wsdr"))
                    lines.append(
                        f"| `{name}.flac` | {entry['what']} | {wsdr} | `{example['clip']}` |"
                    )
    return sounds, lines


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


def table(results: dict[str, Any]) -> str:
    """README's results as Markdown: no number in it is typed.

    Args:
        results: Content of a results.json.

    Returns:
        A table with a line for each condition: wSDR and SI-SDR of the noisy clips, of the best
        network that the report trains and of the best that was trained before, each with its 95 %
        interval; then a line on where the numbers come from.
    """
    lines = glance.lines(results)
    columns = ["noisy", "volume alone", "original study", "trained here", "trained beforehand"]
    text = [f"| | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
    text += [_row(line) for line in lines]
    past = results["provenance"]
    text += [
        "",
        f"wSDR: lower is better, {number(glance.LIMIT, 0)} is perfect; then SI-SDR: higher is "
        f"better. Means{' over ' + glance.over(lines) if lines else ''}, whose other clips are "
        "in the training, with 95 % intervals. “Volume alone” is the best wSDR that playing the "
        f"noisy clips louder or softer gives. {glance.ORIGINAL_NOTE} Profile "
        f"`{results['profile']}`, commit `{past['commit'][:7]}`, "
        f"{round(past['elapsed'] / 60)} minutes on {past['machine']['cores']} cores.",
    ]
    return "\n".join(text)


def _row(line: glance.Line) -> str:
    ratios = [row["noisy"] for row in line.si_sdr.values()][:1]
    cells = [", ".join([number(line.noisy), *(score("si_sdr", each) for each in ratios)])]
    cells.append(number(line.volume_alone["denoised"] if line.volume else None))
    cells.append(glance.as_given(line.original[1]))
    for beforehand in (False, True):
        rows = {
            model: row
            for model, row in line.rows.items()
            if (model in glance.BEFOREHAND) == beforehand
        }
        cells.append(_best(replace(line, rows=rows)))
    return f"| {line.name} | {' | '.join(cells)} |"


def _best(line: glance.Line) -> str:
    """WSDR of a line's best network with its interval, SI-SDR where it was taken, and its name."""
    if not line.rows:
        return number(None)
    model, row = line.best
    words = [number(row["denoised"]), glance.interval(row), glance.lacking(row)]
    parts = [" ".join(filter(None, words))]
    if model in line.si_sdr:
        parts.append(score("si_sdr", line.si_sdr[model]["denoised"]))
    return f"{', '.join(parts)} ({label(model)})"


def rewritten(text: str, results: dict[str, Any]) -> str:
    """README's text with the table of these results between its two markers.

    Raises:
        UserError: A marker is missing.
    """
    if not 0 <= text.find(START) < text.find(END):
        raise UserError(
            f"README.md has no results table to rewrite: put {START} and {END} around it"
        )
    before, rest = text.split(START, 1)
    return f"{before}{START}\n\n{table(results)}\n\n{END}{rest.split(END, 1)[1]}"
