"""Figures that belong to one experiment: touched coefficients, learned filters, masks."""

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.patches import Patch

from denoise_lib import RATE
from denoise_lib.display.style import INK, styled, subplots
from denoise_lib.names import label

# What became of a coefficient: kept, zeroed, raised. They differ in lightness, so that they also
# part in grey.
FATE = ("#e3e4e7", "#a3262a", "#5f9ed1")


@styled
def touched(spectrum, positions, *, rate, hop, start=0.5, seconds=0.5, highest=4000):
    """Part of a clip's spectrum before the damage, and the fate of each coefficient beside it.

    Args:
        spectrum: complex STFT of one clip, (freq, frames), torch.
        positions: Positions with masks (1, freq, frames).
        rate: samples per second. hop: samples from frame to frame.
        start, seconds: the part of the clip to show, s.
        highest: top of the frequency axis, Hz.
    """
    bins = round(highest / rate * 2 * (spectrum.shape[0] - 1))
    frames = slice(round(start * rate / hop), round((start + seconds) * rate / hop))
    level = 20 * np.log10(spectrum[:bins, frames].abs().numpy() + 1e-3)
    fate = positions.zeroed[0, :bins, frames].int() + 2 * positions.raised[0, :bins, frames].int()
    figure, (left, right) = subplots(1, 2, (7.6, 3.4), sharey=True)
    extent = (start, start + seconds, 0, highest / 1000)
    style = {"origin": "lower", "aspect": "auto", "extent": extent, "interpolation": "nearest"}
    image = left.imshow(level, cmap=COLOUR_MAP, **style)
    figure.colorbar(image, ax=left, label="magnitude, dB re 1")
    # A coefficient that was zeroed and then raised counts as raised.
    colours, edges = ListedColormap(FATE), BoundaryNorm([0, 1, 2, 4], 3)
    right.imshow(fate.numpy(), cmap=colours, norm=edges, **style)
    for axis, title in ((left, "before"), (right, "what becomes of it")):
        axis.set(xlabel="time, s", title=title)
        axis.grid(False)
    left.set_ylabel("frequency, kHz")
    names = ("kept", "set to 0", "set to 1")
    handles = [Patch(facecolor=c, label=n) for c, n in zip(FATE, names, strict=True)]
    right.legend(handles=handles, loc="upper right", framealpha=0.9, frameon=True, labelcolor=INK)
    return figure


@styled
def filters(weights, rate, size=2048, range_db=40):
    """Magnitude responses of a bank of filters, one row each, sorted by where they peak.

    Args:
        weights: (filters, taps), torch.
        rate: samples per second.
        size: points of the FFT.
        range_db: lowest level shown, dB below the largest of all.
    """
    response = np.abs(np.fft.rfft(weights.cpu().numpy(), size))
    level = 20 * np.log10(response / response.max() + 1e-6)
    level = level[np.argsort(response.argmax(1))]
    figure, axis = subplots(size=(7.6, 3.0))
    image = axis.imshow(
        level, cmap=COLOUR_MAP, vmin=-range_db, vmax=0, origin="lower", aspect="auto",
        extent=(0, rate / 2000, 0.5, len(level) + 0.5), interpolation="nearest",
    )
    axis.set(xlabel="frequency, kHz", ylabel="filter")
    axis.grid(False)
    figure.colorbar(image, ax=axis, label="dB re the largest")
    return figure


@styled
def patches(rows, unit, *, bin_width, frame_step, limits=None):
    """Small pictures of what surrounds a coefficient, in rows and columns, with one colour scale.

    Args:
        rows: {name of the row: {name of the column: levels (bins, frames)}}, odd sides, the
            coefficient in the middle; torch or numpy.
        unit: what the colours mean, with its unit.
        bin_width: from bin to bin, Hz. frame_step: from frame to frame, ms.
        limits: (lowest, highest) colour, in `unit`; those of all the levels when left out.
    """
    columns = list(next(iter(rows.values())))
    everything = np.stack([np.asarray(each[name]) for each in rows.values() for name in columns])
    low, high = limits or (everything.min(), everything.max())
    figure, axes = subplots(
        len(rows), len(columns), (7.6, 0.6 + 2.1 * len(rows)), sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
    for axis, column in zip(axes[0], columns, strict=True):
        axis.set_title(label(column))
    for line, (row, each) in zip(axes, rows.items(), strict=True):
        for axis, column in zip(line, columns, strict=True):
            levels = np.asarray(each[column])
            tall, wide = (side / 2 for side in levels.shape)
            picture = axis.imshow(
                levels, cmap=COLOUR_MAP, vmin=low, vmax=high, origin="lower",
                aspect="auto", interpolation="nearest",
                extent=(-wide * frame_step, wide * frame_step, -tall * bin_width, tall * bin_width),
            )  # fmt: skip
            axis.grid(False)
        line[0].set_ylabel(f"{row}\nfrequency away, Hz" if row else "frequency away, Hz")
    for axis in axes[-1]:
        axis.set_xlabel("time away, ms")
    bar = figure.colorbar(picture, ax=axes, pad=0.015, aspect=12 * len(rows))
    bar.set_label(unit)
    bar.outline.set_visible(False)
    return figure


DB_RANGE = (-100.0, -20.0)  # of every spectrogram, dB re a full-scale sine


COLOUR_MAP = "magma"  # perceptually uniform, monotonic in grey


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
