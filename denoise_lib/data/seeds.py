"""Random numbers that a name and a seed fix."""

from __future__ import annotations

import hashlib

import torch


def clip_generator(name: str, seed: int = 0) -> torch.Generator:
    """CPU generator fixed by a clip's identity and a seed: the same damage for every model.

    Args:
        name: The clip's unique name.
        seed: Seed of the whole experiment.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
