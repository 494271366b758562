"""Draw the diagrams of this folder: ``python pics/draw.py`` rewrites the SVG files.

Numbers in them come from the library: the damage is really made, the networks are asked for their
sizes. Each is a card, light or dark by the reader's setting, with its text as text.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from denoise_lib import RATE, Corruption
from denoise_lib.display.style import DARK, INK, PAPER, QUIET
from denoise_lib.models import DCUnet, DenoisingWaveNet
from denoise_lib.models.dcunet import LAYERS
from denoise_lib.names import colour as tone

FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
LINE, CARD, FILL = "#c9ccd2", "#fbfbfa", "#eef0f3"
LILAC, PALE_LILAC, PALE_BLUE = "#e9e2f5", "#f6f3fb", "#dcebf8"
ZERO, RAISE, ACCENT = tone("zero"), tone("raise"), tone("wavenet")
GREYS = ["#f2f2f0", "#d8d8d6", "#b4b4b3", "#8a8a8a", "#5e5e5f", "#333436"]
# By night the card is dark and its text light; what shows data keeps its colour.
NIGHT = " ".join(
    f'[{part}="{day}"] {{ {part}: {night}; }}'
    for day, night in {
        CARD: DARK[PAPER],
        FILL: "#2a2e34",
        LILAC: "#3d3455",
        PALE_LILAC: "#26232f",
        PALE_BLUE: "#1e3a54",
        LINE: "#4a4f58",
        INK: DARK[INK],
        QUIET: DARK[QUIET],
    }.items()
    for part in ("fill", "stroke")
)


class Svg:
    """A card of some width and height, in pixels, that shapes and text are put on."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" font-family="{FONT}">',
            f"<title>{escape(title)}</title>",
            f"<style>@media (prefers-color-scheme: dark) {{ {NIGHT} }}</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            f'markerHeight="7" orient="auto"><path d="M0 0.5L8 4L0 7.5z" fill="{QUIET}"/></marker>'
            "</defs>",
            f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="10" '
            f'fill="{CARD}" stroke="{LINE}"/>',
        ]

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 12,
        fill: str = INK,
        anchor: str = "middle",
        weight: int = 400,
        style: str = "normal",
    ) -> None:
        """A line of text on the base line ``y``."""
        extra = f' font-weight="{weight}"' if weight != 400 else ""
        extra += f' font-style="{style}"' if style != "normal" else ""
        self.parts.append(
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="{size}" fill="{fill}" '
            f'text-anchor="{anchor}"{extra}>{escape(text)}</text>'
        )

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        lines: Sequence[str] = (),
        fill: str = FILL,
        stroke: str = LINE,
        dash: str = "",
        radius: int = 6,
    ) -> None:
        """A rectangle with lines of text in its middle, the first of them bold."""
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" '
            f'rx="{radius}" fill="{fill}" stroke="{stroke}"{extra}/>'
        )
        top = y + height / 2 - 8 * (len(lines) - 1) + 4
        for index, line in enumerate(lines):
            weight, ink = (600, INK) if index == 0 else (400, QUIET)
            self.text(x + width / 2, top + 16 * index, line, 12, ink, weight=weight)

    def path(
        self,
        d: str,
        stroke: str = QUIET,
        width: float = 1.4,
        fill: str = "none",
        arrow: bool = False,
        dash: str = "",
        opacity: float = 1,
    ) -> None:
        """A path in SVG's own notation."""
        extra = ' marker-end="url(#head)"' if arrow else ""
        extra += f' stroke-dasharray="{dash}"' if dash else ""
        extra += f' opacity="{opacity}"' if opacity != 1 else ""
        self.parts.append(
            f'<path d="{d}" fill="{fill}" stroke="{stroke}" stroke-width="{width}" '
            f'stroke-linejoin="round"{extra}/>'
        )

    def arrow(self, *points: tuple[float, float], dash: str = "") -> None:
        """A line through points (x, y) with a head at its end."""
        d = "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points)
        self.path(d, arrow=True, dash=dash)

    def circle(
        self,
        x: float,
        y: float,
        radius: float,
        fill: str = CARD,
        stroke: str = QUIET,
        sign: str = "",
    ) -> None:
        """A circle about (x, y), with a sign in it."""
        self.parts.append(
            f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" fill="{fill}" stroke="{stroke}"/>'
        )
        if sign:
            self.text(x, y + 5, sign, 15)

    def waveform(
        self, x: float, y: float, width: int, height: float, samples: NDArray, colour: str
    ) -> None:
        """The envelope of a waveform, (time,), full height = its largest sample."""
        columns = np.array_split(samples, width)
        scale = height / 2 / np.abs(samples).max()
        top = [f"{x + i} {_n(y - column.max() * scale)}" for i, column in enumerate(columns)]
        bottom = [f"{x + i} {_n(y - column.min() * scale)}" for i, column in enumerate(columns)]
        outline = "L".join(top + bottom[::-1])
        self.path(f"M{outline}z", stroke=colour, width=0.8, fill=colour)

    def cells(
        self, x: float, y: float, cell: tuple[float, float], grid: NDArray, fills: Sequence[str]
    ) -> None:
        """A grid of coloured cells, ``grid[row, column]`` = index of a fill; rows go upwards."""
        width, height = cell
        rows, columns = grid.shape
        for value, fill in enumerate(fills):
            runs = []
            for row in range(rows):
                hit = np.flatnonzero(np.diff(np.r_[0, grid[row] == value, 0]))
                for start, end in hit.reshape(-1, 2):
                    left, top = x + start * width, y + (rows - 1 - row) * height
                    across = _n((end - start) * width)
                    runs.append(f"M{_n(left)} {_n(top)}h{across}v{_n(height)}H{_n(left)}z")
            if runs:
                self.parts.append(
                    f'<path d="{"".join(runs)}" fill="{fill}" shape-rendering="crispEdges"/>'
                )

    def __str__(self) -> str:
        return "\n".join([*self.parts, "</svg>\n"])


