"""Exactly so many of the smallest or largest values of each row."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

STRIDE = 17  # one value of so many tells about where to look for an edge


def extremes(
    values: Tensor, count: int, largest: bool = False, among: Tensor | None = None
) -> Tensor:
    """Mask of the ``count`` smallest, or largest, values of each row.

    Where equal values leave a choice, it is ``topk``'s.

    Args:
        values: (rows, columns).
        count: How many of each row, at most as many as it has candidates.
        largest: Take the largest instead.
        among: Candidates, boolean, (rows, columns); all of them where it is None.

    Returns:
        Boolean, (rows, columns).
    """
    if values.device.type == "cpu" and count:
        mask = _by_edges(values, count, largest, among)
        if mask is not None:
            return mask
    if among is not None:
        values = values.masked_fill(~among, -torch.inf if largest else torch.inf)
    chosen = values.topk(count, dim=1, largest=largest, sorted=False).indices
    return torch.zeros_like(values, dtype=torch.bool).scatter_(1, chosen, True)


def _by_edges(values: Tensor, count: int, largest: bool, among: Tensor | None) -> Tensor | None:
    """What lies on the right side of the last value that counts; several times as fast.

    None where that is not ``count`` values, since some are equal, or no numbers.
    """
    mask = torch.empty(values.shape, dtype=torch.bool)
    candidates = [None] * len(values) if among is None else among.numpy()
    for row, allowed, out in zip(values.detach().numpy(), candidates, mask.numpy(), strict=True):
        known = row if allowed is None else row[allowed]
        if largest:
            np.greater_equal(row, at_rank(known, len(known) - count), out=out)
        else:
            np.less_equal(row, at_rank(known, count - 1), out=out)
        if allowed is not None:
            out &= allowed
        if np.count_nonzero(out) != count:
            return None
    return mask


def at_rank(values: NDArray, rank: int) -> float:
    """The value at an index of the sorted values, (n,), as by R. Floyd and R. Rivest (1975).

    A sample tells about where it lies, and only what lies there is looked through.
    """
    sample = np.sort(values[::STRIDE])
    place, margin = rank // STRIDE, int(1.5 * len(sample) ** 0.5) + 1  # 3 standard deviations
    if margin < place < len(sample) - margin:
        low, high = sample[place - margin], sample[place + margin]
        near = values[(values > low) & (values <= high)]
        index = rank - np.count_nonzero(values <= low)
        if 0 <= index < len(near):
            return np.partition(near, index)[index]
    return np.partition(values, rank)[rank]
