"""The page: all runs of a profile as one self-contained report/index.html, and its results.json."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from denoise_lib import names
from denoise_lib.data import default_corpora
from denoise_lib.display import style
from denoise_lib.display.player import ASSETS, Player
from denoise_lib.errors import UserError
from denoise_lib.files import atomic, read_json, resource, write_json
from denoise_lib.paths import ROOT, TEMPLATE, runs_folder
from denoise_lib.report import (
    findings,
    glance,
    glossary,
    hearing,
    provenance,
    section_scores,
    sections,
    voice,
)
from denoise_lib.report.listen_first import listen_first
from denoise_lib.report.matrix import Matrix, matrix
from denoise_lib.report.numbering import numbered
from denoise_lib.report.parameters import names as notebook_names
from denoise_lib.report.sources import with_sources

SCRIPTS = (
    "page.js",
    "table.js",
    "glossary.js",
    "matrix.js",
    "pocket_player.js",
    "hearing.js",
    "blind.js",
    "voice.js",
    "keys.js",
)
BUDGET = 20_000_000  # bytes of a page that can be published


def collect(profile: str, root: Path = ROOT) -> dict[str, Any]:
    """Everything that results.json of the page holds, as DESIGN has it."""
    root = Path(root)
    folder = root / "notebooks"
    return provenance.collect(runs_folder(profile, root), folder, notebook_names(folder))


def build(profile: str = "quick", root: Path = ROOT) -> Path:
    """Write report/results.json and report/index.html from the runs of a profile.

    Args:
        profile: Whose runs, in report/build/<profile>.
        root: Folder of the clone.

    Returns:
        Path of the page.

    Raises:
        UserError: There is no run, or one cannot be shown.
    """
    root = Path(root)
    results = collect(profile, root)
    if not results["provenance"]["seconds"]:
        raise UserError(
            f"no notebook has been run with profile {profile!r}: `make report PROFILE={profile}`"
        )
    runs = runs_folder(profile, root)
    made = [
        sections.read_section(name, runs, root / "notebooks", _profile_values(root, profile, name))
        for name in notebook_names(root / "notebooks")
    ]
    sections.flag_differences(made)
    speed = root / "report" / "bench.json"
    bench = read_json(speed) if speed.exists() else None
    shown = [section.name for section in made]
    heard = matrix(runs, shown)
    own = voice.voice(runs, shown, heard)
    text = render(results, made, listen_first(runs, shown), heard, own, bench)
    text = numbered(store_once(text))
    write_json(root / "report" / "results.json", results)
    path = root / "report" / "index.html"
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    size = path.stat().st_size
    print(
        f"{path}: {size / 1e6:.1f} MB"
        + (f", more than the {BUDGET / 1e6:.0f} MB of a published page" * (size > BUDGET))
    )
    return path


def _profile_values(root: Path, profile: str, name: str) -> dict[str, Any]:
    path = root / "notebooks" / "profiles" / f"{profile}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")).get(name, {}) if path.exists() else {}


def environment() -> jinja2.Environment:
    """The page's templates, with what they need to write numbers and names."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(
        number=names.number, label=names.label, score=names.score, short=sections.short
    )
    found.filters.update(heading=names.heading, duration=duration)
    # The original gave some of its numbers to one or two places: no more are shown.
    found.filters.update(as_given=glance.as_given)
    found.filters.update(linked=lambda text: Markup(glossary.linked(str(text))))
    return found


def render(
    results: dict[str, Any],
    made: list[sections.Section],
    player: Player | None,
    heard: Matrix | None,
    own: dict[str, Any],
    bench: dict[str, Any] | None = None,
) -> str:
    """The page as HTML text, before sounds are stored once.

    Args:
        results: What results.json holds.
        made: The notebooks.
        player: One clip in many versions, for a page without a matrix.
        heard: The listening matrix, if there is one.
        own: What :func:`denoise_lib.report.voice.voice` returned.
        bench: What `make bench` left, if it has run.
    """
    by_name = {section.name: section for section in made}
    tables = {split: glance.lines(results, split) for split in ("test", "unseen_voice")}
    everything = [(line, split) for split, lines in tables.items() for line in lines]

    def cell(row: dict[str, Any]) -> str:
        return by_name[glance.section(row)].anchor(row)

    def source(row: dict[str, Any]) -> str:
        """The table's row that holds a row of results; else what its cell has shown."""
        return section_scores.anchor(row) if section_scores.quoted(results, row) else cell(row)

    def cite(finding: findings.Finding) -> Markup:
        rows = [
            row
            for line, _ in everything
            if glance.holds(line, finding.row)
            for row in glance.rows(line)
        ]
        at = {
            id(row): glance.anchor(line, split)
            for line, split in everything
            for row in glance.rows(line)
        }
        found = with_sources(
            finding.text, [*rows, *finding.others], lambda row: at.get(id(row)) or cell(row)
        )
        # A hyphen is no place to break a short name.
        return Markup(re.sub(r"\b(SI-SDR|U-Net)\b", r'<span class="whole">\1</span>', found))

    found = findings.findings(results)
    text = json.dumps(results, indent=1, ensure_ascii=False)
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            results=results,
            provenance=results["provenance"],
            sections=made,
            player=player,
            matrix=heard,
            voice=own,
            bench=bench,
            table=tables["test"],
            unseen=tables["unseen_voice"],
            glance=glance,
            findings=found,
            hearing=lambda finding: hearing.heard(finding.sounds, heard),
            cite=cite,
            glossary=glossary.TERMS,
            scores=section_scores,
            pipeline=Markup(
                sections.diagram(
                    ROOT / "pics" / "noise_pipeline.svg",
                    "Speech, its STFT, zeroing, raising, and the inverse STFT",
                )
            ),
            anchor=cell,
            source=source,
            chart=glance.chart,
            credits=credits_of(made),
            labels=names,
            style=style,
            css=resource("denoise_lib.display", "player.css")
            + _template_files("page.css", "blind.css", "matrix.css", "voice.css"),
            script=resource("denoise_lib.display", "player.js")
            + voice.measures()
            + _template_files(*SCRIPTS),
            downloads={
                name: (kind, base64.b64encode(data.encode()).decode())
                for name, kind, data in (
                    ("results.json", "application/json", text),
                    ("results.csv", "text/csv", results_csv(results["results"])),
                )
            },
        )
    )