def _n(value: float) -> str:
    """A coordinate, rounded to a tenth of a pixel: the same digits on every machine."""
    return f"{round(float(value), 1):g}"


def voice() -> Tensor:
    """A vowel-like sound at the procedure's level, (time,): gliding harmonics, two formants."""
    seconds = 0.9
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = 150 + 45 * np.sin(2 * np.pi * 1.1 * time)  # Hz
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    wave = np.zeros_like(time)
    for harmonic in range(1, 30):
        frequency = harmonic * pitch
        peaks = np.exp(-(((frequency - 500) / 260) ** 2)) + 0.5 * np.exp(
            -(((frequency - 1500) / 330) ** 2)
        )
        wave += (peaks + 0.01) * np.cos(harmonic * phase)
    wave *= np.sin(np.pi * np.minimum(1, time / seconds)) ** 2 * (
        0.35 + np.sin(2 * np.pi * 2.4 * time) ** 2
    )
    wave += 0.004 * np.random.default_rng(0).normal(size=time.size)
    return torch.tensor(wave * 0.05 / np.sqrt(np.mean(wave**2)), dtype=torch.float32)


class Steps(NamedTuple):
    """What the damage makes of a short clip, and what is said of each step."""

    damage: Corruption
    clean: NDArray
    noisy: NDArray
    grids: tuple[NDArray, NDArray, NDArray]  # magnitudes, then with zeroed, then with raised cells
    captions: list[tuple[str, ...]]  # a name and lines of text


