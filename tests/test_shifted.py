"""Conditions away from home: bands, rooms and rates against closed forms; levels of pairs."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denoise_lib import RATE, Corruption, wsdr
from denoise_lib.audio import resample, to_level
from denoise_lib.damage.conditions import OUT_OF_DOMAIN, Noise
from denoise_lib.damage.shifted import ChangedCorpus, MadeAtRate, room, telephone
from denoise_lib.data.crops import clip_generator, fixed_clip, spread

UNTOUCHED = Corruption(zero=0, raised=0)


def tone(hertz, samples=RATE):
    return torch.sin(2 * torch.pi * hertz * torch.arange(samples, dtype=torch.float64) / RATE)


@pytest.fixture(scope="module")
def clips(speech):
    """A few real test clips, over all voices."""
    return spread(speech.split("test"), 8)


# Another rate ---------------------------------------------------------------------------------


def test_the_original_frame_at_48_khz(speech, clips):
    """Less of it than at home: what is raised above 8 kHz goes away on the way back to 16 kHz."""
    made = MadeAtRate(Corruption(n_fft=2048, hop=512), 48_000)
    scores = []
    for clip in clips:
        noisy, clean = fixed_clip(speech, clip, made, seed=0, max_seconds=3.0)
        assert noisy.shape == clean.shape
        scores.append(float(wsdr(noisy, clean, noisy)))
    assert np.mean(scores) == pytest.approx(-0.88, abs=0.02)


def test_what_notebook_08_says_of_damage_at_48_khz(speech, clips):
    """Shares of the bins above 8 kHz, the large ones among those below, the raised ones above."""
    procedure, (clip, *_) = Corruption(n_fft=2048, hop=512), clips
    clean = to_level(speech.waveform(clip))[None]
    spectrum = procedure.stft(resample(clean, RATE, 48_000))
    above = torch.fft.rfftfreq(2048, 1 / 48_000) > RATE / 2
    zeroed = replace(procedure, zero=1.0).draw(spectrum, clip_generator(clip.name)).zeroed
    assert above.double().mean() == pytest.approx(2 / 3, abs=0.01)
    assert zeroed[:, ~above].double().mean() == pytest.approx(0.30, abs=0.01)
    raised = procedure.draw(spectrum, clip_generator(clip.name)).raised
    assert raised[:, above].sum() / raised.sum() == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_the_way_there_and_back_changes_nothing_in_the_band(rate):
    wave = 0.1 * tone(1000)
    back = MadeAtRate(UNTOUCHED, rate)(wave)
    # The resampler's filter begins and ends with the clip.
    torch.testing.assert_close(back[200:-200], wave[200:-200], atol=2e-4, rtol=0)


def test_the_damage_is_made_at_that_rate():
    """What the damage is given: a tone of the same frequency, sampled three times as often."""
    seen = []

    class Listening(Corruption):
        def __call__(self, waveform, generator=None):
            seen.append(waveform)
            return super().__call__(waveform, generator)

    out = MadeAtRate(Listening(), 48_000)(tone(440), clip_generator("a"))
    expected = np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / 48_000)
    np.testing.assert_allclose(seen[0][600:-600], expected[600:-600], atol=2e-3)
    assert out.shape == (RATE,)
    kept = MadeAtRate(Corruption(), 48_000).parameters
    assert kept == {"rate": 48_000, **Corruption().parameters}


@given(
    time=st.integers(1, 2000), batch=st.integers(1, 3), rate=st.sampled_from([8000, 44100, 48000])
)
@settings(max_examples=25, deadline=None)
def test_length_and_shape_are_kept(time, batch, rate):
    damage = MadeAtRate(Corruption(n_fft=64, hop=16), rate)
    waves = torch.ones(batch, time)
    assert damage(waves, clip_generator("b")).shape == (batch, time)
    assert damage(waves[0], clip_generator("b")).shape == (time,)


# Other speech ---------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [RATE, RATE - 1])
def test_telephone_band(samples):
    wave = torch.randn(samples, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before, after = (np.fft.rfft(each.numpy()) for each in (wave, telephone(wave)))
    freq = np.fft.rfftfreq(samples, 1 / RATE)
    inside = (freq >= 300) & (freq <= 3400)
    assert (np.abs(after[~inside]) ** 2).sum() < 1e-20 * (np.abs(before) ** 2).sum()
    np.testing.assert_allclose(after[inside], before[inside], atol=1e-9)


@pytest.mark.parametrize("seconds", [0.3, 0.7])
def test_a_room_dies_away_as_it_says(seconds):
    """T60 from Schroeder's backward integral of a click (ISO 3382-1), fitted over 20 dB."""
    click = torch.zeros(2 * RATE, dtype=torch.float64)
    click[100] = 1.0
    response = room(click, seconds).numpy()[100:]
    left = np.cumsum(response[::-1] ** 2)[::-1]
    level = 10 * np.log10(left[1:] / left[1] + 1e-30)
    start, end = np.argmax(level < -5), np.argmax(level < -25)
    slope, _ = np.polyfit(np.arange(start, end) / RATE, level[start:end], 1)
    assert -60 / slope == pytest.approx(seconds, rel=0.1)