def _template_files(*files: str) -> str:
    return "".join((TEMPLATE / file).read_text(encoding="utf-8") for file in files)


def results_csv(rows: list[dict[str, Any]]) -> str:
    """Rows of results.json as CSV with a header; the interval's ends are two columns."""
    columns = ["experiment", "condition", "model", "split", "metric", "n", "total", "voices"]
    columns += ["noisy", "denoised"]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*columns, "ci95_low", "ci95_high"])
    for row in rows:
        writer.writerow([row[column] for column in columns] + list(row["ci95"] or (None, None)))
    return out.getvalue()


def credits_of(made: list[sections.Section]) -> list[str]:
    """Who recorded what is heard: sentences on the default corpora that the runs have read."""
    read = {
        (key, section.run["parameters"].get(key))
        for section in made
        if section.run
        for key in ("speech", "noise")
    }
    found = []
    if ("speech", "default") in read:
        voices = "; ".join(f"{each.prefix} {each.credit}" for each in default_corpora.SPEECH)
        found.append(f"Voices, from the Asterisk core sounds: {voices}.")
    if ("noise", "default") in read:
        places = "; ".join(each.credit for each in default_corpora.STREET)
        found.append(f"City recordings: {places}.")
    if found:
        found.append("What is played here was made from them and is under the same licences.")
    return found


def duration(seconds: float) -> str:
    """Seconds as text: 75 -> "1 min 15 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


AUDIO = re.compile(r'<audio class="player-native"([^>]*?)data-sound="(\w+)" src="[^"]+"></audio>')
PICTURE = re.compile(r'<img class="player-picture"([^>]*) src="(data:image/webp;base64,[^"]+)">')
DIAGRAM = re.compile(
    r'<picture><source [^>]*><img class="diagram fits" alt="[^"]*" '
    r'src="(?P<source>[^"]+)"></picture>'
)
BLANK = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
NOTEBOOK_ASSETS = re.compile(f"{ASSETS[0]}.*?{ASSETS[1]}", re.DOTALL)


def store_once(text: str) -> str:
    """Take out what a page needs once only: style and script of the players, and what came before.

    Where a sound occurs again its player names it by key, and the reader without scripts gets a
    link to where it can be played. A picture that occurs again is named by key too; player.js fills
    it in, and without scripts it is blank. A diagram that stands at the head is not shown again.
    """
    sounds: set[str] = set()
    pictures: set[str] = set()

    def sound(match: re.Match[str]) -> str:
        attributes, key = match.groups()
        if key in sounds:
            return (
                f'<a class="player-native" data-sound="{key}" href="#sound-{key}">'
                "the same sound as above: play it there</a>"
            )
        sounds.add(key)
        return match[0].replace("<audio", f'<audio id="sound-{key}"', 1)

    def picture(match: re.Match[str]) -> str:
        attributes, source = match.groups()
        key = hashlib.sha256(source.encode()).hexdigest()[:16]
        if key in pictures:
            return f'<img class="player-picture"{attributes} data-same="{key}" src="{BLANK}">'
        pictures.add(key)
        return f'<img class="player-picture"{attributes} data-picture="{key}" src="{source}">'

    diagrams: set[str] = set()

    def diagram(match: re.Match[str]) -> str:
        if match["source"] in diagrams:
            head = '<a href="#head-picture">The diagram at the head of this page</a>'
            return f"{head} shows the damage step by step."
        diagrams.add(match["source"])
        return match[0]

    text = DIAGRAM.sub(diagram, text)
    return PICTURE.sub(picture, AUDIO.sub(sound, NOTEBOOK_ASSETS.sub("", text)))