def damage_steps() -> Steps:
    """The fixed damage of a made-up vowel, step by step."""
    damage = Corruption()
    clean = voice()
    spectrum = damage.stft(clean[None])
    positions = damage.draw(spectrum, torch.Generator().manual_seed(1))
    noisy = damage.istft(damage.apply(spectrum, positions), len(clean))[0]

    bins, frames = slice(0, 80), slice(24, 64)  # 0 to 2 kHz, 0.4 s
    decibel = 20 * np.log10(spectrum[0].abs().numpy()[bins, frames] + 1e-9)
    level = np.clip((decibel + 30) / 60 * len(GREYS), 0, len(GREYS) - 1).astype(int)
    was_zeroed, was_raised = (mask[0].numpy()[bins, frames] for mask in positions)
    first = np.where(was_zeroed, len(GREYS), level)
    second = np.where(was_raised, len(GREYS) + 1, first)

    shares = (1 - damage.quantile, damage.zero, damage.quantile, damage.raised)
    large, zero, small, raised = (f"{100 * share:.0f}\N{NO-BREAK SPACE}%" for share in shares)
    captions = [
        ("clean speech x", "16 kHz, RMS \N{MINUS SIGN}26 dBFS"),
        ("|X|", f"frames of {damage.n_fft} samples,", f"hop {damage.hop}, rectangular"),
        ("1. zero", f"of the largest {large},", f"a random {zero} become 0"),
        ("2. raise", f"of the smallest {small},", f"a random {raised} become {damage.value:g}"),
        ("damaged speech y", "of the same length"),
    ]
    grids = (level, first, second)
    return Steps(damage, clean.numpy(), noisy.numpy(), grids, captions)


def noise_pipeline() -> Svg:
    """The fixed damage from left to right."""
    steps = damage_steps()
    damage, captions = steps.damage, steps.captions
    width, size, gap, left, top = 1040, 160, 46, 28, 30
    svg = Svg(width, 316, "The fixed damage: speech, STFT, zero, raise, inverse STFT")
    x = [left + index * (size + gap) for index in range(5)]
    middle = top + size / 2
    svg.waveform(x[0], middle, size, size * 0.7, steps.clean, tone("clean"))
    for place, grid in zip(x[1:4], steps.grids, strict=True):
        svg.cells(place, top, (4, 2), grid, [*GREYS, ZERO, RAISE])
    svg.waveform(x[4], middle, size, size * 0.7, steps.noisy, tone("noisy"))
    for place, name in zip(x, ["STFT", "zero", "raise", "iSTFT"], strict=False):
        svg.arrow((place + size + 7, middle), (place + size + gap - 6, middle))
        svg.text(place + size + gap / 2, middle - 9, name, 11.5, QUIET)
    for place, (name, *lines) in zip(x, captions, strict=True):
        svg.text(place + size / 2, top + size + 26, name, 14, weight=600)
        for index, line in enumerate(lines):
            svg.text(place + size / 2, top + size + 46 + 17 * index, line, 12, QUIET)
    y = top + size + 92
    svg.text(x[1] + 52, y + 10, "\N{MINUS SIGN}30 dB", 12, QUIET, "end")
    for index, grey in enumerate(GREYS):
        svg.box(x[1] + 60 + 18 * index, y, 18, 12, fill=grey, stroke="none", radius=0)
    svg.text(x[1] + 60 + 18 * len(GREYS) + 8, y + 10, "30 dB", 12, QUIET, "start")
    names = [(ZERO, "set to 0"), (RAISE, f"set to {damage.value:g}")]
    for place, (colour, name) in zip((x[2] + 60, x[2] + 160), names, strict=True):
        svg.box(place, y, 12, 12, fill=colour, stroke="none", radius=0)
        svg.text(place + 18, y + 10, name, 12, QUIET, "start")
    svg.text(x[3] + 68, y + 10, "shown: 0 to 2 kHz, 0.4 s", 12, QUIET, "start")
    return svg


