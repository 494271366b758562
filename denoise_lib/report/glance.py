"""Results at a glance: the table at the head of the page and the sentences above it.

Every number of ours comes from results.json.
"""

from dataclasses import dataclass

from denoise_lib.names import condition as written
from denoise_lib.names import label, number

# The original study's wSDR: (condition, what our experiments' names end in): (noisy, best, by).
# Source: the table of the original study's report, on VCTK at 48 kHz, 4.8k training clips, 483 test
# clips. Other data than ours, so the numbers stand beside ours as a mark, not as a ranking.
ORIGINAL = {
    ("both", ""): (-0.801, -0.926, "DCUnet"),
    ("zero", ""): (-0.89, -0.92, "DCUnet"),
    ("raise", ""): (-0.86, -0.99, "DCUnet"),
    ("street", ":before"): (-0.4, -0.5, "DCUnet"),
    ("street", ":retrained"): (-0.38, -0.94, "DCUnet"),
}
ORIGINAL_NOTE = (
    "The original study used VCTK at 48 kHz, with 4.8 thousand clips for training and 483 for the "
    "test; its best was a DCUnet throughout. That is other data than ours, so its numbers are a "
    "mark to measure by, not a ranking."
)
STAGES = {"": "", ":before": " (not trained on it)", ":retrained": " (retrained on it)"}
NETWORKS = ("autoencoder", "wavenet", "dcunet", "unet", "tuned unet")
# The shipped networks know streets too, so they stand where others were retrained.
SHIPPED = "08_shipped"
LIMIT = -1.0


@dataclass
class Line:
    """A line of the table: one condition, the original's numbers and a row of results per model."""

    condition: str
    stage: str
    rows: dict  # model -> row of results.json

    @property
    def name(self):
        return written(self.condition) + STAGES[self.stage]

    @property
    def limit(self):
        """What the damage allows: all of it can be undone from its positions; a street's cannot."""
        return None if self.condition == "street" else LIMIT

    @property
    def noisy(self):
        return next(iter(self.rows.values()))["noisy"]

    @property
    def best(self):
        """(model, row) of our best model: the lowest wSDR."""
        return min(self.rows.items(), key=lambda item: item[1]["denoised"])

    @property
    def original(self):
        return ORIGINAL[self.condition, self.stage]

    @property
    def outcome(self):
        """The original's best against the interval of our best: a key of OUTCOMES."""
        row = self.best[1]
        low, high = row["ci95"] or (row["denoised"], row["denoised"])
        mark = self.original[1]
        return "beaten" if high < mark else "not reached" if low > mark else "level"


def lines(results, split="test"):
    """The lines of the table that have a result, from the rows of results.json."""
    found = []
    for condition, stage in ORIGINAL:
        rows = {}
        for model in NETWORKS:
            matching = [
                row
                for row in results
                if (row["condition"], row["split"], row["metric"]) == (condition, split, "wsdr")
                and row["denoised"] is not None
                and _stands_for(row, model, stage)
            ]
            if matching:
                rows[model] = matching[0]
        if rows:
            found.append(Line(condition, stage, rows))
    return found


def _stands_for(row, model, stage):
    """Is a row of results.json this model's, in a line of this stage?"""
    if row["model"] != model:
        return False
    if row["experiment"] == SHIPPED:
        return stage != ":before"
    return row["experiment"].partition(":")[2] == stage.removeprefix(":")


def models(table):
    """Models that have a number in any line, in the order of the columns."""
    return [model for model in NETWORKS if any(model in line.rows for line in table)]


def section(row):
    """Name of the notebook that made a row: "05_street_noise:before" -> "05_street_noise"."""
    return row["experiment"].partition(":")[0]


def interval(row):
    """The interval of a row as text, or nothing where there is none."""
    return f"[{number(row['ci95'][0])}, {number(row['ci95'][1])}]" if row["ci95"] else ""


def abstract(results):
    """What came out, in sentences; each number is a number of results.json."""
    table = {(line.condition, line.stage): line for line in lines(results)}
    sentences = [_models(table["both", ""])] if ("both", "") in table else []
    single = [table[key] for key in (("zero", ""), ("raise", "")) if key in table]
    if single:
        parts = [f"for {line.name} {_change(line)}" for line in single]
        sentences.append(_sentence(" and ".join(parts)))
    sentences += _street(table.get(("street", ":before")), table.get(("street", ":retrained")))
    unseen = {line.condition: line for line in lines(results, "unseen_voice") if not line.stage}
    if "both" in unseen:
        line = unseen["both"]
        sentences.append(
            _sentence(f"for {line.name} of a voice never heard in training {_change(line)}")
        )
    if table:
        sentences.append(_against(list(table.values())))
    return sentences


def _models(line):
    model, row = line.best
    text = (
        f"on {row['n']} test clips damaged by {line.name}, the {label(model)} brings the mean wSDR "
        f"{_span(line)}, where {number(LIMIT, 0)} is perfect"
    )
    others = sorted((each for each in line.rows.items() if each[0] != model), key=_denoised)
    parts = [f"the {label(other)} {_reached(line, value)}" for other, value in others]
    return _sentence("; ".join([text, *parts]))


def _denoised(item):
    return item[1]["denoised"]


def _reached(line, row):
    """What a network did that is not the best: it may also have done harm."""
    if row["denoised"] < line.noisy:
        return f"reaches {number(row['denoised'])}"
    return f"does harm, at {number(row['denoised'])}"


def _street(before, retrained):
    parts = []
    if before:
        parts.append(
            f"on street noise, never heard in training, the {label(before.best[0])} so trained goes "
            f"{_span(before)}"
        )
    if retrained:
        parts.append(
            f"trained on other street recordings the {label(retrained.best[0])} goes "
            f"{_span(retrained)}"
        )
    return [_sentence("; ".join(parts))] if parts else []


def _against(table):
    counts = {
        outcome: [_mark(line) for line in table if line.outcome == outcome] for outcome in OUTCOMES
    }
    parts = [
        f"{OUTCOMES[outcome]} for {_listed(names)}" for outcome, names in counts.items() if names
    ]
    return _sentence("the original study’s best result, on other data, is " + "; ".join(parts))


def _mark(line):
    """A line's best result with its interval, and the original's."""
    model, row = line.best
    ours = f"{label(model)} {number(row['denoised'])} {interval(row)}".strip()
    return f"{line.name} ({ours} against {number(line.original[1])})"


OUTCOMES = {"beaten": "beaten", "level": "within our interval", "not reached": "not reached"}


def _change(line):
    return f"the {label(line.best[0])} goes {_span(line)}"


def _span(line):
    return f"from {number(line.noisy)} to {number(line.best[1]['denoised'])}"


def _listed(names):
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _sentence(text):
    return text[0].upper() + text[1:] + "."
