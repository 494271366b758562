"""Variety in training: damage by clip, parameters in their ranges, speech that differs."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from denoise_lib import RATE, Corruption, StreetMix
from denoise_lib.damage.augment import (
    FRAMES,
    OVERLAPS,
    OneOf,
    VariedCorruption,
    VariedStreet,
    vary_speech,
)
from denoise_lib.damage.corruption import FIXED
from denoise_lib.data.crops import clip_generator


def noise(*shape, seed=0):
    return 0.05 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def times(factor):
    """A damage that can be told from others."""
    return lambda waveform, generator: factor * waveform


# One of several -------------------------------------------------------------------------------


def test_each_clip_gets_one_damage_as_often_as_its_weight_says():
    weights, clips = [1.0, 2.0, 5.0, 0.0], 4000
    chooser = OneOf([times(k) for k in (1, 2, 3, 4)], weights)
    out = chooser(torch.ones(clips, 2), clip_generator("a"))
    assert torch.equal(out[:, 0], out[:, 1])
    for factor, weight in enumerate(weights, start=1):
        share, found = weight / sum(weights), int((out[:, 0] == factor).sum())
        # Four standard deviations of a binomial count.
        assert abs(found - clips * share) <= 4 * math.sqrt(clips * share * (1 - share))


def test_without_weights_all_are_alike():
    out = OneOf([times(1), times(2)])(torch.ones(2000, 1), clip_generator("b"))
    assert abs(int((out == 1).sum()) - 1000) <= 4 * math.sqrt(2000 / 4)


@given(batch=st.integers(1, 9), time=st.integers(1, 30), seed=st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_clips_keep_their_places(batch, time, seed):
    clips = noise(batch, time, seed=seed)
    factors = (2.0, 4.0, 8.0)
    chooser = OneOf([times(k) for k in factors])
    out = chooser(clips, clip_generator("c", seed))
    for before, after in zip(clips, out, strict=True):
        assert any(torch.equal(after, k * before) for k in factors)
    assert torch.equal(out, chooser(clips, clip_generator("c", seed)))
    alone = chooser(clips[0], clip_generator("c", seed))
    assert alone.shape == (time,) and any(torch.equal(alone, k * clips[0]) for k in factors)


def test_mixture_of_the_real_damages():
    damages = [Corruption.for_condition(each) for each in FIXED]
    mixture = OneOf([*damages, StreetMix([noise(9000, seed=5)]), VariedCorruption()])
    clips = noise(12, 4000)
    out = mixture(clips, clip_generator("d"))
    assert out.shape == clips.shape and torch.isfinite(out).all()
    assert not (out == clips).all(1).any()  # nobody is left out
    assert torch.equal(out, mixture(clips, clip_generator("d")))
    assert not torch.equal(out, mixture(clips, clip_generator("e")))
    # A training keeps its settings as JSON to tell whether it is the same one.
    kept = json.loads(json.dumps(mixture.parameters))
    kinds = [name for name, _ in kept["damages"]]
    assert kinds == ["Corruption"] * 3 + ["StreetMix", "VariedCorruption"]
    assert kept["damages"][0][1] == damages[0].parameters and kept["weights"] == [1.0] * 5


@pytest.mark.parametrize(("damages", "weights"), [([], None), ([times(1)], [1.0, 2.0])])
def test_a_weight_is_needed_for_each(damages, weights):
    with pytest.raises(ValueError, match="one weight for each"):
        OneOf(damages, weights)


# The procedure with drawn parameters ----------------------------------------------------------


def test_drawn_parameters_are_in_their_ranges_and_fill_them():
    generator = clip_generator("draws")
    drawn = [VariedCorruption().draw(generator) for _ in range(400)]
    assert {each.n_fft for each in drawn} == set(FRAMES)
    assert {each.n_fft // each.hop for each in drawn} == set(OVERLAPS)
    assert {each.window for each in drawn if each.n_fft // each.hop > 2} == {"rect", "hann"}
    assert {each.window for each in drawn if each.n_fft // each.hop == 2} == {"rect"}
    shares = {
        "quantile": ([each.quantile for each in drawn], 0.8, 0.95),
        "zero": ([each.zero for each in drawn if each.zero], 0.1, 0.4),
        "raised": ([each.raised for each in drawn if each.raised], 0.2, 0.8),
        "value": ([each.value / math.sqrt(each.n_fft / 640) for each in drawn], 0.5, 1.5),
    }
    for name, (values, low, high) in shares.items():
        assert low <= min(values) and max(values) <= high, name
        # Of 200 and more values none in an outer twentieth: less than once in 20,000.
        margin = (high - low) / 20
        assert min(values) < low + margin and max(values) > high - margin, name
    kinds = [(each.zero > 0, each.raised > 0) for each in drawn]
    for kind, share in {(True, True): 0.5, (True, False): 0.25, (False, True): 0.25}.items():
        assert abs(kinds.count(kind) - 400 * share) <= 4 * math.sqrt(400 * share * (1 - share))


def test_varied_damage_is_that_of_the_drawn_procedure():
    clips = noise(2, 5000)
    generator = clip_generator("v")
    expected = VariedCorruption().draw(generator)(clips, generator)
    damaged = VariedCorruption()(clips, clip_generator("v"))
    assert torch.equal(damaged, expected) and not torch.equal(damaged, clips)
    assert not torch.equal(damaged, VariedCorruption()(clips, clip_generator("w")))
    assert VariedCorruption()(clips[0], clip_generator("v")).shape == (5000,)


@pytest.mark.parametrize("n_fft", FRAMES)
@pytest.mark.parametrize("overlap", OVERLAPS)
def test_every_frame_and_overlap_can_be_undone(n_fft, overlap):
    clips = noise(1, 3001)
    for window in ("rect", "hann") if overlap > 2 else ("rect",):
        same = Corruption(zero=0, raised=0, n_fft=n_fft, hop=n_fft // overlap, window=window)(clips)
        torch.testing.assert_close(same, clips, atol=1e-6, rtol=0)


# Streets that differ --------------------------------------------------------------------------


def test_streets_are_played_at_drawn_speeds_and_half_of_them_are_two():
    """A tone as the recording shows each stretch as a peak at its speed."""
    tone = torch.sin(2 * math.pi * 1000 / RATE * torch.arange(2 * RATE))
    streets = VariedStreet([tone]).noise(200, RATE, clip_generator("tones"))
    spectra = torch.fft.rfft(streets * torch.hann_window(RATE)).abs().numpy()
    speeds, seconds = [], []
    for spectrum in spectra:
        first = int(spectrum.argmax())
        speeds.append(first / 1000)
        others = spectrum.copy()
        others[max(0, first - 20) : first + 20] = 0
        place = int(others.argmax())
        level = 2 * db(others[place] / spectrum[first])
        # Weaker than 18 dB (12 by its own level, the rest by the tilt) is linear interpolation's.
        if level > -18:
            seconds.append(place / 1000)
            speeds.append(place / 1000)
    assert 0.7 < min(speeds) < 0.75 and 1.35 < max(speeds) < 1.42
    # Some pairs have nearly the same speed and count as one.
    assert 100 - 4 * math.sqrt(50) - 15 <= len(seconds) <= 100 + 4 * math.sqrt(50)


def test_streets_have_the_documented_colour():
    recording = torch.randn(20 * RATE, generator=torch.Generator().manual_seed(3))
    streets = VariedStreet([recording]).noise(60, 2 * RATE, clip_generator("colour"))
    slopes = []
    for street in streets.numpy():
        freq, level = measured(recording[: len(street)].numpy(), street)
        chosen = (freq > 300) & (freq < 3000)  # interpolation takes some of the highest octave
        slopes.append(np.polyfit(np.log2(freq[chosen]), level[chosen], 1)[0])
    assert -3.4 < min(slopes) < -2 and 2 < max(slopes) < 3.4


def test_streets_are_added_around_the_ratio_that_is_asked_for():
    clips = noise(300, 2000, seed=1)
    mix = VariedStreet([noise(9000, seed=2), noise(5000, seed=3)], snr_db=3.0)
    out = mix(clips, clip_generator("snr"))
    ratios = db((clips.square().sum(1) / (out - clips).square().sum(1)).numpy())
    assert -3.01 < ratios.min() < -2.5 and 8.5 < ratios.max() < 9.01
    assert torch.equal(out, mix(clips, clip_generator("snr")))
    assert not torch.equal(out, mix(clips, clip_generator("other")))
    assert mix(clips[0], clip_generator("snr")).shape == (2000,)
    silence = torch.zeros(2, 2000)
    assert torch.equal(mix(silence, clip_generator("snr")), silence)
    json.dumps(mix.parameters)
    with pytest.raises(ValueError, match="at least one recording"):
        VariedStreet([])


# Speech that differs --------------------------------------------------------------------------

CLIPS = 96
BAND = (150, 7800)  # Hz; above the clamp at 50 Hz, below the highest bins


def db(ratio):
    return 10 * np.log10(ratio)


def colour(freq, gain, tilt, cutoff):
    """The documented filter in dB: a tilt around 1 kHz and a Butterworth low-pass of order 8."""
    return gain + tilt * np.log2(freq / 1000) - db(1 + (freq / cutoff) ** 16)


def measured(before, after):
    """Power ratio after to before in sixth octaves: centres in Hz and dB."""
    freq = np.fft.rfftfreq(len(before), 1 / RATE)
    edges = np.geomspace(*BAND, 36)
    powers = [np.abs(np.fft.rfft(each)) ** 2 for each in (before, after)]
    bands = [(freq >= low) & (freq < high) for low, high in zip(edges[:-1], edges[1:], strict=True)]
    centres = np.sqrt(edges[:-1] * edges[1:])
    return centres, np.array([db(powers[1][b].sum() / powers[0][b].sum()) for b in bands])


def fitted(before, after):
    """Tilt, cutoff, and how far in dB the documented filter is from what was measured."""
    freq, ratio = measured(before, after)
    found = None
    for cutoff in (3500, 5000, 7000):  # a start far from the edge sees no slope there
        try:
            values, _ = curve_fit(colour, freq, ratio, (0, 0, cutoff), maxfev=2000)
        except RuntimeError:
            continue
        error = float(np.abs(colour(freq, *values) - ratio)[freq < 1.1 * values[2]].max())
        if found is None or error < found[2]:
            found = values[1], values[2], error
    return found


@pytest.fixture(scope="module")
def varied():
    """White noise before and after, all of it changed."""
    clips = noise(CLIPS, RATE)
    return clips, vary_speech(clips, clip_generator("speech"), share=1.0)


def test_levels_move_by_up_to_6_db(varied):
    before, after = (each.square().sum(1).numpy() for each in varied)
    moved = db(after / before)
    assert np.abs(moved).max() <= 6.001
    assert moved.min() < -5 and moved.max() > 5 and abs(moved.mean()) < 4 * math.sqrt(12 / CLIPS)


def test_tilt_and_bandwidth_are_the_documented_ones(varied):
    """White noise shows the filter itself; clips in a room, about half, are not smooth."""
    fits = [fitted(before.numpy(), after.numpy()) for before, after in zip(*varied, strict=True)]
    smooth = [(tilt, cutoff) for tilt, cutoff, error in filter(None, fits) if error < 0.7]
    assert abs(len(smooth) - CLIPS / 2) <= 4 * math.sqrt(CLIPS / 4)
    tilts, cutoffs = map(np.array, zip(*smooth, strict=True))
    assert np.abs(tilts).max() < 6.1 and tilts.min() < -4 and tilts.max() > 4
    assert cutoffs.min() > 2900 and cutoffs.min() < 3800 and cutoffs.max() > 6500


def test_about_half_stand_in_a_room():
    """A click is longer in a room; how fast the room dies away is Schroeder's curve's slope."""
    click = torch.zeros(CLIPS, RATE)
    click[:, 100] = 1.0
    after = vary_speech(click, clip_generator("rooms"), share=1.0)
    power = after.double().square().numpy()
    # A filter alone is over after 20 ms; the shortest room is not.
    late = power[:, 420:].sum(1) / power.sum(1)
    in_rooms = late > 1e-3
    assert abs(in_rooms.sum() - CLIPS / 2) <= 4 * math.sqrt(CLIPS / 4)
    times = np.array([_t60(each[420:]) for each in power[in_rooms]])
    assert 0.08 < times.min() < 0.2 and 0.4 < times.max() < 0.56


def _t60(power):
    left = np.cumsum(power[::-1])[::-1]
    level = db(left / left[0] + 1e-30)
    start, end = np.argmax(level < -2), np.argmax(level < -22)
    slope, _ = np.polyfit(np.arange(start, end) / RATE, level[start:end], 1)
    return -60 / slope


def test_the_rest_is_untouched():
    clips = noise(400, 200)
    out = vary_speech(clips, clip_generator("share"))
    changed = (out != clips).any(1)
    assert abs(int(changed.sum()) - 100) <= 4 * math.sqrt(400 * 0.25 * 0.75)
    assert torch.equal(out[~changed], clips[~changed])
    assert torch.equal(vary_speech(clips, clip_generator("share"), share=0.0), clips)
    assert torch.equal(out, vary_speech(clips, clip_generator("share")))


@given(batch=st.integers(1, 3), time=st.integers(1, 700), seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_any_length_keeps_its_shape_and_silence_stays_silent(batch, time, seed):
    out = vary_speech(noise(batch, time, seed=seed), clip_generator("x", seed), share=1.0)
    assert out.shape == (batch, time) and torch.isfinite(out).all()
    silence = vary_speech(torch.zeros(batch, time), clip_generator("x", seed), share=1.0)
    assert torch.equal(silence, torch.zeros(batch, time))


def test_speech_is_not_shifted(speech):
    """The loudest way through filter and room is the direct one: lag 0."""
    clip = max(speech.split("valid"), key=lambda each: each.samples)
    wave = speech.waveform(clip)[: 2 * RATE].repeat(8, 1)
    out = vary_speech(wave, clip_generator("lag"), share=1.0).numpy()
    for before, after in zip(wave.numpy(), out, strict=True):
        spectrum = np.fft.rfft(after, 4 * RATE) * np.fft.rfft(before, 4 * RATE).conj()
        assert np.fft.irfft(spectrum).argmax() == 0