def noise_pipeline_narrow() -> Svg:
    """The fixed damage from top to bottom, for a phone."""
    steps, width, size, row, left, top = damage_steps(), 340, 120, 152, 18, 18
    svg = Svg(
        width, top + 5 * row + 52, "The fixed damage: speech, STFT, zero, raise, inverse STFT"
    )
    y = [top + row * index for index in range(5)]
    svg.waveform(left, y[0] + size / 2, size, size * 0.7, steps.clean, tone("clean"))
    for place, grid in zip(y[1:4], steps.grids, strict=True):
        # A quarter of what the wide one shows, so that the cells can be told apart.
        svg.cells(left, place, (6, 3), grid[:40, 10:30], [*GREYS, ZERO, RAISE])
    svg.waveform(left, y[4] + size / 2, size, size * 0.7, steps.noisy, tone("noisy"))
    for place, name in zip(y, ["STFT", "zero", "raise", "iSTFT"], strict=False):
        svg.arrow((left + size / 2, place + size + 4), (left + size / 2, place + row - 4))
        svg.text(left + size / 2 + 10, place + size + 20, name, 12, QUIET, "start")
    for place, (name, *lines) in zip(y, steps.captions, strict=True):
        svg.text(left + size + 18, place + size / 2 - 12, name, 14, anchor="start", weight=600)
        for index, line in enumerate(lines):
            svg.text(left + size + 18, place + size / 2 + 8 + 17 * index, line, 12, QUIET, "start")
    bottom = y[4] + size + 12
    for x, (tint, name) in zip(
        (left, left + 100),
        [(ZERO, "set to 0"), (RAISE, f"set to {steps.damage.value:g}")],
        strict=True,
    ):
        svg.box(x, bottom, 12, 12, fill=tint, stroke="none", radius=0)
        svg.text(x + 18, bottom + 10, name, 12, QUIET, "start")
    svg.text(
        left,
        bottom + 32,
        "30 dB is dark, \N{MINUS SIGN}30 dB light; 0 to 1 kHz, 0.2 s",
        12,
        QUIET,
        "start",
    )
    return svg


