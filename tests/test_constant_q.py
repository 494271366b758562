"""Constant-Q: against librosa and closed forms, the loss and resynthesis by property."""

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import small_corpus

from denoise_lib import RATE, wsdr
from denoise_lib.study.constant_q import (
    LOWEST,
    OCTAVES,
    WEIGHT,
    ConstantQ,
    magnitude_distance,
    resynthesis,
    wsdr_cqt_loss,
)

TRANSFORM = ConstantQ(hop=256)


def voice(seconds=2.0):
    corpus = small_corpus()
    return corpus.waveform(corpus.split("test")[0])[: round(seconds * RATE)]


@pytest.mark.parametrize("index", [24, 49, 72])
def test_a_tone_peaks_in_its_bin_and_is_as_large_as_written_down(index):
    """|<tone, filter>| is half the amplitude, times the root of the filter's length."""
    frequency = LOWEST * 2 ** (index / 12)
    tone = torch.sin(2 * torch.pi * frequency * torch.arange(2 * RATE) / RATE)[None]
    levels = TRANSFORM(tone)[0, :, 60].abs()
    assert int(levels.argmax()) == index
    ratio = 2 ** (1 / 6)  # from the bin below to the bin above
    length = RATE / frequency * (ratio + 1) / (ratio - 1)  # samples, librosa's bandwidth
    assert float(levels[index]) == pytest.approx(length**0.5 / 2, rel=0.02)


def test_it_agrees_with_librosa():
    x = voice()
    ours = TRANSFORM(x[None])[0].abs().numpy()
    theirs = np.abs(
        librosa.cqt(x.numpy(), sr=RATE, hop_length=256, fmin=LOWEST, n_bins=12 * OCTAVES)
    )
    assert ours.shape == theirs.shape
    # librosa computes low octaves from resampled signals, and differs where there is hardly any
    # energy beside a strong harmonic.
    inner = slice(12, -12)
    error = np.linalg.norm((ours - theirs)[:, inner]) / np.linalg.norm(theirs[:, inner])
    assert error < 0.1


@given(batch=st.integers(1, 2), time=st.integers(1, 3000))
@settings(max_examples=15, deadline=None)
def test_frames_for_any_length(batch, time):
    assert TRANSFORM(torch.zeros(batch, time)).shape == (batch, 12 * OCTAVES, 1 + time // 256)


def test_distance_hears_no_phase_and_is_each_clips_own():
    x = torch.stack([voice(), voice().flip(0)])
    assert magnitude_distance(x, x).tolist() == [0, 0]
    assert magnitude_distance(-x, x).tolist() == pytest.approx([0, 0], abs=1e-6)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    near, far = (magnitude_distance(x + level * noise, x) for level in (0.001, 0.01))
    assert (near > 0).all() and (near < far).all()
    alone = magnitude_distance(x[1:] + 0.01 * noise[1:], x[1:])
    torch.testing.assert_close(alone[0], far[1], atol=1e-5, rtol=1e-4)


def test_loss_is_wsdr_and_a_share_of_the_distance():
    y = voice(0.5)[None]
    x = y + 0.01 * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    estimate = (0.5 * (x + y)).requires_grad_()
    loss = wsdr_cqt_loss(estimate, y, x)
    expected = wsdr(estimate, y, x) + WEIGHT * magnitude_distance(estimate, y)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()))
    loss.backward()
    assert torch.isfinite(estimate.grad).all() and estimate.grad.any()


def test_silence_has_a_finite_gradient():
    estimate = torch.zeros(1, 4000, requires_grad=True)
    loss = wsdr_cqt_loss(estimate, torch.zeros(1, 4000), torch.zeros(1, 4000))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(estimate.grad).all()


def test_true_phases_bring_the_waveform_back_and_magnitudes_do_not():
    x = voice()
    phased = resynthesis(x, per_octave=12, iterations=None)
    alone = resynthesis(x, per_octave=12, iterations=4)
    assert phased.shape == alone.shape == x.shape and phased.dtype == torch.float32
    # Without noise wSDR is minus the cosine.
    assert float(wsdr(phased, x, x)) < -0.97
    assert float(wsdr(alone, x, x)) > -0.8


def test_nothing_but_magnitudes_goes_into_resynthesis():
    x = voice(1.0)
    alone = resynthesis(x, per_octave=12, iterations=2, seed=3)
    torch.testing.assert_close(resynthesis(-x, per_octave=12, iterations=2, seed=3), alone)
    assert not torch.equal(resynthesis(x, per_octave=12, iterations=2, seed=4), alone)
