"""A figure of a phone's width: what would be cut off or overprinted is broken, thinned or moved."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, MaxNLocator

from denoise_lib.display.style import styled

WIDTH = 3.4  # inches: 326 px, what a screen of 360 px leaves; half a printed page is as wide
SIZE = 9  # points of all text but titles
GAP = 5.0  # pixels at least between neighbouring texts
LINE = 0.165  # inches from line to line of a row's name


@styled
def make_narrow(figure: Figure) -> None:
    """Give a figure the width of a phone; one that is no wider stays as it is."""
    _, height = figure.get_size_inches()
    if figure.get_figwidth() <= WIDTH:
        return
    axes = plots(figure)
    # Rows that have names keep their height.
    rows = any(isinstance(axis.yaxis.get_major_locator(), FixedLocator) for axis in axes)
    figure.set_size_inches(WIDTH, height if rows else 0.8 * height)
    for axis in axes:
        axis.tick_params(labelsize=SIZE)
        _short_rows(figure, axis)
    _lay_out(figure)
    for axis in axes:
        _fewer_ticks(figure, axis)
    _stack_legends(figure)
    _lay_out(figure)
    for axis in axes:
        _break_sides(figure, axis)
    _part_columns(figure, axes)


def plots(figure: Figure) -> list[Axes]:
    """The axes of a figure that are no colour bars and no second scales."""
    return [
        axis for axis in figure.axes if axis.get_subplotspec() and axis.get_label() != "<colorbar>"
    ]


def _lay_out(figure: Figure) -> None:
    """Put everything in its place, so that texts can be measured."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "constrained_layout not applied")
        figure.draw_without_rendering()


def _short_rows(figure: Figure, axis: Axes) -> None:
    """Break the names of rows, give each row the height of its name, and leave intervals out."""
    names = [text.get_text() for text in axis.get_yticklabels()]
    if any(": " in each or " minus " in each for each in names):
        # Where the condition stands before the systems it has a line of its own.
        mark = (": ", ":\n") if any(": " in each for each in names) else (" minus ", "\nminus ")
        broken = [each.replace(*mark) for each in names]
        axis.set_yticks(axis.get_yticks(), broken)
        if axis.child_axes:
            lines = max(each.count("\n") + 1 for each in broken)
            rows = len(broken) * (LINE * lines + 0.09 - 0.29)  # 0.29: figures.forest
            figure.set_figheight(figure.get_figheight() + max(0.0, rows))
    for side in axis.child_axes:  # numbers: their intervals are drawn
        means = [text.get_text().partition(" [")[0] for text in side.get_yticklabels()]
        side.set_yticks(side.get_yticks(), means)
        side.tick_params(labelsize=SIZE)


def _fewer_ticks(figure: Figure, axis: Axes) -> None:
    """Label fewer ticks of the horizontal axis until their labels stand apart."""
    if isinstance(axis.xaxis.get_major_locator(), FixedLocator):
        ticks, texts = axis.get_xticks(), axis.get_xticklabels()
        names = [text.get_text() for text in texts]
        end = -float("inf")
        for index, text in enumerate(texts):
            box = text.get_window_extent()
            if box.x0 < end + GAP:
                names[index] = ""
            elif box.width:
                end = box.x1
        axis.set_xticks(ticks, names)
        return
    for count in (6, 5, 4, 3, 2):
        if not _crowded([text for text in axis.get_xticklabels() if text.get_visible()]):
            return
        axis.xaxis.set_major_locator(MaxNLocator(count))
        _lay_out(figure)


def _crowded(texts: Sequence[Text]) -> bool:
    boxes = [box for text in texts if (box := text.get_window_extent()).width > 1]
    boxes.sort(key=lambda box: box.x0)
    return any(right.x0 < left.x1 + GAP for left, right in pairwise(boxes))


def _stack_legends(figure: Figure) -> None:
    """Set the legend below a figure in as many columns as it has room for."""
    for old in list(figure.legends):
        names = [textwrap.fill(text.get_text(), 44) for text in old.get_texts()]
        old.remove()
        for columns in (3, 2, 1):
            new = figure.legend(
                old.legend_handles,
                names,
                ncols=columns,
                loc="outside lower left",
                fontsize=SIZE,
                columnspacing=1.2,
                handlelength=1.6,
            )
            _lay_out(figure)
            if columns == 1 or new.get_window_extent().x1 <= figure.bbox.x1:
                lines = new.get_window_extent().height / figure.dpi / LINE
                figure.set_figheight(figure.get_figheight() + LINE * max(0.0, lines - 2))
                break
            new.remove()


def _break_sides(figure: Figure, axis: Axes) -> None:
    """Break titles and labels of an axis where they would leave the figure or their column."""
    grid = axis.get_subplotspec().get_gridspec()
    most = figure.bbox.x1 - 2
    if grid.ncols > 1:  # up to where the next column may begin
        most = min(most, axis.get_window_extent().x1 + GAP)
    title = axis.get_title("left")
    for text in _narrower(title):
        axis.set_title(text, loc="left")
        if _right(axis, "_left_title") <= most:
            break
    axis.xaxis.label.set_size(SIZE)
    for text in _narrower(axis.get_xlabel()):
        axis.set_xlabel(text)
        box = axis.xaxis.label.get_window_extent()
        if box.x1 <= figure.bbox.x1 and box.x0 >= 0:
            break
    axis.yaxis.label.set_size(SIZE)
    for text in _narrower(axis.get_ylabel()):
        axis.set_ylabel(text)
        if axis.yaxis.label.get_window_extent().height <= axis.get_window_extent().height + 20:
            break


def _narrower(text: str) -> Iterator[str]:
    """A text with its lines broken at ever shorter widths, the unbroken one first."""
    lines = text.split("\n")
    longest = max(map(len, lines))
    for width in range(longest, 5, -1):
        yield "\n".join(textwrap.fill(line, width, break_long_words=False) for line in lines)


def _right(axis: Axes, name: str) -> float:
    return getattr(axis, name).get_window_extent().x1


def _part_columns(figure: Figure, axes: Sequence[Axes]) -> None:
    """Where equal labels of neighbouring columns would touch, one of them stands for all."""
    _lay_out(figure)
    rows: dict[int, list[Axes]] = {}
    for axis in axes:
        rows.setdefault(axis.get_subplotspec().rowspan.start, []).append(axis)
    for row in rows.values():
        labels = [axis.xaxis.label for axis in row if axis.get_xlabel()]
        if len({each.get_text() for each in labels}) == 1 and _crowded(labels):
            for each in labels[: len(labels) // 2] + labels[len(labels) // 2 + 1 :]:
                each.set_text("")
        if _crowded([text for axis in row for text in axis.get_xticklabels()]):
            for axis in row:
                axis.xaxis.set_major_locator(MaxNLocator(2))
