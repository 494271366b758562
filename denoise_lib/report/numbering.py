"""Numbers of figures and tables: each has one, and an anchor of its own."""

from __future__ import annotations

import re

_PLACE = re.compile(r'<figure class="(?P<kind>[^"]*)|<(?P<tag>figcaption|caption)>')


def numbered(html: str) -> str:
    """HTML in which every caption begins with "Figure 3" or "Table 2", counted from the top.

    A caption of a player is none of a figure.
    """
    counts = {"Figure": 0, "Table": 0}
    kind = ""

    def label(match: re.Match[str]) -> str:
        nonlocal kind
        if not match["tag"]:
            kind = match["kind"]
            return match[0]
        if match["tag"] == "figcaption" and kind.split()[:1] != ["figure"]:
            return match[0]
        word = "Table" if match["tag"] == "caption" else "Figure"
        counts[word] += 1
        anchor = f"{word.lower()}-{counts[word]}"
        return (
            f'{match[0]}<a class="label" id="{anchor}" href="#{anchor}">{word} {counts[word]}</a> '
        )

    body, script, rest = html.partition("<script>")
    return _PLACE.sub(label, body) + script + rest
