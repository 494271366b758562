"""The page: all runs of a profile as one self-contained report/index.html, and its results.json."""

import base64
import csv
import hashlib
import io
import json
import re
import tomllib
from pathlib import Path

import jinja2
import soundfile

from . import chart, glance, labels, listening, packages, provenance, sections, style
from .errors import UserError
from .files import atomic, read_json, write_json
from .parameters import names as notebook_names
from .paths import ROOT, TEMPLATE, runs_folder

BUDGET = 8_000_000  # bytes of a page that can be published
LISTEN_FOR = {
    "both": "the roughness in loud vowels, the buzz in the pauses, and what each network leaves",
    "zero": "the roughness in loud vowels, where strong coefficients are missing",
    "raise": "the buzz in the pauses, and whether the quiet sounds of speech go with it",
    "street": "what is left of the street, and what the voice has lost with it",
}


def collect(profile, root=ROOT):
    """Everything that results.json of the page holds, as DESIGN has it."""
    root = Path(root)
    return provenance.collect(runs_folder(profile, root), notebook_names(root / "notebooks"))


def build(profile="quick", root=ROOT):
    """Write report/results.json and report/index.html from the runs of a profile.

    Args:
        profile: whose runs, in report/build/<profile>.
        root: folder of the clone.

    Returns:
        Path of the page.

    Raises:
        UserError: there is no run, or one cannot be shown.
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
    text = store_once(render(results, made, listen_first(runs, [section.name for section in made])))
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


def _profile_values(root, profile, name):
    path = root / "notebooks" / "profiles" / f"{profile}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")).get(name, {}) if path.exists() else {}


def render(results, made, player):
    """The page as HTML text, before sounds are stored once."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=labels.number, label=labels.label, score=labels.score, short=sections.short
    )
    environment.filters.update(heading=labels.heading, duration=duration)
    # The original gave some of its numbers to one or two places: no more are shown.
    environment.filters.update(as_given=lambda value: labels.prose(str(value)))
    by_name = {section.name: section for section in made}
    text = json.dumps(results, indent=1, ensure_ascii=False)
    return environment.get_template("page.html.j2").render(
        results=results,
        provenance=results["provenance"],
        sections=made,
        player=player,
        table=glance.lines(results["results"]),
        unseen=glance.lines(results["results"], "unseen_voice"),
        glance=glance,
        anchor=lambda row: by_name[glance.section(row)].anchor(row),
        chart=chart.chart,
        credits=credits_of(made),
        labels=labels,
        style=style,
        css=listening.resource("player.css") + _template_files("page.css", "blind.css"),
        script=listening.resource("player.js") + _template_files("page.js", "table.js", "blind.js"),
        downloads={
            name: (kind, base64.b64encode(data.encode()).decode())
            for name, kind, data in (
                ("results.json", "application/json", text),
                ("results.csv", "text/csv", results_csv(results["results"])),
            )
        },
    )


def _template_files(*names):
    return "".join((TEMPLATE / name).read_text(encoding="utf-8") for name in names)


def results_csv(rows):
    """Rows of results.json as CSV with a header; the interval's ends are two columns."""
    columns = ["experiment", "condition", "model", "split", "metric", "n", "noisy", "denoised"]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*columns, "ci95_low", "ci95_high"])
    for row in rows:
        writer.writerow([row[column] for column in columns] + list(row["ci95"] or (None, None)))
    return out.getvalue()


def credits_of(made):
    """Who recorded what is heard: sentences on the default corpora that the runs have read."""
    read = {
        (key, section.run["parameters"].get(key))
        for section in made
        if section.run
        for key in ("speech", "noise")
    }
    found = []
    if ("speech", "default") in read:
        voices = "; ".join(f"{each.prefix} {each.credit}" for each in packages.SPEECH)
        found.append(f"Voices, from the Asterisk core sounds: {voices}.")
    if ("noise", "default") in read:
        places = "; ".join(each.credit for each in packages.STREET)
        found.append(f"City recordings: {places}.")
    if found:
        found.append("What is played here was made from them and is under the same licences.")
    return found


def duration(seconds):
    """Seconds as text: 75 -> "1 min 15 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def listen_first(runs, names):
    """The player at the head of the page: one clip with the outputs of several runs.

    Takes the clip that most versions of exist; runs that kept the same clip with other damage are
    left out, for their outputs would not compare.

    Returns:
        A listening.Player, or None when no run kept an example.
    """
    from .experiment import LONGEST_HEARD  # only here: torch takes seconds to load

    groups = {}
    for path in (
        path for name in names for path in sorted((runs / name / "examples").glob("*.json"))
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
    order = list(labels.CONDITIONS)
    ranked = sorted(
        groups.values(), key=lambda group: (-len(group[1]), order.index(group[0]["condition"]))
    )
    if not ranked or not ranked[0][1]:
        return None
    example, versions, scores = ranked[0]
    condition = example["condition"]
    return listening.compare(
        versions,
        example["rate"],
        title=f"{example['clip']}, {labels.CONDITIONS[condition]}",
        listen_for=LISTEN_FOR[condition],
        scores=scores,
        seconds=LONGEST_HEARD,  # as in the sections, so that the sounds are the same
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


AUDIO = re.compile(r'<audio class="player-native"([^>]*?)data-sound="(\w+)" src="[^"]+"></audio>')
PICTURE = re.compile(r'<img class="player-picture"([^>]*) src="(data:image/webp;base64,[^"]+)">')
BLANK = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
NOTEBOOK_ASSETS = re.compile(f"{listening.ASSETS[0]}.*?{listening.ASSETS[1]}", re.DOTALL)


def store_once(text):
    """Take out what a page needs once only: style and script of the players, and what came before.

    Where a sound occurs again its player names it by key, and the reader without scripts gets a
    link to where it can be played. A picture that occurs again is named by key too; player.js fills
    it in, and without scripts it is blank.
    """
    sounds, pictures = set(), set()

    def sound(match):
        attributes, key = match.groups()
        if key in sounds:
            return (
                f'<a class="player-native" data-sound="{key}" href="#sound-{key}">'
                "the same sound as above: play it there</a>"
            )
        sounds.add(key)
        return match[0].replace("<audio", f'<audio id="sound-{key}"', 1)

    def picture(match):
        attributes, source = match.groups()
        key = hashlib.sha256(source.encode()).hexdigest()[:16]
        if key in pictures:
            return f'<img class="player-picture"{attributes} data-same="{key}" src="{BLANK}">'
        pictures.add(key)
        return f'<img class="player-picture"{attributes} data-picture="{key}" src="{source}">'

    return PICTURE.sub(picture, AUDIO.sub(sound, NOTEBOOK_ASSETS.sub("", text)))
