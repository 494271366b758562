"""What a notebook shows beside players: a figure with its caption, a table, a verdict.

A figure is an SVG image that carries its own paper, light or dark after the reader's setting, and
prints in black on white. Spectrograms inside it are WebP images, which keeps the page small.
"""

from __future__ import annotations

import base64
import html
import io
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from denoise_lib.display.mean import Mean, footnote
from denoise_lib.display.style import DARK, styled
from denoise_lib.names import number, prose


def show(figure: Figure, caption: str) -> None:
    """Display a figure with its caption, and close it.

    Args:
        figure: A matplotlib figure.
        caption: Its one message, plain text; also for those who do not see the figure.
    """
    image = base64.b64encode(_svg(figure).encode()).decode()
    caption = html.escape(prose(caption))
    _display(
        f'<figure class="figure"><img alt="{caption}" src="data:image/svg+xml;base64,{image}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )
    figure.clear()


def verdict(text: str) -> None:
    """Display the sentence that a section ends in."""
    _display(f'<p class="verdict">{html.escape(prose(text))}</p>')


def table(
    rows: Sequence[dict | Sequence],
    columns: Sequence[str] | dict[str, str],
    caption: str = "",
    decimals: int | None = None,
) -> None:
    """Display a table; columns of numbers are set in tabular figures, right-aligned.

    Means are shown with their interval and with what is missing; the caption then ends in over how
    many clips and voices they are.

    Args:
        rows: Dicts, or sequences in the order of ``columns``.
        columns: The keys, which are the headings, or {key: heading}.
        caption: Plain text above the table.
        decimals: Places of floats; when left out 3, and for means those of the measure. None and
            NaN become a dash.
    """
    headings = columns if isinstance(columns, dict) else {key: key for key in columns}
    values = [
        [row.get(key) for key in headings] if isinstance(row, dict) else list(row) for row in rows
    ]
    numeric = [
        any(_is_number(row[i]) for row in values)
        and all(row[i] is None or _is_number(row[i]) for row in values)
        for i in range(len(headings))
    ]
    kind = [' class="number"' if yes else "" for yes in numeric]
    means = [value for row in values for value in row if isinstance(value, Mean)]
    caption = " ".join(filter(None, [caption, footnote(means)]))
    lines = ['<div class="table"><table>']
    if caption:
        lines.append(f"<caption>{html.escape(prose(caption))}</caption>")
    head = (
        f'<th scope="col"{k}>{html.escape(str(h))}</th>'
        for h, k in zip(headings.values(), kind, strict=True)
    )
    lines.append(f"<thead><tr>{''.join(head)}</tr></thead><tbody>")
    for row in values:
        cells = (f"<td{k}>{_cell(v, decimals)}</td>" for v, k in zip(row, kind, strict=True))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    _display("\n".join([*lines, "</tbody></table></div>"]))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _cell(value: Any, decimals: int | None) -> str:
    """Content of a cell as HTML."""
    if isinstance(value, Mean):
        kinds = ("", "interval", "lacking")
        parts = zip(kinds, map(html.escape, value.texts(decimals)), strict=True)
        return " ".join(
            f'<span class="{kind}">{part}</span>' if kind else part for kind, part in parts if part
        )
    return html.escape(_text(value, 3 if decimals is None else decimals))


def _text(value: Any, decimals: int) -> str:
    if value is None or isinstance(value, (float, np.floating)):
        return number(value, decimals)
    if isinstance(value, (int, np.integer)) and abs(value) >= 10_000:
        return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return str(value)


def _display(source: str) -> None:
    # Here, not at the top: the library draws and tests without IPython.
    from IPython.display import HTML, display

    display(HTML(source))


@styled
def _svg(figure: Figure) -> str:
    """The figure as SVG text with light and dark inks and small images."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "constrained_layout not applied")
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace("'DejaVu Sans'", "system-ui, 'Segoe UI', sans-serif")
    text = re.sub(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)", _as_webp, text)
    # A tenth of a pixel is all a screen shows; matplotlib writes millionths.
    text = re.sub(r' d="[^"]+"', lambda m: re.sub(r"(\.\d)\d+", r"\1", m[0]), text)
    light, dark = [], []
    for index, (tone, night) in enumerate(DARK.items()):
        text = text.replace(tone, f"var(--t{index})")
        light.append(f"--t{index}:{tone}")
        dark.append(f"--t{index}:{night}")
    style = (
        f"svg{{{';'.join(light)}}}@media (prefers-color-scheme: dark){{svg{{{';'.join(dark)}}}}}"
    )
    return text.replace("<defs>", f"<style>{style}</style><defs>", 1)


def _as_webp(match: re.Match[str]) -> str:
    """The data URI of a PNG image as one of a WebP image."""
    image = Image.open(io.BytesIO(base64.b64decode(match[1]))).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=70, method=6)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
