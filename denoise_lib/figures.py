"""Figures in one style, and the few pieces of HTML that a notebook needs around them.

A figure is an SVG image that carries its own paper, light or dark after the reader's setting, and
prints in black on white. Spectrograms inside it are WebP images, which keeps the page small.
"""

import base64
import html
import io
import re
import warnings
from functools import wraps

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from . import RATE
from .labels import COLOURS, colour, label, number

__all__ = ["COLOURS", "DB_RANGE", "as_array", "scatter", "scores_distribution", "show", "spectrogram_db"]
__all__ += ["spectrograms", "subplots", "table", "training_curves", "verdict", "waveforms"]

DB_RANGE = (-100.0, -20.0)  # of every spectrogram, dB re a full-scale sine
COLOUR_MAP = "magma"  # perceptually uniform, monotonic in grey
WSDR_AXIS = "wSDR in [\N{MINUS SIGN}1, 1], lower is better, \N{MINUS SIGN}1 is perfect"

# Ink and paper while matplotlib draws; show() turns each into its light and dark value.
INK, QUIET, GRID, PAPER = "#1d2126", "#5c6370", "#e3e4e7", "#fcfcfb"
DARK = {INK: "#e4e5e8", QUIET: "#a3a9b4", GRID: "#34383f", PAPER: "#1e2125"}

STYLE = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "grid.color": GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "font.family": "DejaVu Sans",
    "figure.constrained_layout.use": True,
    "figure.dpi": 96,
    "svg.fonttype": "none",
    "svg.hashsalt": "denoise",
    "svg.image_inline": True,
}


def styled(draw):
    """Draw with the style of the page, whatever the notebook has set."""

    @wraps(draw)
    def wrapper(*args, **kwargs):
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapper


@styled
def subplots(rows=1, columns=1, size=(7.6, 2.8), **kwargs):
    """A figure and its axes in the style of the page.

    Args:
        rows, columns: grid of axes.
        size: (width, height) in inches; 7.6 fills the page.
        kwargs: as for `matplotlib.figure.Figure.subplots`.

    Returns:
        figure, axes. Nothing is shown until `show(figure, caption)`.
    """
    # Not pyplot: such a figure belongs to nobody else, so the notebook cannot show it twice.
    figure = Figure(figsize=size)
    return figure, figure.subplots(rows, columns, **kwargs)


def as_array(waveform):
    """Waveform (time,) as a float32 numpy array, from torch or numpy.

    Raises:
        ValueError: more than one axis with more than one entry, nothing at all, or not finite.
    """
    if hasattr(waveform, "detach"):
        waveform = waveform.detach().cpu().numpy()
    array = np.asarray(waveform, dtype=np.float32).squeeze()
    if array.ndim == 0:
        array = array.reshape(-1)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"expected one waveform (time,), got shape {np.shape(waveform)}")
    if not np.isfinite(array).all():
        raise ValueError("the waveform holds samples that are not finite")
    return array


def spectrogram_db(waveform, rate=RATE, frame=0.032, hop=0.008):
    """Level of each STFT coefficient in dB re full scale (a full-scale sine is 0 dB).

    Args:
        waveform: (time,), full scale = 1.
        rate: samples per second.
        frame, hop: length of the Hann window and its step, in seconds.

    Returns:
        (freq, frames) float32, lowest frequency first, not limited to DB_RANGE.
    """
    size, step = round(frame * rate), max(1, round(hop * rate))
    padded = np.pad(as_array(waveform), size // 2)
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::step]
    magnitude = np.abs(np.fft.rfft(frames * window, axis=1)).T * (2 / window.sum())
    return 20 * np.log10(np.maximum(magnitude, 1e-9)).astype(np.float32)


@styled
def spectrograms(waveforms, rate=RATE, title=None):
    """Spectrograms one above the other, on one time axis and one dB range.

    Args:
        waveforms: {name: waveform (time,)}.
        rate: samples per second.
        title: of the whole figure.
    """
    figure, axes = subplots(len(waveforms), 1, (7.6, 0.5 + 1.55 * len(waveforms)), sharex=True, squeeze=False)
    for axis, (name, waveform) in zip(axes[:, 0], waveforms.items(), strict=True):
        seconds = len(as_array(waveform)) / rate
        picture = axis.imshow(
            spectrogram_db(waveform, rate),
            origin="lower",
            aspect="auto",
            extent=(0, seconds, 0, rate / 2000),
            cmap=COLOUR_MAP,
            vmin=DB_RANGE[0],
            vmax=DB_RANGE[1],
            interpolation="none",  # one pixel per coefficient in the file: the viewer scales it
        )
        axis.grid(False)
        axis.set_title(label(name))
        axis.set_ylabel("frequency (kHz)")
    axes[-1, 0].set_xlabel("time (s)")
    bar = figure.colorbar(picture, ax=axes[:, 0], pad=0.015, aspect=14 * len(waveforms))
    bar.set_label("dB re full scale")
    bar.outline.set_visible(False)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


