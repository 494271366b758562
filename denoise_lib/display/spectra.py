"""Spectra and waveforms as pictures: spectrograms, touched coefficients, learned filters, masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from denoise_lib import RATE
from denoise_lib.display.style import INK, styled, subplots
from denoise_lib.names import colour, label, series

if TYPE_CHECKING:
    from torch import Tensor

DB_RANGE = (-100.0, -20.0)  # of every spectrogram, dB re a full-scale sine
COLOUR_MAP = "magma"  # perceptually uniform, monotonic in grey
# What became of a coefficient: kept, zeroed, raised. They differ in lightness, so that they also
# part in grey.
FATE = ("#e3e4e7", colour("zero"), colour("raise"))
FRAME = 0.032  # s, Hann window of every spectrogram
SHOWN = (0.5, 1.0)  # s, the part of a clip whose coefficients are shown
HIGHEST = 4000  # Hz, up to where they are shown


@styled
def touched(spectrum: Tensor, positions: tuple[Tensor, Tensor], *, rate: int, hop: int) -> Figure:
    """Part of a clip's spectrum before the damage, and the fate of each coefficient beside it.

    Args:
        spectrum: Complex STFT of one clip, (freq, frames).
        positions: Masks of the zeroed and of the raised coefficients, (1, freq, frames) each.
        rate: Samples per second.
        hop: Samples from frame to frame.
    """
    bins = round(HIGHEST / rate * 2 * (spectrum.shape[0] - 1))
    frames = slice(*(round(end * rate / hop) for end in SHOWN))
    level = 20 * np.log10(spectrum[:bins, frames].abs().numpy() + 1e-3)
    zeroed, raised = (mask[0, :bins, frames].int() for mask in positions)
    figure, (left, right) = subplots(1, 2, (7.6, 3.4), sharey=True)
    extent = (*SHOWN, 0, HIGHEST / 1000)
    figure.colorbar(_picture(left, level, extent), ax=left, label="magnitude, dB re 1")
    # A coefficient that was zeroed and then raised counts as raised.
    colours, edges = ListedColormap(FATE), BoundaryNorm([0, 1, 2, 4], 3)
    _picture(right, (zeroed + 2 * raised).numpy(), extent, cmap=colours, norm=edges)
    for axis, title in ((left, "before"), (right, "what becomes of it")):
        axis.set(xlabel="time, s", title=title)
    left.set_ylabel("frequency, kHz")
    names = ("kept", "set to 0", "set to 1")
    handles = [Patch(facecolor=c, label=n) for c, n in zip(FATE, names, strict=True)]
    right.legend(handles=handles, loc="upper right", framealpha=0.9, frameon=True, labelcolor=INK)
    return figure


@styled
def filters(weights: Tensor, rate: int) -> Figure:
    """Magnitude responses of a bank of filters, one row each, sorted by where they peak.

    Levels down to 40 dB below the largest of all are shown.

    Args:
        weights: Impulse responses, (filters, taps).
        rate: Samples per second.
    """
    response = np.abs(np.fft.rfft(weights.cpu().numpy(), 2048))
    level = 20 * np.log10(response / response.max() + 1e-6)
    level = level[np.argsort(response.argmax(1))]
    figure, axis = subplots(size=(7.6, 3.0))
    extent = (0, rate / 2000, 0.5, len(level) + 0.5)
    image = _picture(axis, level, extent, vmin=-40, vmax=0)
    axis.set(xlabel="frequency, kHz", ylabel="filter")
    figure.colorbar(image, ax=axis, label="dB re the largest")
    return figure


@styled
def patches(
    rows: Mapping[str, Mapping[str, ArrayLike | Tensor]],
    unit: str,
    *,
    bin_width: float,
    frame_step: float,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Small pictures of what surrounds a coefficient, in rows and columns, with one colour scale.

    Args:
        rows: {name of the row: {name of the column: levels (bins, frames)}}, odd sides, the
            coefficient in the middle.
        unit: What the colours mean, with its unit.
        bin_width: From bin to bin, Hz.
        frame_step: From frame to frame, ms.
        limits: (lowest, highest) colour, in ``unit``; those of all the levels when None.
    """
    columns = list(next(iter(rows.values())))
    everything = np.stack([np.asarray(each[name]) for each in rows.values() for name in columns])
    low, high = limits or (everything.min(), everything.max())
    size = (7.6, 0.6 + 2.1 * len(rows))
    figure, axes = subplots(len(rows), len(columns), size, sharex=True, sharey=True, squeeze=False)
    for axis, column in zip(axes[0], columns, strict=True):
        axis.set_title(label(column))
    for line, (row, each) in zip(axes, rows.items(), strict=True):
        for axis, column in zip(line, columns, strict=True):
            levels = np.asarray(each[column])
            tall, wide = (side / 2 for side in levels.shape)
            extent = (-wide * frame_step, wide * frame_step, -tall * bin_width, tall * bin_width)
            picture = _picture(axis, levels, extent, vmin=low, vmax=high)
        line[0].set_ylabel(f"{row}\nfrequency away, Hz" if row else "frequency away, Hz")
    for axis in axes[-1]:
        axis.set_xlabel("time away, ms")
    _scale(figure, picture, axes, unit, 12 * len(rows))
    return figure


