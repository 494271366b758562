"""wSDR against NumPy, closed forms and its own properties."""

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denoise_lib import wsdr
from denoise_lib.training.disturbance import raw_pesq
from denoise_lib.training.intelligibility import stoi
from denoise_lib.training.losses import (
    absolute_and_wsdr_loss,
    energy_conserving_loss,
    outside_loss,
    touched_loss,
    wsdr_loss,
)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def numpy_wsdr(e, y, x):
    """Choi et al. 2019, section 3.3, in float64 and for one clip."""
    e, y, x = (np.asarray(each, dtype=np.float64) for each in (e, y, x))

    def d(u, v):
        return -(u @ v) / (np.linalg.norm(u) * np.linalg.norm(v))

    a = (y @ y) / (y @ y + (x - y) @ (x - y))
    return a * d(y, e) + (1 - a) * d(x - y, x - e)


@given(seed=st.integers(0, 10**6), level=st.floats(0.01, 3))
@settings(max_examples=30, deadline=None)
def test_matches_numpy(seed, level):
    y, n, e = noise(3, 4000, seed=seed)
    x, e = y + level * n, y + 0.3 * e
    assert float(wsdr(e, y, x)) == pytest.approx(numpy_wsdr(e, y, x), abs=1e-5)


def test_perfect_is_minus_one_and_opposite_is_plus_one():
    y, n = noise(2, 8000)
    assert float(wsdr(y, y, y + n)) == pytest.approx(-1, abs=1e-6)
    assert float(wsdr(y, y, y)) == pytest.approx(-1, abs=1e-6)  # no noise at all
    # e = x + (x - y) k reverses both cosines only in part; the exact opposite of y does for a = 1.
    assert float(wsdr(-y, y, y)) == pytest.approx(1, abs=1e-6)


@given(level=st.floats(0.05, 5))
@settings(max_examples=20, deadline=None)
def test_doing_nothing_to_uncorrelated_noise_has_a_closed_form(level):
    """The identity gives -a * |y| / |x| = -a ** 1.5, its noise term being 0."""
    time = torch.arange(16000)
    y, n = torch.sin(2 * torch.pi * time / 100), level * torch.sin(2 * torch.pi * time / 40)
    a = 1 / (1 + level**2)
    assert float(wsdr(y + n, y, y + n)) == pytest.approx(-(a**1.5), abs=1e-4)


def test_worse_down_a_ladder_of_snr():
    y, n, error = noise(3, 16000)
    x = y + n
    scores = [float(wsdr(y + k * error, y, x)) for k in (0, 0.1, 0.3, 1, 3)]
    assert scores == sorted(scores) and len(set(scores)) == 5


@given(scale=st.floats(0.05, 20))
@settings(max_examples=20, deadline=None)
def test_a_common_gain_does_not_matter(scale):
    y, n, e = 0.05 * noise(3, 4000)
    assert float(wsdr(scale * e, scale * y, scale * (y + n))) == pytest.approx(
        float(wsdr(e, y, y + n)), abs=1e-5
    )


def test_a_clip_does_not_depend_on_its_batch_or_padding():
    y, n, e = noise(3, 5000)
    x = y + n
    alone = wsdr(e[:3000], y[:3000], x[:3000])
    padded = wsdr(
        torch.stack([e, e]),
        torch.stack([y, y]),
        torch.stack([x, x]),
        lengths=torch.tensor([3000, 5000]),
    )
    assert float(padded[0]) == pytest.approx(float(alone), abs=1e-6)
    assert float(padded[1]) == pytest.approx(float(wsdr(e, y, x)), abs=1e-6)


@pytest.mark.parametrize("silent", ["clean", "noise", "estimate", "clean and noise", "everything"])
def test_silence_gives_finite_values_and_gradients(silent):
    y, n, e = 0.05 * noise(3, 1600)
    y = y * ("clean" not in silent and silent != "everything")
    n = n * ("noise" not in silent and silent != "everything")
    e = (e * (silent not in ("estimate", "everything"))).requires_grad_()
    value = wsdr(e, y, y + n)
    value.backward()
    assert torch.isfinite(value) and -1 <= float(value) <= 1
    assert torch.isfinite(e.grad).all()


def test_gradient_matches_finite_differences():
    y, n, e = 0.05 * noise(3, 40).double()
    assert torch.autograd.gradcheck(lambda e: wsdr(e, y, y + n), e.requires_grad_())


def test_shapes_must_agree():
    says = r"wsdr: estimate, clean and noisy must have one shape, got \(10,\), \(1, 10\), \(10,\)"
    with pytest.raises(ValueError, match=says):
        wsdr(torch.zeros(10), torch.zeros(1, 10), torch.zeros(10))


def test_loss_is_the_mean_over_clips():
    y, n, e = noise(3, 4, 1000)
    assert float(wsdr_loss(e, y, y + n)) == pytest.approx(
        float(torch.stack([wsdr(e[i], y[i], y[i] + n[i]) for i in range(4)]).mean()), abs=1e-6
    )


def test_energy_conserving_loss_is_twice_the_absolute_error():
    y, n, e = noise(3, 2, 1000)
    expected = 2 * np.abs(y.numpy() - e.numpy()).mean()
    assert float(energy_conserving_loss(e, y, y + n)) == pytest.approx(expected, rel=1e-5)