def wavenet() -> Svg:
    """The denoising WaveNet: the network, one layer of it, what its output sees."""
    model = DenoisingWaveNet.from_preset("paper")
    config = model.config
    stacks, channels = config["stacks"], config["channels"]
    svg = Svg(1040, 664, "Denoising WaveNet after Rethage, Pons and Serra, 2018")
    last = 2 ** (config["depth"] - 1)

    # The whole network, left to right.
    svg.text(28, 36, "The network", 14, anchor="start", weight=600)
    y, height = 56, 66
    dilations = f"{stacks} \u00d7 dilations 1, 2, 4 \u2026 {last}"
    blocks = [
        (110, ["3\u00d71 conv", f"{channels} channels"]),
        (192, [f"{len(model.layers)} gated layers", dilations]),
        (116, ["\u03a3 of the skips", f"{channels} channels"]),
        (122, ["ReLU, 3\u00d71 conv", f"{config['final'][0]:,} channels"]),
        (122, ["ReLU, 3\u00d71 conv", f"{config['final'][1]:,} channels"]),
        (122, ["ReLU, 1\u00d71 conv", "1 channel"]),
    ]
    x, gap = 84, 20
    svg.text(28, y + height / 2 - 4, "noisy", 12, QUIET, "start")
    svg.text(28, y + height / 2 + 12, "wave", 12, QUIET, "start")
    edges = []
    for size, lines in blocks:
        svg.arrow((x - gap + 3, y + height / 2), (x - 3, y + height / 2))
        svg.box(x, y, size, height, lines, fill=LILAC if "gated" in lines[0] else FILL)
        edges.append((x, x + size))
        x += size + gap
    svg.arrow((x - gap + 3, y + height / 2), (x - 3, y + height / 2))
    svg.text(x + 2, y + height / 2 - 4, "target", 12, QUIET, "start")
    svg.text(x + 2, y + height / 2 + 12, "field", 12, QUIET, "start")

    # One gated layer.
    top, base = 172, 282
    svg.box(edges[0][0], top, 710, 186, fill=PALE_LILAC, stroke=ACCENT, dash="4 3")
    svg.path(f"M{edges[1][0] + 30} {y + height}L{edges[0][0] + 60} {top}", ACCENT, 1, dash="4 3")
    svg.path(f"M{edges[1][1] - 30} {y + height}L{edges[0][0] + 650} {top}", ACCENT, 1, dash="4 3")
    left = edges[0][0]
    svg.text(left + 16, top + 24, "One gated layer", 14, anchor="start", weight=600)
    svg.text(28, base + 4, "input", 12, QUIET, "start")
    svg.arrow((66, base), (left + 47, base))
    conv = ["3\u00d71 conv", f"dilation d, {2 * channels} ch"]
    svg.box(left + 50, base - 28, 136, 56, conv, fill=CARD)
    start, turn, end = left + 186, left + 206, left + 233
    svg.arrow((start, base), (turn, base), (turn, base - 32), (end, base - 32))
    svg.arrow((start, base), (turn, base), (turn, base + 32), (end, base + 32))
    svg.box(left + 236, base - 50, 76, 36, ["tanh"], fill=CARD)
    svg.box(left + 236, base + 14, 76, 36, ["sigmoid"], fill=CARD)
    svg.arrow((left + 312, base - 32), (left + 354, base - 32), (left + 354, base - 15))
    svg.arrow((left + 312, base + 32), (left + 354, base + 32), (left + 354, base + 15))
    svg.circle(left + 354, base, 12, sign="\u00d7")
    svg.arrow((left + 366, base), (left + 405, base))
    svg.box(left + 408, base - 22, 104, 44, ["1\u00d71 conv", f"{2 * channels} ch"], fill=CARD)
    svg.arrow((left + 512, base), (left + 605, base))
    svg.circle(left + 620, base, 12, sign="+")
    svg.arrow((left + 632, base), (left + 740, base))
    svg.text(left + 746, base + 4, "next layer", 12, QUIET, "start")
    start, end = left + 22, left + 620
    svg.arrow((start, base), (start, base + 64), (end, base + 64), (end, base + 15))
    svg.text(left + 430, base + 58, "residual, cropped by d at both ends", 12, QUIET)
    svg.arrow((left + 560, base), (left + 560, base - 66), (left + 740, base - 66))
    svg.text(left + 746, base - 62, "\u03a3 of the skips", 12, QUIET, "start")
    svg.text(left + 628, base - 73, "one half: skip", 12, QUIET)
    svg.text(left + 664, base - 8, "sum", 12, QUIET)
    svg.text(left + 586, base + 18, "other half", 12, QUIET, "end")

    # What one output sample sees.
    svg.text(28, 402, "What the output sees", 14, anchor="start", weight=600)
    field = model.receptive_field
    seen = (
        f"Drawn: one stack of dilations 1 to 8. With {stacks} stacks up to {last}, a sample "
        f"depends on {field:,} samples ({1000 * field / RATE:.0f} ms), as many after it as before."
    )
    svg.text(28, 424, seen, 12, QUIET, "start")
    _fan(svg, 458, 44)
    return svg