@styled
def waveforms(waveforms, rate=RATE, title=None):
    """Waveforms one above the other, on one time axis and one amplitude axis.

    Args:
        waveforms: {name: waveform (time,)}.
        rate: samples per second.
        title: of the whole figure.
    """
    size = (7.6, 0.5 + 1.05 * len(waveforms))
    figure, axes = subplots(len(waveforms), 1, size, sharex=True, sharey=True, squeeze=False)
    for axis, (name, waveform) in zip(axes[:, 0], waveforms.items(), strict=True):
        low, high, times = _envelope(as_array(waveform), rate)
        axis.fill_between(times, low, high, color=colour(name), linewidth=0.4)
        axis.set_title(label(name))
    axes[len(axes) // 2, 0].set_ylabel("amplitude (full scale = 1)")
    axes[-1, 0].set_xlabel("time (s)")
    axes[-1, 0].margins(x=0)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def _envelope(waveform, rate, columns=600):
    """Lowest and highest sample per column: all that a screen can show of a long waveform."""
    step = max(1, len(waveform) // columns)
    blocks = np.pad(waveform, (0, -len(waveform) % step), mode="edge").reshape(-1, step)
    return blocks.min(1), blocks.max(1), np.arange(len(blocks)) * step / rate


@styled
def training_curves(histories, title=None):
    """Training loss (thin) and validation wSDR (thick) over the steps.

    Args:
        histories: {name: list of {"step": int, "loss": float, "valid": float}}; an entry may lack
            "loss" or "valid".
        title: of the figure.
    """
    figure, axis = subplots(size=(7.6, 3.0))
    for name, history in histories.items():
        steps, losses = _column(history, "loss")
        axis.plot(steps, losses, color=colour(name), linewidth=0.8, alpha=0.55)
        steps, valid = _column(history, "valid")
        axis.plot(steps, valid, color=colour(name), marker="o", markersize=3, label=label(name))
        if len(valid):
            best = int(np.argmin(valid))
            end = (steps[-1], valid[-1])
            best_value = f"best {number(valid[best])}"
            axis.annotate(best_value, end, xytext=(6, -3), textcoords="offset points", color=colour(name),
                          fontsize=8.5, annotation_clip=False)
    axis.set_xlabel("training step")
    axis.set_ylabel("wSDR")
    axis.set_title(title or WSDR_AXIS, loc="left")
    axis.plot([], [], color=QUIET, linewidth=0.8, alpha=0.7, label="thin: training loss")
    axis.plot([], [], color=QUIET, marker="o", markersize=3, label="thick: validation")
    figure.legend(ncols=5, loc="outside lower left")
    return figure


def _column(history, key):
    kept = [(entry["step"], entry[key]) for entry in history if entry.get(key) is not None]
    return np.array([step for step, _ in kept]), np.array([value for _, value in kept], dtype=float)


@styled
def scores_distribution(conditions, metric="wSDR", title=None):
    """Score of every clip: a dot each, the middle half as a bar, the median as a line.

    Args:
        conditions: {condition: {"noisy": values, model: values, ...}}, one value per clip; None and
            NaN (a clip without a score) are left out.
        metric: label of the axis.
        title: of the figure; for wSDR the range and direction are the default.
    """
    rows = [(c, name, values) for c, group in conditions.items() for name, values in group.items()]
    figure, axis = subplots(size=(7.6, 0.75 + 0.34 * len(rows) + 0.15 * len(conditions)))
    positions, names, generator = [], [], np.random.default_rng(0)
    for index, (condition, name, values) in enumerate(rows):
        new_group = index and condition != rows[index - 1][0]
        y = (positions[-1] + 1 + 0.6 * new_group) if positions else 0.0
        values = np.array([v for v in values if v is not None and v == v], dtype=float)
        spread = generator.uniform(-0.22, 0.22, len(values))
        axis.scatter(values, y + spread, s=7, color=colour(name), alpha=0.55, linewidths=0)
        if len(values):
            low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
            axis.plot([low, high], [y, y], color=colour(name), linewidth=7, alpha=0.35, solid_capstyle="butt")
            axis.plot([middle, middle], [y - 0.36, y + 0.36], color=INK, linewidth=1.4)
        positions.append(y)
        names.append(f"{condition}: {label(name)}" if len(conditions) > 1 else label(name))
    axis.set_yticks(positions, names)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
    axis.invert_yaxis()
    axis.set_xlabel(f"{metric} of a clip")
    if title or metric == "wSDR":
        axis.set_title(title or WSDR_AXIS, loc="left")
    return figure


@styled
def scatter(pairs, metric="wSDR", title=None):
    """Denoised against noisy score, a dot per clip; the line is "nothing changed".

    Args:
        pairs: {model: (noisy values, denoised values)}, one value per clip each.
        metric: name of the score on both axes.
        title: of the figure.
    """
    figure, axis = subplots(size=(4.6, 4.2))
    for name, (noisy, denoised) in pairs.items():
        axis.scatter(noisy, denoised, s=13, color=colour(name), alpha=0.7, linewidths=0, label=label(name))
    values = np.concatenate([np.asarray(v, dtype=float).ravel() for pair in pairs.values() for v in pair])
    low, high = np.nanmin(values), np.nanmax(values)
    margin = 0.04 * (high - low or 1)
    ends = [low - margin, high + margin]
    axis.plot(ends, ends, color=QUIET, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axis.set(xlim=ends, ylim=ends, aspect="equal", xlabel=f"{metric} of the noisy clip")
    axis.set_ylabel(f"{metric} of the denoised clip")
    if title:
        axis.set_title(title, loc="left")
    axis.legend(loc="upper left")
    return figure


def show(figure, caption, alt=None):
    """Display a figure with its caption, and close it.

    Args:
        figure: a matplotlib figure.
        caption: its one message, plain text.
        alt: what it shows, for those who do not see it; the caption when left out.
    """
    image = base64.b64encode(_svg(figure).encode()).decode()
    _display(
        f'<figure class="figure"><img alt="{html.escape(alt or caption)}" '
        f'src="data:image/svg+xml;base64,{image}"><figcaption>{html.escape(caption)}</figcaption></figure>'
    )
    figure.clear()


def verdict(text):
    """Display the sentence that a section ends in."""
    _display(f'<p class="verdict">{html.escape(text)}</p>')


def table(rows, columns=None, caption="", decimals=3):
    """Display a table; columns of numbers are set in tabular figures, right-aligned.

    Args:
        rows: list of dicts, or of sequences in the order of `columns`.
        columns: list of keys, or {key: heading}; the keys of the first row when left out.
        caption: plain text above the table.
        decimals: of floats. None and NaN become a dash.
    """
    columns = columns if columns is not None else list(rows[0])
    headings = columns if isinstance(columns, dict) else {key: key for key in columns}
    values = [[row.get(key) for key in headings] if isinstance(row, dict) else list(row) for row in rows]
    numeric = [
        any(_is_number(row[i]) for row in values) and all(row[i] is None or _is_number(row[i]) for row in values)
        for i in range(len(headings))
    ]
    kind = [' class="number"' if yes else "" for yes in numeric]
    lines = ['<div class="table"><table>']
    if caption:
        lines.append(f"<caption>{html.escape(caption)}</caption>")
    head = (f'<th scope="col"{k}>{html.escape(str(h))}</th>' for h, k in zip(headings.values(), kind, strict=True))
    lines.append(f"<thead><tr>{''.join(head)}</tr></thead><tbody>")
    for row in values:
        cells = (f"<td{k}>{html.escape(_cell(v, decimals))}</td>" for v, k in zip(row, kind, strict=True))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    _display("\n".join([*lines, "</tbody></table></div>"]))


def _is_number(value):
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _cell(value, decimals):
    if value is None or isinstance(value, (float, np.floating)):
        return number(value, decimals)
    return str(value)


def _display(source):
    # Here, not at the top: the library draws and tests without IPython.
    from IPython.display import HTML, display

    display(HTML(source))


@styled
def _svg(figure):
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
    style = f"svg{{{';'.join(light)}}}@media (prefers-color-scheme: dark){{svg{{{';'.join(dark)}}}}}"
    return text.replace("<defs>", f"<style>{style}</style><defs>", 1)


def _as_webp(match):
    image = Image.open(io.BytesIO(base64.b64decode(match[1]))).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=70, method=6)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