@pytest.mark.parametrize("direct_db", [0.0, 3.0, 10.0])
def test_direct_sound_comes_first_and_at_its_level(direct_db):
    click = torch.zeros(RATE, dtype=torch.float64)
    click[0] = 1.0
    response = room(click, direct_db=direct_db).numpy()
    assert response[0] == pytest.approx(1.0)
    reverberation = (response[1:] ** 2).sum()
    assert -10 * math.log10(reverberation) == pytest.approx(direct_db, abs=0.1)


def test_a_room_is_linear_and_always_the_same():
    waves = torch.randn(2, 3001, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    one, other = (room(each) for each in waves)
    torch.testing.assert_close(room(2 * waves[0] + waves[1]), 2 * one + other)
    response = room(torch.eye(1, 3001, dtype=torch.float64)[0]).numpy()
    np.testing.assert_allclose(one, np.convolve(waves[0], response)[:3001], atol=1e-5)  # float32


@pytest.mark.parametrize("change", [telephone, room])
def test_changed_speech_is_scored_at_the_nominal_level(speech, clips, change):
    changed = ChangedCorpus(speech, change)
    assert changed.rate == speech.rate
    noisy, clean = fixed_clip(changed, clips[0], Corruption(), seed=0)
    assert float(clean.square().mean().sqrt()) == pytest.approx(0.05, rel=1e-4)
    torch.testing.assert_close(clean, to_level(change(speech.waveform(clips[0]))))
    at_home = fixed_clip(speech, clips[0], Corruption(), seed=0)[1]
    assert float(wsdr(clean, at_home, at_home + 1e-3)) > -0.999
    torch.testing.assert_close(noisy, Corruption()(clean, clip_generator(clips[0].name, 0)))


# All of them ----------------------------------------------------------------------------------


def pair(speech, clip, name, longest=2.0):
    condition = OUT_OF_DOMAIN[name]
    if condition.speech:
        speech = condition.speech()
        clip = speech.split("test")[0]
    corpus = ChangedCorpus(speech, condition.change) if condition.change else speech
    return fixed_clip(corpus, clip, condition.make(Noise()), seed=0, max_seconds=longest)


@pytest.mark.parametrize("name", OUT_OF_DOMAIN)
def test_every_condition_does_damage_and_always_the_same(speech, clips, name):
    noisy, clean = pair(speech, clips[1], name)
    assert noisy.shape == clean.shape and torch.isfinite(noisy).all()
    assert -0.95 < float(wsdr(noisy, clean, noisy)) < -0.5
    assert torch.equal(noisy, pair(speech, clips[1], name)[0])
    at_home = pair(speech, clips[1], "home")
    assert torch.equal(noisy, at_home[0]) == (name == "home")


@pytest.mark.parametrize(
    ("name", "gain"), [("speech 6 dB softer", 0.5), ("speech 6 dB louder", 2.0)]
)
def test_a_raise_of_another_value_is_speech_of_another_level(speech, clips, name, gain):
    """20 log10 2 = 6.02 dB; magnitudes scale with the speech, so the positions are the same."""
    noisy, clean = pair(speech, clips[2], name)
    moved = Corruption()(gain * clean, clip_generator(clips[2].name, 0))
    torch.testing.assert_close(noisy, moved / gain, atol=1e-6, rtol=0)