def wavenet_narrow() -> Svg:
    """The denoising WaveNet from top to bottom, for a phone."""
    model = DenoisingWaveNet.from_preset("paper")
    config = model.config
    channels, last = config["channels"], 2 ** (config["depth"] - 1)
    svg = Svg(340, 826, "Denoising WaveNet after Rethage, Pons and Serra, 2018")
    svg.text(18, 30, "The network", 14, anchor="start", weight=600)
    dilations = f"{config['stacks']} \u00d7 dilations 1, 2, 4 \u2026 {last}"
    blocks = [
        ["3\u00d71 conv", f"{channels} channels"],
        [f"{len(model.layers)} gated layers", dilations],
        ["\u03a3 of the skips", f"{channels} channels"],
        ["ReLU, 3\u00d71 conv", f"{config['final'][0]:,} channels"],
        ["ReLU, 3\u00d71 conv", f"{config['final'][1]:,} channels"],
        ["ReLU, 1\u00d71 conv", "1 channel"],
    ]
    svg.text(170, 52, "noisy wave", 12, QUIET)
    y = 74
    for lines in blocks:
        svg.arrow((170, y - 17), (170, y - 3))
        svg.box(70, y, 200, 40, lines, fill=LILAC if "gated" in lines[0] else FILL)
        y += 57
    svg.arrow((170, y - 17), (170, y - 3))
    svg.text(170, y + 11, "target field", 12, QUIET)

    # One gated layer.
    top = y + 32
    svg.box(12, top, 316, 318, fill=PALE_LILAC, stroke=ACCENT, dash="4 3")
    svg.text(26, top + 24, "One gated layer", 14, anchor="start", weight=600)
    conv = ["3\u00d71 conv", f"dilation d, {2 * channels} ch"]
    svg.text(170, top + 46, "input", 12, QUIET)
    svg.arrow((170, top + 51), (170, top + 65))
    svg.box(90, top + 68, 160, 40, conv, fill=CARD)
    svg.arrow((130, top + 108), (130, top + 125))
    svg.arrow((210, top + 108), (210, top + 125))
    svg.box(92, top + 128, 72, 30, ["tanh"], fill=CARD)
    svg.box(174, top + 128, 76, 30, ["sigmoid"], fill=CARD)
    svg.arrow((130, top + 158), (130, top + 182), (155, top + 182))
    svg.arrow((210, top + 158), (210, top + 182), (185, top + 182))
    svg.circle(170, top + 182, 12, sign="\u00d7")
    svg.arrow((170, top + 194), (170, top + 207))
    svg.box(110, top + 210, 120, 40, ["1\u00d71 conv", f"{2 * channels} ch"], fill=CARD)
    svg.arrow((140, top + 250), (140, top + 275))
    svg.circle(140, top + 290, 12, sign="+")
    svg.arrow((90, top + 56), (44, top + 56), (44, top + 290), (125, top + 290))
    svg.path(f"M90 {top + 56}L170 {top + 56}")
    svg.text(52, top + 282, "residual", 12, QUIET, "start")
    svg.arrow((152, top + 290), (196, top + 290))
    svg.text(202, top + 294, "next layer", 12, QUIET, "start")
    svg.arrow((230, top + 230), (248, top + 230))
    svg.text(254, top + 227, "skip, to", 12, QUIET, "start")
    svg.text(254, top + 243, "the \u03a3", 12, QUIET, "start")

    field = model.receptive_field
    svg.text(18, top + 342, f"A sample of the output depends on {field:,}", 12, QUIET, "start")
    svg.text(
        18, top + 358, f"samples ({1000 * field / RATE:.0f} ms) of the input.", 12, QUIET, "start"
    )
    return svg


