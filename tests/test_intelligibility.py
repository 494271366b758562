"""STOI for training against the program, and what it is to do."""

import numpy as np
import pytest
import torch
from pystoi import stoi as program

from denoise_lib import RATE
from denoise_lib.data.crops import clip_generator
from denoise_lib.training.intelligibility import stoi


@pytest.fixture(scope="module")
def clips(speech):
    """Two seconds of four clips at one level."""
    waves = (speech.waveform(clip)[: 2 * RATE] for clip in speech.split("valid"))
    long = [0.05 * each / each.square().mean().sqrt() for each in waves if len(each) == 2 * RATE]
    return torch.stack(long[:4])


def noise_like(clean, seed=0):
    noise = torch.randn(clean.shape, generator=clip_generator("noise", seed))
    return noise * clean.square().mean(-1, keepdim=True).sqrt()


def test_scores_are_those_of_the_program(clips):
    pairs = [
        (clean + 10 ** (-snr / 20) * noise_like(clean, index), clean)
        for index, clean in enumerate(clips)
        for snr in (-5, 0, 5, 10, 20)
    ]
    theirs = [program(clean.numpy(), degraded.numpy(), RATE) for degraded, clean in pairs]
    degraded, clean = (torch.stack(each) for each in zip(*pairs, strict=True))
    assert np.ptp(theirs) > 0.2
    ours = stoi(degraded, clean).numpy()
    assert np.corrcoef(ours, theirs)[0, 1] > 0.99
    np.testing.assert_allclose(ours, theirs, atol=0.04)


def test_silent_frames_do_not_count(clips):
    degraded = clips + noise_like(clips)
    pause = torch.zeros(len(clips), 40 * 205)  # whole hops, so that frames of speech are the same
    half = 80 * 205

    def interrupted(each, filling):
        return torch.cat([each[:, :half], filling, each[:, half:]], 1)

    with_noise = interrupted(degraded, 0.05 * noise_like(clips)[:, : pause.shape[1]])
    found = stoi(with_noise, interrupted(clips, pause))
    # Without leaving them out, these scores differ by more than 0.05.
    torch.testing.assert_close(found, stoi(degraded, clips), atol=0.02, rtol=0)


@pytest.mark.parametrize("gain", [0.1, 1.0, 10.0])
def test_a_copy_at_any_level_is_understood(clips, gain):
    torch.testing.assert_close(stoi(gain * clips, clips), torch.ones(4), atol=1e-3, rtol=0)


def test_silence_is_not_understood(clips):
    assert (stoi(torch.zeros_like(clips), clips) < 1e-3).all()


def test_the_level_of_both_does_not_matter(clips):
    degraded = clips + noise_like(clips)
    expected = stoi(degraded, clips)
    for gain in (0.01, 0.1, 10.0):
        torch.testing.assert_close(stoi(gain * degraded, gain * clips), expected, atol=1e-3, rtol=0)


def test_following_the_gradient_makes_it_clearer(clips):
    degraded = (clips + noise_like(clips)).requires_grad_()
    before = stoi(degraded, clips)
    before.sum().backward()
    step = degraded.grad / degraded.grad.norm(dim=-1, keepdim=True)
    after = stoi(degraded.detach() + 0.2 * step, clips)
    assert (after > before + 0.002).all()


@pytest.mark.parametrize("samples", [512, 3000, 32000])
@pytest.mark.parametrize("silent", ["estimate", "clean", "both"])
def test_silence_and_short_clips_give_a_finite_slope(samples, silent):
    estimate, clean = torch.randn(2, 2, samples, generator=clip_generator("s", 0)).unbind()
    estimate = estimate * (silent == "clean")
    clean = clean * (silent == "estimate")
    estimate = estimate.requires_grad_()
    score = stoi(estimate, clean)
    score.sum().backward()
    assert torch.isfinite(score).all() and torch.isfinite(estimate.grad).all()


def test_too_few_frames_have_no_score(clips):
    few = clips[:, : 410 + 28 * 205]
    assert stoi(few, few).tolist() == [0.0] * 4
