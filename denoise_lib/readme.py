"""README's results table, written from the published results.json: no number in it is typed."""

from .errors import UserError
from .labels import label, number

# Lines of the table: condition, experiment within its notebook, name, and the best result of the
# original study there (VCTK at 48 kHz, test clips).
LINES = [
    ("both", "", "zeroing and raising", -0.926),
    ("zero", "", "zeroing alone", -0.92),
    ("raise", "", "raising alone", -0.99),
    ("street", ":before", "street noise, trained on the damage above", -0.5),
    ("street", ":retrained", "street noise, retrained on it", -0.94),
]
START = "<!-- results: written by `make publish` from docs/results.json -->"
END = "<!-- end of results -->"
ORIGINAL = {"test": ["original study"], "unseen_voice": []}  # columns: it had no such split
MODELS = ["autoencoder", "wavenet", "dcunet"]


def table(results):
    """The results as Markdown.

    Args:
        results: content of a results.json.

    Returns:
        Two tables of wSDR, one per split, each value with its 95 % interval where it has one, and a
        line on where the numbers come from.
    """
    lines = []
    for split, title in [
        ("test", "Clips of the training voices, not used in training"),
        ("unseen_voice", "A voice and a language never heard in training"),
    ]:
        columns = ["", "noisy", *ORIGINAL[split], *map(label, MODELS), "limit"]
        found = [_line(results["results"], split, *row) for row in LINES]
        if any(found):
            lines += [
                f"**{title}**",
                "",
                f"| {' | '.join(columns)} |".replace("|  |", "| |"),
                "|---|" + "--:|" * (len(columns) - 1),
                *filter(None, found),
                "",
            ]
    past = results["provenance"]
    counts = sorted(
        {
            row["n"]
            for row in results["results"]
            if row["metric"] == "wsdr" and row["split"] == "test"
        }
    )
    lines.append(
        f"wSDR: lower is better, {number(-1, 0)} is perfect. Means over {_span(counts)} clips, with "
        "95 % intervals. The original study used other recordings (VCTK at 48 kHz), so its column is "
        f"a reference, not a ranking. Profile `{results['profile']}`, commit "
        f"`{(past['commit'] or 'unknown')[:7]}`, {round(sum(past['seconds'].values()) / 60)} minutes "
        f"on {past['machine']['cores']} cores."
    )
    return "\n".join(lines)


def _line(rows, split, condition, experiment, name, original):
    """One line of the table, or None when no model was scored on it."""
    found = {}
    for row in rows:
        same = (row["condition"], row["split"], row["metric"]) == (condition, split, "wsdr")
        if same and (not experiment or row["experiment"].endswith(experiment)):
            found.setdefault(row["model"], row)
    noisy = next((found[model]["noisy"] for model in reversed(MODELS) if model in found), None)
    if noisy is None:
        return None
    # The damage can be undone exactly where its positions are known; nothing such holds of a street.
    limit = -1 if condition != "street" else None
    cells = [
        number(noisy),
        *(number(original) for _ in ORIGINAL[split]),
        *(_cell(found.get(model)) for model in MODELS),
        number(limit, 0),
    ]
    return f"| {name} | {' | '.join(cells)} |"


def _cell(row):
    if row is None or row["denoised"] is None:
        return number(None)
    low_high = f" [{', '.join(map(number, row['ci95']))}]" if row["ci95"] else ""
    return number(row["denoised"]) + low_high


def _span(counts):
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def rewritten(text, results):
    """README's text with the table of these results between its two markers.

    Raises:
        UserError: a marker is missing.
    """
    if not 0 <= text.find(START) < text.find(END):
        raise UserError(
            f"README.md has no results table to rewrite: put {START} and {END} around it"
        )
    before, rest = text.split(START, 1)
    return f"{before}{START}\n\n{table(results)}\n\n{END}{rest.split(END, 1)[1]}"
