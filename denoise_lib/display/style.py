"""The style of every figure: paper, ink, sizes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.figure import Figure

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

Arguments = ParamSpec("Arguments")
Drawn = TypeVar("Drawn")


def styled(draw: Callable[Arguments, Drawn]) -> Callable[Arguments, Drawn]:
    """Draw with the style of the page, whatever the notebook has set."""

    @wraps(draw)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Drawn:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapper


@styled
def subplots(
    rows: int = 1, columns: int = 1, size: tuple[float, float] = (7.6, 2.8), **kwargs: Any
) -> tuple[Figure, Any]:
    """A figure and its axes in the style of the page.

    Args:
        rows: Rows of axes.
        columns: Columns of axes.
        size: (width, height) in inches; a width of 7.6 fills the page.
        **kwargs: As for ``matplotlib.figure.Figure.subplots``.

    Returns:
        The figure, and one axis or an array of them. Nothing is shown until
        ``show(figure, caption)``.
    """
    # Not pyplot: such a figure belongs to nobody else, so the notebook cannot show it twice.
    figure = Figure(figsize=size)
    return figure, figure.subplots(rows, columns, **kwargs)