def _fan(svg: Svg, top: int, step: int) -> None:
    """Rows of samples, input lowest, and the lines that lead to one sample of the target field."""
    dilations, field, spacing, centre = [1, 2, 4, 8], 5, 22, 560
    names = ["input", *(f"dilation {dilation}" for dilation in dilations)]
    reach = [sum(dilations) + field // 2]  # samples on either side of the centre, from the input up
    for dilation in dilations:
        reach.append(reach[-1] - dilation)
    heights = [top + step * (len(dilations) - level) for level in range(len(names))]

    def place(sample: int, level: int) -> tuple[int, int]:
        return centre + spacing * sample, heights[level]

    wanted = {0}
    lines, seen = [], {len(dilations): wanted}
    for level in range(len(dilations), 0, -1):
        dilation = dilations[level - 1]
        below = {sample + shift for sample in wanted for shift in (-dilation, 0, dilation)}
        for sample in sorted(wanted):
            for shift in (-dilation, 0, dilation):
                (x1, y1), (x2, y2) = place(sample + shift, level - 1), place(sample, level)
                lines.append(f"M{_n(x1)} {_n(y1)}L{_n(x2)} {_n(y2)}")
        wanted = seen[level - 1] = below
    svg.path("".join(lines), ACCENT, 1.1, opacity=0.65)
    x, y = place(-(field // 2), len(dilations))
    svg.box(x - 11, y - 11, (field - 1) * spacing + 22, 22, fill="none", stroke=ACCENT, radius=11)
    end = x + (field - 1) * spacing + 22
    svg.text(end, y + 4, "target field: all its samples at once", 12, QUIET, "start")
    for level, name in enumerate(names):
        svg.text(132, heights[level] + 4, name, 12, QUIET, "end")
        for sample in range(-reach[level], reach[level] + 1):
            on = sample in seen[level]
            x, y = place(sample, level)
            radius, fill, stroke = (4.5, ACCENT, ACCENT) if on else (3.5, CARD, LINE)
            svg.circle(x, y, radius, fill, stroke)


def dcunet() -> Svg:
    """The Deep Complex U-Net, with what it takes and gives."""
    table = LAYERS["dcunet10"]
    model = DCUnet.from_preset("10")
    width = 1040
    svg = Svg(width, 540, "Deep Complex U-Net after Choi et al., 2019")
    row, size, indent = 58, (178, 44), 28
    top, line, left, right = 158, 48, 172, width - 172
    down, up = left + size[0] / 2, right - size[0] / 2  # x of the first encoder and last decoder

    # Waveform and spectrum in; mask times spectrum, and waveform out.
    clean = voice()
    noisy = Corruption()(clean, torch.Generator().manual_seed(1))
    for x, name, samples, colour, what in [
        (76, "STFT", noisy, "noisy", "noisy speech"),
        (width - 76, "iSTFT", clean, "clean", "estimate"),
    ]:
        svg.box(x - 44, line - 24, 88, 48, [name, f"{model.n_fft} / {model.hop}"])
        svg.waveform(x - 48, 140, 96, 56, samples.numpy(), tone(colour))
        svg.text(x, 188, what, 12, QUIET)
    svg.arrow((76, 106), (76, line + 27))
    svg.arrow((width - 76, line + 24), (width - 76, 105))
    svg.arrow((120, line), (up - 15, line))
    svg.text(140, line - 8, "X", 13, style="italic")
    svg.circle(down, line, 3, fill=QUIET)
    svg.arrow((down, line), (down, top - 3))
    svg.circle(up, line, 12, sign="\u00d7")
    svg.arrow((up + 12, line), (width - 123, line))
    svg.box(up - 82, 82, 164, 44, ["tanh |O| \u00b7 O / |O|", "bounded complex mask"], fill=CARD)
    svg.arrow((up, top), (up, 129))
    svg.text(up + 14, 147, "O", 13, style="italic")
    svg.arrow((up, 82), (up, line + 15))

    # Encoder down the left, decoder up the right, skips between them.
    for level, (channels, kernel, stride) in enumerate(table):
        y, shift = top + row * level, indent * level
        x1, x2 = left + shift, right - shift - size[0]
        shape = f"{kernel[0]}\u00d7{kernel[1]}, stride {stride[0]}\u00d7{stride[1]}"
        out = table[level - 1][0] if level else 1
        svg.box(x1, y, *size, [f"encoder {level + 1}", f"{shape}, {channels} ch"], fill=PALE_BLUE)
        svg.box(
            x2, y, *size, [f"decoder {len(table) - level}", f"{shape}, {out} ch"], fill=PALE_BLUE
        )
        innermost = level == len(table) - 1
        middle = y + size[1] / 2
        svg.arrow((x1 + size[0] + 2, middle), (x2 - 3, middle), dash="" if innermost else "5 4")
        if not innermost:
            svg.arrow((down + shift + 20, y + size[1]), (down + shift + 20, y + row - 3))
            svg.arrow((up - shift - 20, y + row), (up - shift - 20, y + size[1] + 3))
    svg.text(width / 2, top + size[1] / 2 - 8, "skip: joined as channels", 12, QUIET)

    small = ", ".join(str(channels) for channels, _, _ in LAYERS["small"])
    layer = (
        "Each layer is a complex convolution, "
        "(A + iB) \u2217 (x + iy) = (A\u2217x \u2212 B\u2217y) + i (B\u2217x + A\u2217y), "
        "complex batch norm and leaky CReLU; the last is the convolution alone."
    )
    sizes = (
        f"Drawn: DCUnet-10; 16 and 20 are deeper. The small one has {small} channels, reads X with "
        f"its magnitude to the power of {DCUnet.PRESETS['small']['compression']}, "
        "and adds O \u00b7 X to X."
    )
    svg.text(width / 2, 482, layer, 12, QUIET)
    svg.text(width / 2, 506, sizes, 12, QUIET)
    return svg


def dcunet_narrow() -> Svg:
    """The Deep Complex U-Net from top to bottom, for a phone."""
    table, model = LAYERS["dcunet10"], DCUnet.from_preset("10")
    deep = len(table)
    names = [(f"encoder {level + 1}", layer[0], layer) for level, layer in enumerate(table)]
    outs = [table[level - 1][0] if level else 1 for level in range(deep)]
    names += [
        (f"decoder {deep - level}", outs[level], table[level]) for level in reversed(range(deep))
    ]
    row, size, left = 50, (190, 38), 40
    svg = Svg(340, 198 + row * len(names) + 46, "Deep Complex U-Net after Choi et al., 2019")
    centre = left + size[0] / 2
    svg.text(centre, 28, "noisy speech", 12, QUIET)
    svg.arrow((centre, 34), (centre, 47))
    svg.box(left, 50, size[0], 34, [f"STFT, {model.n_fft} / {model.hop}"])
    y, places = 96, []
    for name, channels, (_, kernel, stride) in names:
        svg.arrow((centre, y - 12), (centre, y - 3))
        shape = f"{kernel[0]}\u00d7{kernel[1]}, stride {stride[0]}\u00d7{stride[1]}, {channels} ch"
        svg.box(left, y, *size, [name, shape], fill=PALE_BLUE)
        places.append(y + size[1] / 2)
        y += row
    for level in range(deep - 1):
        out = left + size[0] + 12 + 16 * (deep - 1 - level)
        start, end = places[level], places[-1 - level]
        edge = left + size[0]
        svg.arrow((edge + 2, start), (out, start), (out, end), (edge + 3, end), dash="5 4")
    svg.text(left, y + 4, "dashed: skips, joined as channels", 12, QUIET, "start")
    svg.arrow((20, 67), (20, y + 76), (left - 3, y + 76))
    svg.path(f"M{left} 67L20 67")
    svg.text(9, y + 44, "X", 13, style="italic", anchor="start")
    svg.box(
        left,
        y + 16,
        size[0],
        38,
        ["mask: tanh |O| \u00b7 O / |O|", "from the last layer\u2019s O"],
        fill=CARD,
    )
    svg.arrow((centre, y + 54), (centre, y + 61))
    svg.box(left, y + 64, size[0], 26, ["mask \u00d7 X, inverse STFT"])
    svg.text(left, y + 110, "Drawn: DCUnet-10; 16 and 20 are deeper.", 12, QUIET, "start")
    svg.text(left, y + 128, "The estimate is as long as the input.", 12, QUIET, "start")
    return svg


DIAGRAMS = {
    "noise_pipeline": noise_pipeline,
    "noise_pipeline-narrow": noise_pipeline_narrow,
    "wavenet": wavenet,
    "wavenet-narrow": wavenet_narrow,
    "dcunet": dcunet,
    "dcunet-narrow": dcunet_narrow,
}


if __name__ == "__main__":
    for name, draw in DIAGRAMS.items():
        (FOLDER / f"{name}.svg").write_text(str(draw()), encoding="utf-8")
        print(f"pics/{name}.svg")
