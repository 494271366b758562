"""Assign clips to splits by a hash of a key, so that the assignment never changes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

SPLITS = ("train", "valid", "test", "unseen_voice", "unused")

FRACTIONS = (0.8, 0.1, 0.1)  # train, valid, test


def share(name: str) -> float:
    """A number in [0, 1) that is a pure function of the name and as good as random over names."""
    return (
        int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:8], "big")
        / 2**64
    )


def split_of(name: str, fractions: Sequence[float] = FRACTIONS) -> str:
    """The split of a name: "train", "valid" or "test" in these fractions, the rest "unused".

    A listing is never shuffled, so adding or removing clips moves no other clip.

    Raises:
        ValueError: There are not three fractions, one is negative, or their sum is above 1.
    """
    at = share(name)
    for split, end in zip(SPLITS[:3], _ends(fractions), strict=True):
        if at < end:
            return split
    return "unused"


def split_of_unseen(name: str, fractions: Sequence[float] = FRACTIONS) -> str:
    """The split of a clip whose voice is kept out of training.

    Only clips in the test share are scored: the others say what training clips say, in another
    voice or language.
    """
    return "unseen_voice" if split_of(name, fractions) == "test" else "unused"


def _ends(fractions: Sequence[float]) -> tuple[float, float, float]:
    """Upper ends of the three shares, checked."""
    if len(fractions) != 3 or min(fractions) < 0 or sum(fractions) > 1 + 1e-9:
        raise ValueError(
            "fractions of train, valid and test are at least 0 and at most 1 in all, "
            f"got {fractions}"
        )
    train, valid, test = fractions
    return train, train + valid, (1.0 if sum(fractions) > 1 - 1e-9 else sum(fractions))