def as_array(waveform: ArrayLike | Tensor) -> NDArray[np.float32]:
    """Waveform (time,) as a float32 array, from torch or numpy.

    Raises:
        ValueError: More than one axis with more than one entry, nothing at all, or not finite.
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


def spectrogram_db(
    waveform: ArrayLike | Tensor, rate: int = RATE, hop: float = 0.008
) -> NDArray[np.float32]:
    """Level of each STFT coefficient in dB re full scale (a full-scale sine is 0 dB).

    Args:
        waveform: (time,), full scale = 1.
        rate: Samples per second.
        hop: From frame to frame, s.

    Returns:
        (freq, frames), lowest frequency first, not limited to ``DB_RANGE``.
    """
    size, step = round(FRAME * rate), max(1, round(hop * rate))
    padded = np.pad(as_array(waveform), size // 2)
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::step]
    magnitude = np.abs(np.fft.rfft(frames * window, axis=1)).T * (2 / window.sum())
    return 20 * np.log10(np.maximum(magnitude, 1e-9)).astype(np.float32)


@styled
def spectrograms(waveforms: Mapping[str, ArrayLike | Tensor], rate: int = RATE) -> Figure:
    """Spectrograms one above the other, on one time axis and one dB range.

    Args:
        waveforms: {name: waveform (time,)}.
        rate: Samples per second.
    """
    size = (7.6, 0.5 + 1.55 * len(waveforms))
    figure, axes = subplots(len(waveforms), 1, size, sharex=True, squeeze=False)
    low, high = DB_RANGE
    for axis, (name, waveform) in zip(axes[:, 0], waveforms.items(), strict=True):
        extent = (0, len(as_array(waveform)) / rate, 0, rate / 2000)
        # One pixel per coefficient in the file: the viewer scales it.
        style = {"vmin": low, "vmax": high, "interpolation": "none"}
        picture = _picture(axis, spectrogram_db(waveform, rate), extent, **style)
        axis.set_title(series(name))
        axis.set_ylabel("frequency (kHz)")
    axes[-1, 0].set_xlabel("time (s)")
    _scale(figure, picture, axes[:, 0], "dB re full scale", 14 * len(waveforms))
    return figure


def _picture(
    axis: Axes, levels: NDArray, extent: tuple[float, float, float, float], **style: Any
) -> AxesImage:
    """Draw levels, first row lowest; ``extent`` is the left, right, bottom and top of the axis."""
    axis.grid(False)
    style = {"cmap": COLOUR_MAP, "interpolation": "nearest", **style}
    return axis.imshow(levels, origin="lower", aspect="auto", extent=extent, **style)


def _scale(figure: Figure, picture: AxesImage, axes: NDArray, unit: str, aspect: float) -> None:
    """One colour bar for all axes."""
    bar = figure.colorbar(picture, ax=axes, pad=0.015, aspect=aspect)
    bar.set_label(unit)
    bar.outline.set_visible(False)
