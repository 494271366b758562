"""README's results table, written from the published results.json: no number in it is typed."""

from denoise_lib.errors import UserError
from denoise_lib.names import label, number
from denoise_lib.report import glance

START = "<!-- results: written by `make publish` from docs/results.json -->"
END = "<!-- end of results -->"
TITLES = {
    "test": "Clips of the training voices, not used in training",
    "unseen_voice": "A voice and a language never heard in training",
}


def table(results):
    """The results as Markdown.

    Args:
        results: content of a results.json.

    Returns:
        Two tables of wSDR, one per split, each value with its 95 % interval where it has one, and
        a line on where the numbers come from.
    """
    text = []
    networks = glance.models(glance.lines(results["results"]))
    for split, title in TITLES.items():
        lines = glance.lines(results["results"], split)
        # The original study had no voice of its own to keep out of training.
        original = ["original study"] if split == "test" else []
        columns = ["noisy", *original, *map(label, networks), "limit"]
        if lines:
            text += [f"**{title}**", "", f"| | {' | '.join(columns)} |"]
            text += ["|---|" + "--:|" * len(columns)]
            text += [_row(line, networks, bool(original)) for line in lines] + [""]
    past = results["provenance"]
    counts = sorted(
        {
            row["n"]
            for split in TITLES
            for line in glance.lines(results["results"], split)
            for row in line.rows.values()
        }
    )
    text.append(
        f"wSDR: lower is better, {number(glance.LIMIT, 0)} is perfect; means over "
        f"{' to '.join(map(str, dict.fromkeys([counts[0], counts[-1]])))} test clips with 95 % "
        f"intervals. {glance.ORIGINAL_NOTE} Profile `{results['profile']}`, commit "
        f"`{past['commit'][:7]}`, {round(sum(past['seconds'].values()) / 60)} minutes on "
        f"{past['machine']['cores']} cores."
    )
    return "\n".join(text)


def _row(line, networks, original):
    cells = [number(line.noisy), *([number(line.original[1])] if original else [])]
    for model in networks:
        row = line.rows.get(model)
        cells.append(
            f"{number(row['denoised'])} {glance.interval(row)}".strip() if row else number(None)
        )
    return f"| {line.name} | {' | '.join([*cells, number(line.limit, 0)])} |"


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
