"""Disturbances against PESQ's own program and what they are to do."""

import numpy as np
import pytest
import scipy.signal
import torch
from pesq import pesq

from denoise_lib import RATE, Corruption
from denoise_lib.data.crops import clip_generator
from denoise_lib.training.disturbance import (
    _bands,
    _over_time,
    _saturated,
    _wideband,
    disturbances,
    raw_pesq,
)


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
def test_scores_go_with_those_of_the_program(clips):
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


def test_a_saturated_disturbance_keeps_a_gradient():
    frames = torch.tensor([1.0, 45.0, 90.0, 500.0], requires_grad=True)
    _saturated(frames).sum().backward()
    assert float(_saturated(frames).max()) <= 45 and bool((frames.grad > 0).all())


def test_the_worst_frames_of_a_stretch_count_most():
    frames = torch.zeros(1, 40)
    frames[0, 5] = 20.0
    stretches = [frames[0, begin : begin + 20].numpy() for begin in (0, 10, 20)]
    expected = np.sqrt(np.mean([np.mean(each**6) ** (1 / 3) for each in stretches]))
    assert float(_over_time(frames)) == pytest.approx(expected, rel=1e-3)
    assert expected > 10 * float(frames.mean())


def test_filter_and_exponents_are_those_of_the_standard():
    gain = _wideband(torch.tensor([0.0, 100.0, 1000.0, 8000.0], dtype=torch.float64))
    numerator, denominator = 2.740826 * np.array([1, -2, 1]), [1, -1.9444777, 0.94597794]
    _, expected = scipy.signal.freqz(numerator, denominator, [0, 100, 1000, 8000], fs=RATE)
    np.testing.assert_allclose(gain.numpy(), np.abs(expected) ** 2, atol=1e-9)
    assert float(10 * gain[2].log10()) == pytest.approx(9.0, abs=0.05)
    exponent = _bands(torch.device("cpu")).exponent
    assert float(exponent[0]) == pytest.approx(0.23 * 2**0.15)
    assert float(exponent[-1]) == pytest.approx(0.23)
