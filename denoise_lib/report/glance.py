"""Results at a glance: the table at the head of the page and its drawing.

Every number of ours comes from results.json.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from denoise_lib import RATE, names
from denoise_lib.names import colour, number, prose
from denoise_lib.names import condition as written

Row = dict[str, Any]  # of results.json

# The original study's wSDR: (condition, which training of ours is compared): (noisy, best, by).
# Source: the table of the original study's report, on VCTK at 48 kHz, 4.8k training clips, 483 test
# clips. Other data than ours, so the numbers stand beside ours as a mark, not as a ranking.
ORIGINAL = {
    ("both", "fixed"): (-0.801, -0.926, "DCUnet"),
    ("zero", "fixed"): (-0.89, -0.92, "DCUnet"),
    ("raise", "fixed"): (-0.86, -0.99, "DCUnet"),
    ("street", "before"): (-0.4, -0.5, "DCUnet"),
    ("street", "retrained"): (-0.38, -0.94, "DCUnet"),
}
ORIGINAL_NOTE = (
    "The original study used VCTK at 48 kHz, with 4.8 thousand clips for training and 483 for the "
    "test; its best was a DCUnet throughout. Its data differ from ours, so its numbers are a "
    "reference point and not a ranking."
)
# Experiments declare in their notebooks in which of these lines they stand.
STAGES = {"fixed": "", "before": " (not trained on it)", "retrained": " (retrained on it)"}
NETWORKS = ("autoencoder", "wavenet", "dcunet", "unet", "repair", "speech", "unet-street")
BEFOREHAND = ("repair", "speech", "unet-street")  # trained before the report, for hours
VOLUME = "volume"  # the stage of experiments that only change the volume
LIMIT = -1.0
SUBSET = 0.03  # wSDR by which the noisy clips of some clips and of all may differ
# The drawing.
FAR, NEAR = 1.05, 0.004  # distances from the limit at the two ends of the axis
TOP = 28  # pixels above the first line
TICKS = (0, -0.4, -0.6, -0.8, -0.9, -0.95, -0.98, -0.99, -0.995)


@dataclass(frozen=True)
class Frame:
    """The drawing on a screen of some width: all in pixels."""

    name: str
    width: int
    left: int
    right: int
    row: int
    ticks: tuple[float, ...]


WIDE = Frame("wide", 736, 200, 725, 30, TICKS)
PHONE = Frame("narrow", 358, 12, 346, 46, (0, -0.4, -0.8, -0.9, -0.95, -0.98, -0.99))
LEFT, RIGHT = WIDE.left, WIDE.right


@dataclass
class Line:
    """A line of the table: one condition, the original's numbers and a row of results per model."""

    condition: str
    stage: str
    rows: dict[str, Row]  # wSDR, by model; one that gave no score of some clips has no mean
    si_sdr: dict[str, Row]  # by model, where it was taken
    volume: dict[str, Row]  # wSDR of the noisy clips, louder and softer
    valid: dict[str, Row] = field(default_factory=dict)  # wSDR on validation clips, by model
    unrated: frozenset[str] = frozenset()  # models that gave no SI-SDR of some clips

    @property
    def volume_alone(self) -> Row | None:
        """The lowest wSDR that a change of volume gives."""
        return min(self.volume.values(), key=lambda row: row["denoised"], default=None)

    @property
    def name(self) -> str:
        """How the line is called on the page."""
        return written(self.condition) + STAGES[self.stage]

    @property
    def limit(self) -> float | None:
        """What the damage allows: all of it can be undone from its positions; a street's cannot."""
        return None if self.condition == "street" else LIMIT

    @property
    def noisy(self) -> float:
        """Mean wSDR of the damaged clips."""
        return next(iter(self.rows.values()))["noisy"]

    @property
    def scored(self) -> dict[str, Row]:
        """Rows of wSDR that have a mean, by model."""
        return {model: row for model, row in self.rows.items() if row["denoised"] is not None}

    @property
    def chosen_apart(self) -> bool:
        """Whether the best model is not chosen on the clips that judge it, or is the only one."""
        return len(self.scored) <= 1 or bool(self.valid)

    @property
    def best(self) -> tuple[str, Row]:
        """(model, row) of our best model: the lowest wSDR on validation clips.

        Where no model was scored on those, test clips choose. A mean that leaves test clips out
        comes last: it may be low because a network fails on the worst ones. Where no model has a
        mean, it is the first.
        """
        judges = self.valid or self.scored
        worst = {"denoised": math.inf}
        return min(
            (self.scored or self.rows).items(),
            key=lambda item: (missing(item[1]), judges.get(item[0], worst)["denoised"]),
        )

    @property
    def original(self) -> tuple[float, float, str]:
        """The original study's noisy and best wSDR, and what reached it."""
        return ORIGINAL[self.condition, self.stage]

    @property
    def outcome(self) -> str:
        """The original's best against the interval of our best: a key of OUTCOMES.

        It is beaten only by more than its rounding, only where SI-SDR agrees, and only where a
        change of volume alone does not beat it.
        """
        model, row = self.best
        if missing(row) or model in self.unrated:
            return "incomplete"
        mark = self.original[1]
        if self.volume and self.volume_alone["denoised"] < mark:
            return "volume"
        if model in self.si_sdr and self.si_sdr[model]["denoised"] < self.si_sdr[model]["noisy"]:
            return "harm"
        low, high = row["ci95"] or (row["denoised"], row["denoised"])
        rounding = 0.5 * 10.0 ** -len(str(mark).partition(".")[2])
        if high < mark - rounding:
            return "beaten"
        return "not reached" if low > mark + rounding else "level"


