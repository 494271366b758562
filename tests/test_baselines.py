"""What a user would try instead: no shift, same length, closed forms, NumPy loops, real speech."""

import importlib.util
import itertools
import sys

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denoise_lib import RATE, Corruption, wsdr
from denoise_lib.audio import to_level
from denoise_lib.data.crops import fixed_batch
from denoise_lib.errors import UserError
from denoise_lib.metrics.evaluate import evaluate
from denoise_lib.metrics.measures import score
from denoise_lib.models.base import find
from denoise_lib.models.baselines import (
    BASELINES,
    Gain,
    LogMMSE,
    Neighbourhood,
    RNNoise,
    SpectralGating,
    WebRTC,
    neighbourhood,
    rnnoise,
    webrtc,
)
from denoise_lib.models.baselines.log_mmse import NoiseTracker, exp1, log_mmse_gain, wiener_gain
from denoise_lib.models.inference import process
from denoise_lib.study import neighbours
from denoise_lib.study.neighbours import best_neighbourhood

MADE = {name: find(name)() for name in BASELINES}


def white(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def clips(speech):
    """Some validation clips of a few seconds."""
    return [c for c in speech.split("valid") if 2.5 * RATE < c.samples < 5 * RATE][:4]


@pytest.fixture(scope="module")
def clean(speech, clips):
    """One of them, (time,)."""
    return to_level(speech.waveform(clips[0]))


# --- all of them -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BASELINES)
@given(batch=st.integers(1, 2), time=st.one_of(st.integers(1, 3), st.integers(4, 3000)))
@settings(max_examples=12, deadline=None)
def test_output_has_the_shape_of_the_input(name, batch, time):
    noisy = 0.05 * white(batch, time)
    before = noisy.clone()
    out = MADE[name](noisy)
    assert out.shape == noisy.shape and out.dtype == torch.float32
    assert torch.isfinite(out).all()
    assert torch.equal(noisy, before)


@pytest.mark.parametrize("name", BASELINES)
def test_silence_stays_silent(name, clean):
    assert float(MADE[name](torch.zeros(2, RATE)).abs().max()) < 1e-6
    # Speech between stretches of digital silence, as edited recordings have them.
    between = torch.cat([torch.zeros(RATE), clean, torch.zeros(RATE)])
    assert torch.isfinite(MADE[name](between[None])).all()


@pytest.mark.parametrize("name", BASELINES)
def test_an_untouched_signal_is_not_shifted(name, clean):
    out = MADE[name](clean[None])[0]
    size = 2 * len(clean)
    product = torch.fft.rfft(out, size) * torch.fft.rfft(clean, size).conj()
    shift = (int(torch.fft.irfft(product).argmax()) + size // 2) % size - size // 2
    # WebRTC's high-pass leads by a sample or two, by more at low frequencies.
    assert abs(shift) <= (2 if name == "webrtc" else 0)


@pytest.mark.parametrize("name", BASELINES)
def test_clips_do_not_mix(name, clean):
    pair = torch.stack([clean, 0.05 * white(len(clean))])
    alone = torch.cat([MADE[name](clip[None]) for clip in pair])
    torch.testing.assert_close(MADE[name](pair), alone, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", BASELINES)
def test_is_scored_like_a_network(name, speech, clips):
    rows = evaluate(MADE[name], speech, clips[:1], Corruption(), seed=0, metrics=("wsdr",))
    assert -1 < rows[0]["denoised"]["wsdr"] < 0
    assert rows[0]["denoised"] != rows[0]["noisy"]


@pytest.mark.parametrize("name", BASELINES)
def test_chunks_are_close_to_one_pass(name, speech, clips):
    """Exactly equal only where nothing adapts; else the run-in on the context has to do."""
    noisy = torch.cat([to_level(speech.waveform(clip)) for clip in clips])[: 8 * RATE]
    noisy = noisy + 0.01 * white(len(noisy))
    whole = MADE[name](noisy[None])[0]
    error = process(MADE[name], noisy, chunk_seconds=3.0) - whole
    share = float(error.square().sum() / whole.square().sum())
    assert share < (1e-9 if name == "neighbourhood" else 0.01)


@pytest.mark.parametrize(
    "baseline",
    [SpectralGating(), LogMMSE(), LogMMSE(gain="wiener"), RNNoise()],
    ids=["gating", "log_mmse", "wiener", "rnnoise"],
)
def test_white_noise_on_speech_gets_less(baseline, speech, clips):
    gains = []
    for number, clip in enumerate(clips):
        y = to_level(speech.waveform(clip))
        x = y + 0.05 * white(len(y), seed=number)  # 0 dB
        before, after = (score(each, y, x, ("si_sdr",))[0] for each in (x, baseline(x[None])[0]))
        gains.append(after["si_sdr"] - before["si_sdr"])
    assert min(gains) > 2  # dB


def test_what_wsdr_gives_for_level_alone():
    """Uncorrelated noise: the closed form, for any factor below 1; SI-SDR knows no level."""
    y, n = 0.05 * white(8, 200_000), 0.04 * white(8, 200_000, seed=1)
    x, a = y + n, 25 / 41
    for factor in (0.1, 0.5, 0.99):
        value = float(wsdr(Gain(factor)(x), y, x).mean())
        assert value == pytest.approx(-(a**1.5) - (1 - a) ** 1.5, abs=0.01)
    louder = float(wsdr(Gain(2)(x), y, x).mean())
    assert louder == pytest.approx(-(a**1.5) + (1 - a) ** 1.5, abs=0.01)
    scored = [score(each[0], y[0], x[0], ("si_sdr",))[0] for each in (x, Gain()(x))]
    before, after = (each["si_sdr"] for each in scored)
    assert after == pytest.approx(before, abs=1e-3)
    for factor in (0, 1, -2):
        with pytest.raises(ValueError, match="factor"):
            Gain(factor)


# --- log-MMSE ----------------------------------------------------------------------------------


def test_exp1_matches_scipy():
    x = np.concatenate([np.geomspace(1e-8, 60, 4000), [1.0]])
    ours = exp1(torch.from_numpy(x)).numpy()
    # The formulas are good to 2e-7 absolute below 1 and 5e-8 of x exp(x) E1(x) above.
    np.testing.assert_allclose(ours, scipy.special.exp1(x), rtol=1.5e-6)
    assert torch.isfinite(exp1(torch.tensor([1e-30, 100.0, 1e30]))).all()


def test_gains_are_the_closed_forms():
    prior, posterior = np.meshgrid(np.geomspace(1e-2, 1e3, 40), np.geomspace(1e-3, 1e3, 40))
    v = prior / (1 + prior) * posterior
    expected = prior / (1 + prior) * np.exp(0.5 * scipy.special.exp1(v))
    given = torch.from_numpy(prior), torch.from_numpy(posterior)
    np.testing.assert_allclose(log_mmse_gain(*given).numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(wiener_gain(*given).numpy(), prior / (1 + prior), rtol=1e-12)
    assert (log_mmse_gain(*given) >= wiener_gain(*given)).all()


def test_noise_tracker_finds_the_power_of_stationary_noise():
    """Powers of Gaussian noise's coefficients are exponentially distributed."""
    power = 3.0 * torch.empty(1, 257, 600).exponential_(generator=torch.Generator().manual_seed(0))
    tracker = NoiseTracker(power[..., 0])
    for frame in power[..., 1:].unbind(-1):
        tracker.update(frame)
    assert float(tracker.noise.mean()) == pytest.approx(3.0, rel=0.1)


def test_noise_tracker_is_not_drawn_along_by_a_burst_but_follows_a_new_level():
    power = torch.empty(1, 257, 900).exponential_(generator=torch.Generator().manual_seed(1))
    power[..., 300:340] *= 1000  # 0.3 s, 30 dB up
    power[..., 400:] *= 30  # for good
    tracker, levels = NoiseTracker(power[..., 0]), []
    for frame in power[..., 1:].unbind(-1):
        tracker.update(frame)
        levels.append(float(tracker.noise.mean()))
    # 1 - p is 0.2, 0.2 ** 2, ... from the first frame on, which sums up to a quarter: of the burst,
    # 0.05 * 0.25 gets through. The frames after it, as its smoothed power decays, stand still too.
    assert max(levels[250:390]) == pytest.approx(1 + 0.05 * 0.25 * 1000, rel=0.1)
    assert levels[-1] == pytest.approx(30, rel=0.15)


@pytest.mark.parametrize("gain", ["log_mmse", "wiener"])
def test_gains_follow_the_recursion_frame_by_frame(gain):
    """One bin in plain floats, with SciPy's exponential integral."""
    power = torch.rand(1, 1, 200, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    power[..., 80:120] *= 50
    p = power[0, 0].tolist()
    noise = smooth = minimum = recent = p[0]
    presence, magnitude, expected = 0.0, 0.0, []
    for t, value in enumerate(p):
        posterior = value / noise
        prior = 0.98 * magnitude**2 / noise + 0.02 * max(posterior - 1, 0)
        prior = max(prior, 10 ** (-25 / 10))
        g = prior / (1 + prior)
        if gain == "log_mmse":
            g *= np.exp(0.5 * scipy.special.exp1(g * posterior))
        expected.append(g)
        magnitude = g * value**0.5
        smooth = 0.8 * smooth + 0.2 * value
        if (t + 1) % 125 == 0:
            minimum, recent = min(recent, smooth), smooth
        else:
            minimum, recent = min(minimum, smooth), min(recent, smooth)
        presence = 0.2 * presence + 0.8 * (smooth > 5 * minimum)
        forget = 0.95 + 0.05 * presence
        noise = forget * noise + (1 - forget) * value
    ours = LogMMSE(gain).gains(power)[0, 0].numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_unknown_gain_is_named():
    with pytest.raises(ValueError, match="'mmse'"):
        LogMMSE(gain="mmse")


# --- RNNoise -----------------------------------------------------------------------------------


def test_rnnoise_is_what_its_package_gives():
    """pyrnnoise's own front end, which works on 16-bit samples at 48 kHz."""
    package = pytest.importorskip("pyrnnoise", exc_type=ImportError)
    samples = (3000 * white(48000 // 2)).round().to(torch.int16).numpy()
    frames = [frame for _, frame in package.RNNoise(48000).denoise_chunk(samples, partial=True)]
    theirs = np.concatenate(frames, axis=1)[0].astype(np.float32)
    ours = rnnoise._denoise(samples.astype(np.float32))
    shared = len(theirs) - rnnoise.DELAY
    assert shared > 20000
    # Theirs is truncated to whole numbers.
    np.testing.assert_allclose(ours[:shared], theirs[rnnoise.DELAY :], atol=1.01)


def test_rnnoise_without_its_package_is_one_line(monkeypatch):
    rnnoise._binding.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install pyrnnoise"):
        RNNoise()


# --- neighbourhood -----------------------------------------------------------------------------


def test_webrtc_is_the_package_with_its_delay_taken_off(clean):
    """The package fed frame by frame, rounded to 16 bits; each level takes more than the last."""
    from webrtc_noise_gain import AudioProcessor

    noisy = (clean + 0.02 * white(len(clean)))[: RATE // 160 * 160]
    left = []
    for level in (1, 2, 4):
        processor = AudioProcessor(0, level)
        samples = np.round(noisy.numpy() * 32768).astype("<i2").reshape(-1, 160)
        out = b"".join(processor.Process10ms(frame.tobytes()).audio for frame in samples)
        expected = np.frombuffer(out, "<i2")[webrtc.DELAY :] / 32768
        ours = WebRTC(level)(noisy[None])[0]
        np.testing.assert_array_equal(ours[: len(expected)].numpy(), expected.astype(np.float32))
        left.append(float(ours[-RATE // 4 :].square().mean()))
    assert left[0] > left[1] > left[2]
    with pytest.raises(ValueError, match="level must be from 1 to 4, got 5"):
        WebRTC(5)


def test_webrtc_without_its_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "webrtc_noise_gain", None)
    with pytest.raises(UserError, match="pip install webrtc-noise-gain"):
        WebRTC()


def repaired_slowly(spectrum, axis, reach, average, threshold, side, blend):
    """The definition, coefficient by coefficient."""
    out = spectrum.copy()
    rows, columns = spectrum.shape
    for row, column in np.ndindex(rows, columns):
        r = reach if axis != "time" else 0
        c = reach if axis != "frequency" else 0
        around = [
            abs(spectrum[i, j])
            for i in range(max(0, row - r), min(rows, row + r + 1))
            for j in range(max(0, column - c), min(columns, column + c + 1))
            if (i, j) != (row, column)
        ]
        own = abs(spectrum[row, column])
        if not around or own == 0:
            continue
        other = np.mean(around) if average == "mean" else sorted(around)[(len(around) - 1) // 2]
        low, high = own * threshold < other, own > other * threshold
        if (low and side != "high") or (high and side != "low"):
            out[row, column] *= ((1 - blend) * own + blend * other) / own
    return out


@pytest.mark.parametrize("axis", neighbourhood.AXES)
@pytest.mark.parametrize("average", neighbourhood.AVERAGES)
@pytest.mark.parametrize("side", neighbourhood.SIDES)
@pytest.mark.parametrize("shape", [(7, 9), (6, 1)])
def test_repair_matches_a_loop(axis, average, side, shape):
    real, imaginary = (white(1, *shape, seed=seed).double() for seed in (1, 2))
    spectrum = torch.complex(real, imaginary)
    spectrum[0, 2, 0] = 0
    for reach, threshold, blend in ((1, 1.0, 1.0), (2, 1.5, 0.3)):
        settings_ = (axis, reach, average, threshold, side, blend)
        ours = Neighbourhood(*settings_).repair(spectrum)[0].numpy()
        np.testing.assert_allclose(ours, repaired_slowly(spectrum[0].numpy(), *settings_))


def test_phase_is_kept_and_no_blend_changes_nothing(clean):
    spectrum = Corruption().stft(clean[None])
    turned = Neighbourhood(blend=1.0).repair(spectrum) * spectrum.conj()
    assert float(torch.angle(turned[turned.abs() > 1e-6]).abs().max()) < 1e-3
    torch.testing.assert_close(Neighbourhood(blend=0.0)(clean[None])[0], clean, atol=1e-6, rtol=0)


@pytest.fixture
def small_grid(monkeypatch):
    monkeypatch.setattr(neighbours, "REACHES", (1,))
    monkeypatch.setattr(neighbours, "THRESHOLDS", (1.0, 2.0))
    monkeypatch.setattr(neighbours, "BLENDS", (0.0, 0.5))


def test_the_best_is_the_best_of_the_grid(speech, small_grid):
    damage = Corruption.for_condition("zero")
    noisy, clean = fixed_batch(
        speech, speech.split("valid"), damage, seed=0, seconds=1.0, max_clips=4
    )
    found, value = best_neighbourhood(noisy, clean)
    slow = {}
    axes, averages, sides = neighbourhood.AXES, neighbourhood.AVERAGES, neighbourhood.SIDES
    for setting in itertools.product(axes, (1,), averages, (1.0, 2.0), sides, (0.0, 0.5)):
        slow[setting] = float(wsdr(Neighbourhood(*setting)(noisy), clean, noisy).mean())
    best = min(slow, key=slow.get)
    assert tuple(found.config[each] for each in neighbours.SETTINGS) == best
    assert value == pytest.approx(slow[best], abs=1e-5)
    # Zeroed coefficients are filled from their neighbours: better than doing nothing.
    assert value < float(wsdr(noisy, clean, noisy).mean()) - 0.01


def test_where_nothing_helps_the_best_does_nothing(small_grid):
    noise = 0.05 * white(2, 8000)
    found, value = best_neighbourhood(noise, noise)
    assert found.config["blend"] == 0 and value == pytest.approx(-1, abs=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [{"axis": "rows"}, {"average": "mode"}, {"side": "left"}, {"reach": 0}, {"threshold": 0.5}],
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Neighbourhood(**wrong)