def test_absolute_and_wsdr_loss_is_their_sum():
    y, n, e = noise(3, 2, 1000)
    x = y + n
    error = np.abs((y - e).numpy()).mean() / np.abs(n.numpy()).mean()
    assert float(absolute_and_wsdr_loss(e, y, x)) == pytest.approx(
        float(wsdr_loss(e, y, x)) + error, rel=1e-5
    )
    assert float(absolute_and_wsdr_loss(y, y, x)) == pytest.approx(-1, abs=1e-6)


@given(left=st.floats(0, 3), seed=st.integers(0, 100))
@settings(max_examples=10, deadline=None)
def test_the_error_of_what_was_touched_is_the_share_that_is_left(left, seed):
    y, n = 0.05 * noise(2, 2, 4000, seed=seed)
    assert float(touched_loss(y + left * n, y, y + n)) == pytest.approx(left, abs=1e-4)


def test_an_error_where_nothing_was_touched_costs_less():
    """The damage moves one frequency; the estimate repairs it and moves another, or nothing."""
    y = 0.05 * noise(1, 8000)
    time = torch.arange(8000) / 16000
    moved, other = (0.05 * torch.sin(2 * torch.pi * f * time)[None] for f in (500, 3000))
    x = y + moved
    assert float(touched_loss(y + other, y, x)) < 0.1 < 0.9 < float(touched_loss(x, y, x))


@pytest.mark.parametrize("loss", [absolute_and_wsdr_loss, touched_loss])
def test_losses_are_finite_where_nothing_is_wrong_or_damaged(loss):
    y, n = 0.05 * noise(2, 1, 1600)
    for clean, noisy in ((y, y + n), (y, y), (0 * y, n), (0 * y, 0 * y)):
        estimate = clean.clone().requires_grad_()
        loss(estimate, clean, noisy).backward()
        assert torch.isfinite(estimate.grad).all()


def numpy_outside(e, y):
    """The loss for outside noise by its description, one clip, in float64 with SciPy's STFT."""
    e, y = (np.asarray(each, dtype=np.float64) for each in (e, y))
    level = np.sqrt(np.mean(y**2))
    e, y = e / level, y / level
    loss = 2 * np.log10(np.mean((e - y) ** 2) / np.mean(y**2) + 10**-3.5)
    for n_fft in (512, 1280):
        window = scipy.signal.get_window("hann", n_fft)
        frames = scipy.signal.ShortTimeFFT(window / np.sqrt(np.sum(window**2)), n_fft // 2, fs=1)
        # As torch's: from the frame whose middle is the first sample to the last that has one.
        estimated, wanted = (
            frames.stft(each, p0=0, p1=len(each) // (n_fft // 2) + 1) for each in (e, y)
        )
        wrong = np.abs(estimated) ** 0.3 - np.abs(wanted) ** 0.3
        loss += 15 * np.mean(np.where(wrong < 0, 2, 1) * wrong**2)

        def compressed(spectrum):
            return np.abs(spectrum) ** 0.3 * np.exp(1j * np.angle(spectrum))

        loss += 5 * np.mean(np.abs(compressed(estimated) - compressed(wanted)) ** 2)
    return loss


@given(seed=st.integers(0, 10**6), error=st.floats(0.02, 2))
@settings(max_examples=10, deadline=None)
def test_outside_loss_matches_its_description(seed, error):
    y, n = 0.05 * noise(2, 10240, seed=seed)
    e = y + error * n
    found = float(outside_loss(e[None], y[None], y[None]))
    expected = numpy_outside(e, y) + 2 * (4.5 - float(raw_pesq(e[None], y[None])))
    expected += 10 * (1 - float(stoi(e[None], y[None])))
    assert found == pytest.approx(expected, abs=5e-3)


def test_outside_loss_stops_rewarding_at_35_db_and_does_not_hear_the_level():
    y, n = 0.05 * noise(2, 10240, seed=1)
    perfect = float(outside_loss(y[None], y[None], y[None]))
    assert perfect == pytest.approx(-7, abs=2e-2)
    noisy = [(y + 10 ** (-snr / 20) * n)[None] for snr in (60, 30, 10, 0)]
    worse = [float(outside_loss(each, y[None], each)) for each in noisy]
    assert worse == sorted(worse) and worse[0] < -6.8
    soft, clean = (y + 0.3 * n)[None], y[None]
    loud = outside_loss(4 * soft, 4 * clean, clean)
    torch.testing.assert_close(loud, outside_loss(soft, clean, clean), atol=3e-3, rtol=0)


@pytest.mark.parametrize("silent", ["estimate", "clean", "both"])
def test_outside_loss_is_finite_in_silence(silent):
    estimate, clean = noise(2, 1, 3000)
    estimate = (estimate * (silent == "clean")).requires_grad_()
    clean = clean * (silent == "estimate")
    loss = outside_loss(estimate, clean, clean)
    loss.backward()
    assert loss.isfinite() and estimate.grad.isfinite().all()


def test_outside_loss_takes_each_clip_at_its_own_level():
    y, n = noise(2, 5120, seed=3)
    clean = torch.stack([0.05 * y, 0.5 * n])
    estimate = torch.stack([0.05 * (y + 0.3 * n), 0.5 * (n + 0.3 * y)])
    apart = [outside_loss(e[None], c[None], c[None]) for e, c in zip(estimate, clean, strict=True)]
    torch.testing.assert_close(outside_loss(estimate, clean, clean), torch.stack(apart).mean())
