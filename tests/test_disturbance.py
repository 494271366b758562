"""Disturbances against PESQ's own program and what they are to do."""

import numpy as np
import pytest
import torch
from pesq import pesq

from denoise_lib import RATE, Corruption
from denoise_lib.data.crops import clip_generator
from denoise_lib.training.disturbance import disturbances, raw_pesq


@pytest.fixture(scope="module")
def clips(speech):
    """Two seconds of four clips at one level."""
    waves = (speech.waveform(clip)[: 2 * RATE] for clip in speech.split("valid"))
    long = [0.05 * each / each.square().mean().sqrt() for each in waves if len(each) == 2 * RATE]
    return torch.stack(long[:4])


def noise_like(clean, snr, seed):
    noise = torch.randn(clean.shape, generator=clip_generator("noise", seed))
    return noise * clean.square().mean().sqrt() * 10 ** (-snr / 20)


def program(estimate, clean):
    """The program's mean opinion score, before the mapping of ITU-T P.862.2."""
    score = pesq(RATE, clean.numpy(), estimate.numpy(), "wb")
    return (3.8224 - np.log(4 / (score - 0.999) - 1)) / 1.3669


@pytest.mark.slow
def test_the_score_is_that_of_the_program(clips):
    theirs, ours = [], []
    for index, clean in enumerate(clips):
        versions = [clean + noise_like(clean, snr, index) for snr in (0, 5, 10, 15, 20, 25)]
        versions += [
            Corruption.for_condition(each)(clean, clip_generator("a", index))
            for each in ("zero", "raise", "both")
        ]
        for estimate in versions:
            ours.append(float(raw_pesq(estimate[None], clean[None])))
            theirs.append(program(estimate, clean))
    assert np.ptp(theirs) > 1.5
    assert np.corrcoef(ours, theirs)[0, 1] > 0.97
    assert abs(np.mean(ours) - np.mean(theirs)) < 0.6


def test_a_copy_at_any_level_disturbs_nobody(clips):
    for gain in (0.1, 1.0, 5.0):
        first, second = disturbances(gain * clips, clips)
        assert float(first.max()) < 0.05 and float(second.max()) < 0.05
        assert torch.allclose(raw_pesq(gain * clips, clips), torch.tensor(4.5), atol=0.02)


def test_what_was_added_counts_more_than_what_was_taken(clips):
    more = clips + torch.stack([noise_like(each, 5, 1) for each in clips])
    added, taken = disturbances(more, clips), disturbances(clips, more)
    assert float(added[1].mean()) > 2 * float(taken[1].mean())
    assert float(added[1].max()) <= 45


def test_gradients_are_finite_in_silence_too(clips):
    estimate = clips.clone().requires_grad_()
    for clean in (clips.flip(0), torch.zeros_like(clips)):
        raw_pesq(estimate, clean).mean().backward()
        assert estimate.grad.isfinite().all()