def lines(results: dict[str, Any], split: str = "test") -> list[Line]:
    """The lines of the table that have a result.

    Args:
        results: Content of results.json.
    """
    found = []
    for condition, stage in ORIGINAL:
        rows = _rows(results, stage, condition, split, "wsdr")
        rows = {model: rows[model] for model in NETWORKS if model in rows}
        if rows:
            first = _rate(results, next(iter(rows.values())))
            rows = {model: row for model, row in rows.items() if _rate(results, row) == first}
            ratios = _rows(results, stage, condition, split, "si_sdr")
            ratios = {model: ratios[model] for model in rows if model in ratios}
            unrated = frozenset(model for model, row in ratios.items() if row["denoised"] is None)
            ratios = {model: row for model, row in ratios.items() if model not in unrated}
            volume = _rows(results, VOLUME, condition, split, "wsdr")
            volume = {name: row for name, row in volume.items() if row["denoised"] is not None}
            valid = _rows(results, stage, condition, "valid", "wsdr")
            valid = {name: row for name, row in valid.items() if row["denoised"] is not None}
            found.append(Line(condition, stage, rows, ratios, volume, valid, unrated))
    return found


def _rate(results: dict[str, Any], row: Row) -> int:
    """Samples per second of the clips that a row is about; at another rate they are others."""
    parameters = results.get("provenance", {}).get("parameters", {})
    return parameters.get(section(row), {}).get("rate", RATE)


def _rows(
    results: dict[str, Any], stage: str, condition: str, split: str, metric: str
) -> dict[str, Row]:
    """The first row of every model among the experiments that stand in a stage."""
    standing = {name for name, stages in results["headline"].items() if stage in stages}
    wanted = {"condition": condition, "split": split, "metric": metric}
    rows: dict[str, Row] = {}
    for row in results["results"]:
        counts = row["experiment"] in standing and row["noisy"] is not None
        if counts and wanted.items() <= row.items():
            rows.setdefault(row["model"], row)
    return rows


def models(table: list[Line]) -> list[str]:
    """Models that have a number in any line, in the order of the columns."""
    return [model for model in NETWORKS if any(model in line.rows for line in table)]


def groups(table: list[Line]) -> list[list[Line]]:
    """Lines that stand in one table: those of the fixed damage, and those of street noise."""
    fixed = [line for line in table if line.stage == "fixed"]
    return [each for each in (fixed, [line for line in table if line.stage != "fixed"]) if each]


def rows(line: Line) -> list[Row]:
    """Every row of results that a line shows."""
    return [*line.rows.values(), *line.si_sdr.values(), *line.volume.values()]


def holds(line: Line, row: Row) -> bool:
    """Whether a line shows a row of results."""
    return any(each is row for each in rows(line))


def anchor(line: Line, split: str = "test") -> str:
    """Where a line stands on the page."""
    return f"glance-{line.condition}-{line.stage}" + f"-{split}" * (split != "test")


def section(row: Row) -> str:
    """Name of the notebook that made a row: "05_street_noise:before" -> "05_street_noise"."""
    return row["experiment"].partition(":")[0]


def interval(row: Row) -> str:
    """The interval of a row as text, or nothing where there is none."""
    return f"[{number(row['ci95'][0])}, {number(row['ci95'][1])}]" if row["ci95"] else ""


def missing(row: Row) -> bool:
    """Whether some of the clips have no score, so that the mean is not of all of them."""
    return row["n"] < row["total"]


def lacking(row: Row) -> str:
    """Words for a row whose mean leaves clips out, or that has none for it; else nothing."""
    if not missing(row):
        return ""
    if row["denoised"] is None:
        return f"no score of {row['total'] - row['n']} of {row['total']} clips"
    return f"{row['n']} of {row['total']} clips"


def over(table: list[Line]) -> str:
    """Over how many clips and voices the means of a table are: "32 clips of 3 voices"."""
    return names.over(row for line in table for row in line.rows.values())


def voices(table: list[Line]) -> int:
    """The largest number of voices behind a mean of a table."""
    return max(row["voices"] for line in table for row in line.rows.values())


