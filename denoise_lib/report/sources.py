"""Where the numbers of a finding stand: each of them becomes a link to the row that holds it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

from denoise_lib.names import METRICS, number, score

Row = dict[str, Any]  # of results.json


def with_sources(text: str, rows: Iterable[Row], anchor: Callable[[Row], str]) -> str:
    """A finding as HTML, in which a number that one of the rows holds links to that row.

    Args:
        text: Plain text.
        rows: Of results.json, those that the finding is about.
        anchor: Where a row stands on the page.
    """
    known: dict[str, str] = {}
    for row in rows:
        for side in ("denoised", "noisy"):
            value = row[side]
            if value is not None:
                known.setdefault(escape(score(row["metric"], value)), anchor(row))
                known.setdefault(
                    escape(number(value, METRICS[row["metric"]].decimals)), anchor(row)
                )
    if not known:
        return escape(text)
    longest_first = sorted(map(re.escape, known), key=len, reverse=True)
    # Not within a longer number, and not within an interval's brackets.
    pattern = re.compile(rf"(?<![\w.,\[\u2212])(?:{'|'.join(longest_first)})(?![\w\]]|\.\d)")
    return pattern.sub(
        lambda m: f'<a class="source" href="#{known[m[0]]}">{m[0]}</a>', escape(text)
    )


def cited(finding_rows: Iterable[Row], rows: Iterable[Row]) -> bool:
    """Whether two collections have a row in common."""
    return any(one is other for one in finding_rows for other in rows)
