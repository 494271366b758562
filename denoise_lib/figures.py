"""The figures of the report: one style, the same colour for the same thing, axes with units."""

import numpy as np

from . import RATE
from .labels import COLOURS, colour, label, number
from .showing import show, table, verdict
from .style import INK, QUIET, styled, subplots

__all__ = [
    "COLOURS",
    "COLOUR_MAP",
    "DB_RANGE",
    "INK",
    "as_array",
    "scatter",
    "scores_distribution",
    "show",
    "spectrogram_db",
    "spectrograms",
    "styled",
    "subplots",
    "sweep",
    "table",
    "training_curves",
    "verdict",
    "waveforms",
]

DB_RANGE = (-100.0, -20.0)  # of every spectrogram, dB re a full-scale sine
COLOUR_MAP = "magma"  # perceptually uniform, monotonic in grey
WSDR_AXIS = "wSDR in [\N{MINUS SIGN}1, 1], lower is better, \N{MINUS SIGN}1 is perfect"


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
    figure, axes = subplots(
        len(waveforms), 1, (7.6, 0.5 + 1.55 * len(waveforms)), sharex=True, squeeze=False
    )
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
    size = (7.6, max(2.2, 0.5 + 1.05 * len(waveforms)))
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
    """Validation wSDR over the steps, and the training loss.

    Args:
        histories: {name: list of {"step": int, "loss": float, "valid": float}}; an entry may lack
            "loss" or "valid". A loss that is wSDR is drawn thin on the same axis, any other on an
            axis of its own above.
        title: of the figure.
    """
    losses = [entry["loss"] for each in histories.values() for entry in each if "loss" in entry]
    # The other losses are errors, which are never negative; wSDR is as soon as anything is learned.
    comparable = not losses or min(losses) < 0
    if comparable:
        figure, below = subplots(size=(7.6, 3.0))
        above = below
    else:
        figure, (above, below) = subplots(2, 1, (7.6, 4.2), sharex=True, height_ratios=(2, 3))
        above.set_ylabel("training loss")
    for (name, history), marker in zip(histories.items(), "os^Dv" * 2, strict=False):
        steps, loss = _column(history, "loss")
        above.plot(steps, loss, color=colour(name), linewidth=0.8, alpha=0.7)
        steps, valid = _column(history, "valid")
        style = {"color": colour(name), "marker": marker, "markersize": 3.5}
        below.plot(steps, valid, label=label(name), **style)
        if len(valid):
            _note_best(below, steps, valid, colour(name))
    below.set_xlabel("training step")
    below.set_ylabel("wSDR" if comparable else "validation wSDR")
    below.set_title(title or WSDR_AXIS, loc="left")
    if comparable:
        below.plot([], [], color=QUIET, linewidth=0.8, alpha=0.7, label="thin: training loss")
        below.plot([], [], color=QUIET, label="thick: validation")
    figure.legend(ncols=5, loc="outside lower left")
    return figure


def _note_best(axis, steps, valid, tone):
    axis.annotate(
        f"best {number(min(valid))}",
        (steps[-1], valid[-1]),
        xytext=(6, -3),
        textcoords="offset points",
        color=tone,
        fontsize=8.5,
        annotation_clip=False,
    )


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
            axis.plot(
                [low, high],
                [y, y],
                color=colour(name),
                linewidth=7,
                alpha=0.35,
                solid_capstyle="butt",
            )
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
        axis.scatter(
            noisy, denoised, s=13, color=colour(name), alpha=0.7, linewidths=0, label=label(name)
        )
    values = np.concatenate(
        [np.asarray(v, dtype=float).ravel() for pair in pairs.values() for v in pair]
    )
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


@styled
def sweep(values, curves, xlabel, ylabel, title=None):
    """Means against a setting: a line per system, its 95 % intervals as a band.

    Args:
        values: settings on the horizontal axis, ascending.
        curves: {name: result rows, one for each value} with "denoised" and "ci95".
        xlabel, ylabel: quantity and unit.
        title: of the figure.
    """
    figure, axis = subplots(size=(7.6, 3.2))
    for (name, rows), marker in zip(curves.items(), "os^Dv" * 2, strict=False):
        means = [row["denoised"] for row in rows]
        axis.plot(values, means, color=colour(name), marker=marker, markersize=4, label=label(name))
        ends = [row["ci95"] or [row["denoised"]] * 2 for row in rows]
        axis.fill_between(values, *zip(*ends, strict=True), color=colour(name), alpha=0.15, lw=0)
    axis.set_xticks(values)
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    if title:
        axis.set_title(title, loc="left")
    figure.legend(ncols=4, loc="outside lower left")
    return figure