def subsets(results: dict[str, Any], table: list[Line]) -> str:
    """A sentence on experiments that score fewer clips than a table, and on what that changes.

    Empty where there are none. It compares what the noisy clips score under zeroing and raising.
    """
    wanted = {"condition": "both", "split": "test", "metric": "wsdr"}
    usual = next((line.best[1] for line in table if line.condition == "both"), None)
    fewer = [
        row
        for row in results["results"]
        if usual and wanted.items() <= row.items() and row["n"] < usual["n"]
        # Other frames are another damage.
        if row["noisy"] is not None and abs(row["noisy"] - usual["noisy"]) < SUBSET
    ]
    if not fewer:
        return ""
    values = [row["noisy"] for row in [usual, *fewer]]
    return (
        "Some parts of this page score fewer clips to save time, and say how many. Their means "
        "differ from these because the clips differ: under zeroing and raising, noisy test clips "
        f"of the training voices score between {number(max(values))} and {number(min(values))}. "
        "So numbers should be compared within a table or figure only."
    )


def choice(table: list[Line]) -> str:
    """A sentence on how the best network of a line is chosen."""
    several = [line for line in table if len(line.scored) > 1]
    if not all(line.chosen_apart for line in several):
        return "The best of several networks is chosen on the test clips themselves."
    rows = [row for line in several for row in line.valid.values()]
    if not rows:
        return ""
    return f"The best of several networks is chosen on validation clips ({names.over(rows)})."


OUTCOMES = {
    "beaten": "beaten",
    "level": "level, within its rounding and our interval",
    "not reached": "not reached",
    "volume": "no mark: volume alone gives more",
    "harm": "not comparable: our SI-SDR falls",
    "incomplete": "not comparable: some clips have no score",
}


def capital(text: str) -> str:
    """Text that begins a sentence."""
    return text[0].upper() + text[1:]


def as_given(value: float) -> str:
    """A number of the original study, with the decimals that it gave."""
    return prose(str(value))


def chart(table: list[Line]) -> str:
    """SVG of the table's lines: a grey dot is noisy, a diamond the original's best, the rest ours.

    It is drawn twice, the second time for narrow screens, where a name stands above its line.
    Colours of ink and paper are the page's.
    """
    return _chart(table, WIDE) + _chart(table, PHONE)


def _chart(table: list[Line], frame: Frame) -> str:
    bottom = TOP + frame.row * len(table)
    marks = []
    for tick in frame.ticks:
        x = place(tick, frame)
        text = f"{tick:g}".replace("-", "\N{MINUS SIGN}")
        marks.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{bottom}"/>')
        marks.append(f'<text x="{x}" y="{TOP - 12}" text-anchor="middle">{text}</text>')
    for index, line in enumerate(table):
        marks += _row(line, TOP + frame.row * (index + 0.5), frame)
    return (
        f'<svg class="chart {frame.name}" viewBox="0 0 {frame.width} {bottom + 4}" '
        f'aria-hidden="true">{"".join(marks)}</svg>'
    )


def place(score: float, frame: Frame | None = None) -> float:
    """Where a wSDR lies, in pixels from the left; perfect is at the right."""
    frame = frame or WIDE
    distance = min(max(score - LIMIT, NEAR), FAR)
    share = math.log(FAR / distance) / math.log(FAR / NEAR)
    return round(frame.left + share * (frame.right - frame.left), 1)


def _row(line: Line, y: float, frame: Frame) -> list[str]:
    at = (0, y + 4) if frame.left > 100 else (0, y - 13)
    marks = [f'<text class="name" x="{at[0]}" y="{at[1]}">{line.name}</text>']
    marks.append(f'<line class="grid" x1="{frame.left}" x2="{frame.right}" y1="{y}" y2="{y}"/>')
    marks.append(_dot(line.noisy, colour("noisy"), y, frame))
    if line.volume:
        x = place(line.volume_alone["denoised"], frame)
        tone = colour("noisy")
        marks.append(f'<line x1="{x}" x2="{x}" y1="{y - 8}" y2="{y + 8}" stroke="{tone}"/>')
    # Those that lie at the same place stand one above the other, so that each can be seen.
    taken: list[float] = []
    x = place(line.original[1], frame)
    marks.append(f'<path class="original" d="M{x} {y - 7}l6 7-6 7-6-7z"/>')
    for model in NETWORKS:
        if model in line.scored:
            x = place(line.rows[model]["denoised"], frame)
            near = sum(abs(x - other) < 9 for other in taken)
            taken.append(x)
            marks += _network(line.rows[model], colour(model), y + (0, 7, -7)[near % 3], frame)
    return marks


def _network(row: Row, tone: str, y: float, frame: Frame) -> list[str]:
    marks = []
    if row["ci95"]:
        low, high = (place(each, frame) for each in row["ci95"])
        marks.append(f'<line x1="{low}" x2="{high}" y1="{y}" y2="{y}" stroke="{tone}"/>')
    return [*marks, _dot(row["denoised"], tone, y, frame)]


def _dot(score: float, tone: str, y: float, frame: Frame) -> str:
    return f'<circle cx="{place(score, frame)}" cy="{y}" r="4" fill="{tone}"/>'
