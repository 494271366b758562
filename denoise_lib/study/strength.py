"""Find the strength of the damage that gives a target wSDR."""

from __future__ import annotations

from dataclasses import replace

import torch

from denoise_lib.damage.corruption import Corruption
from denoise_lib.data.corpora import Clip
from denoise_lib.data.crops import fixed_clip
from denoise_lib.metrics.wsdr import wsdr
from denoise_lib.study.experiment import Experiment


def strength_for_level(
    lab: Experiment, clips: list[Clip], damage: Corruption, parameter: str, target: float
) -> Corruption:
    """The procedure whose damage gives a wanted mean wSDR, found by bisection.

    Args:
        clips: Clips to take the mean over; not test clips.
        damage: Where the other parameters come from.
        parameter: The share to change, "zero" or "raised"; more of it is more damage.
        target: Wanted mean wSDR of the damaged clips.
    """
    low, high = 0.0, 1.0
    for _ in range(7):  # to a hundredth of the range
        middle = replace(damage, **{parameter: (low + high) / 2})
        scores = []
        for clip in clips:
            noisy, clean = fixed_clip(lab.corpus, clip, middle, lab.seed, lab.max_seconds or None)
            scores.append(wsdr(noisy, clean, noisy))
        if float(torch.stack(scores).mean()) < target:
            low = getattr(middle, parameter)
        else:
            high = getattr(middle, parameter)
    return middle
