"""The figures of the report: one style, the same colour for the same thing, axes with units."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from denoise_lib.display.style import INK, QUIET, styled, subplots
from denoise_lib.names import METRICS, colour, label, number, over, series, shown_decimals
from denoise_lib.names import condition as written

PERFECT = "\N{MINUS SIGN}1 is perfect"
LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))  # of curves that share a colour
History = Sequence[Mapping[str, Any]]  # {"step": int, "loss": float, "valid": float} each


@styled
def training_curves(histories: Mapping[str, History], other_losses: Collection[str] = ()) -> Figure:
    """Validation wSDR over the steps, and the training loss.

    Args:
        histories: Entries with "step", "loss" and "valid" by the name of the training; one may lack
            "loss" or "valid". A loss that is wSDR is drawn thin on the same axis, any other on an
            axis of its own above.
        other_losses: Trainings whose loss is not wSDR. One that is never negative counts as such
            in any case, for wSDR is negative as soon as anything is learned.
    """
    apart = {
        name
        for name, each in histories.items()
        if (loss := _column(each, "loss")[1]).size and (name in other_losses or min(loss) >= 0)
    }
    beside = [name for name in histories if name not in apart]
    if apart:
        figure, (above, below) = subplots(2, 1, (7.6, 4.2), sharex=True, height_ratios=(2, 3))
        above.set_ylabel("training loss")
        if beside:
            whose = ", ".join(series(name) for name in histories if name in apart)
            above.set_title(f"training loss of {whose}", loc="left")
    else:
        figure, below = subplots(size=(7.6, 3.0))
        above = below
    for (name, history), marker in zip(histories.items(), "os^Dv" * 2, strict=False):
        steps, loss = _column(history, "loss")
        axis = above if name in apart else below
        axis.plot(steps, loss, color=colour(name), linewidth=0.8, alpha=0.7)
        steps, valid = _column(history, "valid")
        style = {"color": colour(name), "marker": marker, "markersize": 3.5}
        best = f": best {number(_kept(history))}" if len(valid) else ""
        below.plot(steps, valid, label=series(name) + best, **style)
    below.set_xlabel("training step")
    below.set_ylabel(f"{'wSDR' if beside else 'validation wSDR'}, {PERFECT}")
    if beside:
        whose = f" of {', '.join(map(series, beside))}" * bool(apart)
        below.plot(
            [], [], color=QUIET, linewidth=0.8, alpha=0.7, label=f"thin: training loss{whose}"
        )
        below.plot([], [], color=QUIET, label="thick: validation")
    figure.legend(ncols=3, loc="outside lower left")
    return figure


def _kept(history: History) -> float:
    """Validation wSDR of the weights that were kept: those of the lowest validation loss."""
    scored = [entry for entry in history if entry.get("valid") is not None]
    return min(scored, key=lambda entry: entry.get("valid_loss", entry["valid"]))["valid"]


def _column(history: History, key: str) -> tuple[NDArray, NDArray]:
    """Steps, and what the entries that have it hold under a key."""
    kept = [(entry["step"], entry[key]) for entry in history if entry.get(key) is not None]
    return np.array([step for step, _ in kept]), np.array([value for _, value in kept], dtype=float)


@styled
def scores_distribution(conditions: Mapping[str, Mapping[str, Sequence[float | None]]]) -> Figure:
    """The wSDR of every clip: a dot each, the middle half as a bar, the median as a line.

    Args:
        conditions: {condition: {"noisy": values, model: values, ...}}, one value per clip; None and
            NaN (a clip without a score) are left out.
    """
    rows = [(c, name, values) for c, group in conditions.items() for name, values in group.items()]
    figure, axis = subplots(size=(7.6, 0.75 + 0.34 * len(rows) + 0.15 * len(conditions)))
    positions, names, counts, generator = [], [], [], np.random.default_rng(0)
    for index, (condition, name, values) in enumerate(rows):
        new_group = index and condition != rows[index - 1][0]
        y = (positions[-1] + 1 + 0.6 * new_group) if positions else 0.0
        values = np.array([v for v in values if v is not None and v == v], dtype=float)
        spread = generator.uniform(-0.22, 0.22, len(values))
        axis.scatter(values, y + spread, s=7, color=colour(name), alpha=0.55, linewidths=0)
        if len(values):
            low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
            style = {"color": colour(name), "alpha": 0.35, "solid_capstyle": "butt"}
            axis.plot([low, high], [y, y], linewidth=7, **style)
            axis.plot([middle, middle], [y - 0.36, y + 0.36], color=INK, linewidth=1.4)
        counts.append(len(values))
        positions.append(y)
        names.append((f"{written(condition)}: " if len(conditions) > 1 else "") + label(name))
    axis.set_yticks(positions, names)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
    axis.invert_yaxis()
    axis.set_xlabel(f"wSDR of a clip ({_span(counts)} clips): further left is better, {PERFECT}")
    return figure


def _span(counts: Sequence[int]) -> str:
    """The smallest and the largest of some numbers: "60", "24 to 60"."""
    few, many = min(counts, default=0), max(counts, default=0)
    return str(many) if few == many else f"{few} to {many}"


def _names(differences: Sequence[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], str]:
    """What tells differences apart: the condition, the systems, or both."""
    conditions = {row["condition"] for row in differences}
    pairs = {(row["a"], row["b"]) for row in differences}

    def name(row: Mapping[str, Any]) -> str:
        systems = f"{label(row['a'])} minus {label(row['b'])}"
        if len(conditions) == 1:
            return systems
        where = written(row["condition"])
        return where if len(pairs) == 1 else f"{where}: {systems}"

    return name


def _difference(row: Mapping[str, Any], decimals: int) -> str:
    """A difference and its interval; one that is shown does not read as zero."""
    low, high = row["ci95"] or (None, None)
    if row["ci95"] and not low <= 0 <= high:
        decimals = shown_decimals(decimals, (row["mean"], low, high))
    ends = f" [{number(low, decimals)}, {number(high, decimals)}]" * bool(row["ci95"])
    return number(row["mean"], decimals) + ends


@styled
def forest(differences: Sequence[Mapping[str, Any]]) -> Figure:
    """Differences between systems: dots with their 95 % intervals, one part for each measure.

    Args:
        differences: What :meth:`denoise_lib.study.run.Run.compare` returned. Those of one measure
            stand together, in their order, with their numbers at the right. Where there are
            none, the figure is empty.
    """
    if not differences:
        return Figure()
    parts: dict[str, list[Mapping[str, Any]]] = {}
    for row in differences:
        parts.setdefault(row["metric"], []).append(row)
    heights = [len(rows) + 2.4 for rows in parts.values()]
    figure, axes = subplots(
        len(parts), 1, (7.6, 0.29 * sum(heights)), squeeze=False, height_ratios=heights
    )
    names = _names(differences)
    for axis, (metric, rows) in zip(axes.flat, parts.items(), strict=True):
        known = METRICS[metric]
        texts = []
        for place, row in enumerate(rows):
            style = {"color": colour(row["a"]), "clip_on": False}
            if row["mean"] is not None:
                axis.plot([row["mean"]], [place], "o", markersize=5, **style)
            if row["ci95"]:
                axis.plot(row["ci95"], [place, place], linewidth=2.2, **style)
            texts.append(_difference(row, known.decimals))
        axis.axvline(0, color=INK, linewidth=1)
        axis.set_yticks(range(len(rows)), [names(row) for row in rows])
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="y", visible=False)
        right = axis.secondary_yaxis("right")
        right.set_yticks(range(len(rows)), texts)
        right.tick_params(length=0)
        unit = f", {known.unit}" if known.unit else ""
        side = "right" if known.better == "higher" else "left"
        axis.set_xlabel(f"difference in {known.heading}{unit}: further {side} is better")
        axis.set_title(over(rows), loc="left")
    return figure


@styled
def sweep(
    values: Sequence[float],
    curves: Mapping[str, Sequence[tuple[float, list[float] | None]]],
    xlabel: str,
    ylabel: str,
) -> Figure:
    """Means against a setting: a line per system, its 95 % intervals as a band.

    Args:
        values: Settings on the horizontal axis, ascending.
        curves: {name: (mean, its 95 % interval or None) for each value}.
        xlabel: Quantity of the setting, and its unit.
        ylabel: Quantity of the means, and its unit.
    """
    figure, axis = subplots(size=(7.6, 3.2))
    drawn: list[str] = []
    for (name, points), marker in zip(curves.items(), "os^Dv" * 2, strict=False):
        means = [mean for mean, _ in points]
        style = {
            "marker": marker,
            "markersize": 4,
            "linestyle": LINES[drawn.count(colour(name)) % 5],
        }
        axis.plot(values, means, color=colour(name), label=series(name), **style)
        drawn.append(colour(name))
        ends = [interval or [mean] * 2 for mean, interval in points]
        axis.fill_between(values, *zip(*ends, strict=True), color=colour(name), alpha=0.15, lw=0)
    axis.set_xticks(values)
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    figure.legend(ncols=4, loc="outside lower left")
    return figure
