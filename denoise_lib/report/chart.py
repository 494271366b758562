"""The results at a glance as a drawing: how far each score is from the limit, on a log scale."""

import math

from denoise_lib.names import colour
from denoise_lib.report.glance import LIMIT, NETWORKS

FAR, NEAR = 1.05, 0.004  # distances from the limit at the two ends of the axis
LEFT, RIGHT, TOP, ROW = 200, 725, 28, 30  # pixels
TICKS = (0, -0.4, -0.6, -0.8, -0.9, -0.95, -0.98, -0.99, -0.995)


def chart(table):
    """SVG of the table's lines: a grey dot is noisy, a diamond the original's best, the rest ours.

    Colours of ink and paper are the page's.
    """
    bottom = TOP + ROW * len(table)
    marks = []
    for tick in TICKS:
        x = place(tick)
        text = f"{tick:g}".replace("-", "\N{MINUS SIGN}")
        marks.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{bottom}"/>')
        marks.append(f'<text x="{x}" y="{TOP - 12}" text-anchor="middle">{text}</text>')
    for index, line in enumerate(table):
        marks += _row(line, TOP + ROW * (index + 0.5))
    height = bottom + 4
    return (
        f'<svg class="chart" viewBox="0 0 736 {height}" aria-hidden="true">{"".join(marks)}</svg>'
    )


def place(score):
    """Where a wSDR lies, in pixels from the left; perfect is at the right."""
    distance = min(max(score - LIMIT, NEAR), FAR)
    share = math.log(FAR / distance) / math.log(FAR / NEAR)
    return round(LEFT + share * (RIGHT - LEFT), 1)


def _row(line, y):
    marks = [f'<text class="name" x="0" y="{y + 4}">{line.name}</text>']
    marks.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y}" y2="{y}"/>')
    marks.append(_dot(line.noisy, colour("noisy"), y))
    for model in NETWORKS:
        if model in line.rows:
            marks += _network(line.rows[model], colour(model), y)
    x = place(line.original[1])
    marks.append(f'<path class="original" d="M{x} {y - 7}l6 7-6 7-6-7z"/>')
    return marks


def _network(row, tone, y):
    marks = []
    if row["ci95"]:
        low, high = map(place, row["ci95"])
        marks.append(f'<line x1="{low}" x2="{high}" y1="{y}" y2="{y}" stroke="{tone}"/>')
    return [*marks, _dot(row["denoised"], tone, y)]


def _dot(score, tone, y):
    return f'<circle cx="{place(score)}" cy="{y}" r="4.5" fill="{tone}"/>'
