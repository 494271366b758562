"""What a notebook shows beside players: a figure with its caption, a table, a verdict.

A figure is an SVG image that carries its own paper, light or dark after the reader's setting, and
prints in black on white. Spectrograms inside it are WebP images, which keeps the page small.
"""

from __future__ import annotations

import base64
import html
import io
import re
import string
import warnings
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from denoise_lib.display.mean import Mean, footnote
from denoise_lib.display.narrow import make_narrow
from denoise_lib.display.style import DARK, styled
from denoise_lib.names import column, number, prose

# What stands for itself in a figure's address, which is an attribute's value.
UNCHANGED = "".join(set(string.printable) - set(string.whitespace) - set('"%#<>&'))
PHONE = "(max-width: 34rem)"  # page.css has the same width
# A number, or a text that is one: with an interval in brackets, a unit, or two ends.
NUMERIC = re.compile(r"[\u2212-]?\d[\d.\u202f]*(\s?(dB|%|s|ms))?(\s*\[.*\]| to .*)?|\u2013|")


def show(figure: Figure, caption: str) -> None:
    """Display a figure with its caption, and close it.

    It is drawn twice, the second time for narrow screens, so that its text can be read on both.

    Args:
        figure: A matplotlib figure.
        caption: Its one message, plain text; also for those who do not see the figure.
    """
    wide = _data_uri(figure)
    make_narrow(figure)
    narrow = _data_uri(figure)
    caption = html.escape(prose(caption))
    _display(
        f'<figure class="figure"><picture><source media="{PHONE}" srcset="{narrow}">'
        f'<img alt="{caption}" src="{wide}"></picture><figcaption>{caption}</figcaption></figure>'
    )
    figure.clear()


def _data_uri(figure: Figure) -> str:
    # Percent-encoded: base64 would add a third, and to the images inside a second time. A quote, a
    # space or an angle bracket would end an attribute, an address in it, or a tag.
    return "data:image/svg+xml," + quote(_svg(figure), safe=UNCHANGED)


def note(text: str) -> None:
    """Display a sentence that the reader should know, such as what this corpus does not have."""
    _display(f'<p class="note">{html.escape(prose(text))}</p>')


def verdict(text: str) -> None:
    """Display the sentence that a section ends in."""
    _display(f'<p class="verdict">{html.escape(prose(text))}</p>')


def table(
    rows: Sequence[dict | Sequence],
    columns: Sequence[str] | dict[str, str],
    caption: str = "",
    decimals: int = 3,
) -> None:
    """Display a table; columns of numbers are set in tabular figures, right-aligned.

    Means are shown with their interval and with what is missing; the caption then ends in over how
    many clips and voices they are.

    Args:
        rows: Dicts, or sequences in the order of ``columns``.
        columns: The keys, which are the headings, or {key: heading}. A column that is headed by a
            measure has its unit and its decimals, as :func:`denoise_lib.names.column` gives them.
        caption: Plain text above the table.
        decimals: Places of other floats. None and NaN become a dash.
    """
    headings = columns if isinstance(columns, dict) else {key: key for key in columns}
    values = [
        [row.get(key) for key in headings] if isinstance(row, dict) else list(row) for row in rows
    ]
    titles = [column(str(title), decimals) for title in headings.values()]
    texts = [
        [_cell(value, places) for value, (_, places) in zip(row, titles, strict=True)]
        for row in values
    ]
    kind = [
        ' class="number"' if all(NUMERIC.fullmatch(row[i]) for row in texts) else ""
        for i in range(len(titles))
    ]
    means = [value for row in values for value in row if isinstance(value, Mean)]
    caption = " ".join(filter(None, [caption, footnote(means)]))
    lines = ['<div class="table"><table>']
    if caption:
        lines.append(f"<caption>{html.escape(prose(caption))}</caption>")
    head = (
        f'<th scope="col"{k}>{html.escape(prose(title))}</th>'
        for (title, _), k in zip(titles, kind, strict=True)
    )
    lines.append(f"<thead><tr>{''.join(head)}</tr></thead><tbody>")
    for row, shown in zip(values, texts, strict=True):
        cells = [
            f"<td{k}>{_marked(value, text)}</td>"
            for value, text, k in zip(row, shown, kind, strict=True)
        ]
        if not kind[0]:
            cells[0] = f'<th scope="row">{html.escape(shown[0])}</th>'
        lines.append(f"<tr>{''.join(cells)}</tr>")
    _display("\n".join([*lines, "</tbody></table></div>"]))


def _marked(value: Any, text: str) -> str:
    """Content of a cell as HTML: the interval of a mean, and what it lacks, are set apart."""
    if not isinstance(value, Mean):
        return html.escape(text)
    mean, _, interval = text.partition(" ")
    parts = ((interval, "interval"), (value.lacking, "lacking"))
    more = "".join(f' <span class="{kind}">{part}</span>' for part, kind in parts if part)
    return html.escape(mean) + more


def _cell(value: Any, decimals: int) -> str:
    if isinstance(value, Mean):
        return value.text(decimals)
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
    text = text[text.index("<svg") :].replace("'DejaVu Sans'", "system-ui, Segoe UI, sans-serif")
    text = re.sub(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)", _as_webp, text)
    text = _shortened(text)
    light, dark = [], []
    for index, (tone, night) in enumerate(DARK.items()):
        text = text.replace(tone, f"var(--t{index})")
        light.append(f"--t{index}:{tone}")
        dark.append(f"--t{index}:{night}")
    style = (
        f"svg{{{';'.join(light)}}}@media (prefers-color-scheme: dark){{svg{{{';'.join(dark)}}}}}"
    )
    return _slim(text.replace("<defs>", f"<style>{style}</style><defs>", 1))


DOTS = re.compile(
    r'(?:<use [^>]*? style="(?P<style>[^"]*)"/>\s*)(?:<use [^>]*? style="(?P=style)"/>\s*)+'
)


def _shortened(text: str) -> str:
    """SVG text with coordinates to a tenth of a pixel, and the style of many dots said once."""
    # A tenth of a pixel is all a screen shows; matplotlib writes millionths.
    text = re.sub(r' (d|x|y)="[^"]+"', lambda m: re.sub(r"(\.\d)\d+", r"\1", m[0]), text)
    return DOTS.sub(
        lambda m: f'<g style="{m["style"]}">' + re.sub(r' style="[^"]*"/>\s*', "/>", m[0]) + "</g>",
        text,
    )


def _slim(text: str) -> str:
    """SVG text without metadata and idle space, and with apostrophes around attributes."""
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s+", " ", text).replace("> <", "><")
    text = re.sub(r'(?<= d=")[^"]+', _slim_path, text)
    text = re.sub(r'(?<= style=")[^"]+', lambda m: re.sub(r"(?<=[:;]) ", "", m[0]), text)
    return re.sub(r"<[^>']+>", lambda tag: tag[0].replace('"', "'"), text)


def _slim_path(path: re.Match[str]) -> str:
    return re.sub(r" ?([A-Za-z]) ?", r"\1", path[0]).strip().replace(" ", ",")


def _as_webp(match: re.Match[str]) -> str:
    """The data URI of a PNG image as one of a WebP image."""
    image = Image.open(io.BytesIO(base64.b64decode(match[1]))).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=70, method=6)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
