"""Noise as it is outside: levels, replay, what is drawn how often, and each kind of made noise."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import fftconvolve
from small_corpus import small_corpus

from denoise_lib import RATE
from denoise_lib.damage import conditions, made_noise
from denoise_lib.damage.made_noise import (
    KINDS,
    POINTS,
    at_unit_level,
    babble,
    coloured,
    made_noises,
)
from denoise_lib.damage.outside import (
    LAYERS,
    TAIL,
    OutsideNoise,
    VariedRecording,
    outside_noise,
    room_tails,
)
from denoise_lib.data.corpora import Clip, Corpus
from denoise_lib.data.crops import clip_generator


def noise(*shape, seed=0):
    return 0.05 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def outside(**settings):
    groups = {"recordings": list(noise(3, RATE, seed=1)), "made": list(noise(2, RATE // 2, seed=2))}
    return OutsideNoise(groups, **settings)


def plain(scene, **changes):
    """A scene of one layer as it was recorded, with some of it changed."""
    batch = scene.recording.shape[1]
    return scene._replace(
        **{
            "speed": torch.ones(2, batch, dtype=torch.float64),
            "second_db": torch.full((batch, 1), -torch.inf),
            "colour_db": torch.zeros(batch, len(POINTS)),
            "room": torch.full((batch,), -1),
        }
        | changes
    )


# Parts -----------------------------------------------------------------------------------------


def test_a_group_that_is_left_out_is_never_drawn():
    mix = outside()
    less = mix.without("recordings")
    drawn = less.draw(200, clip_generator("parts")).recording
    assert int(drawn.min()) >= 3, "the first three are recordings"
    assert int(mix.draw(200, clip_generator("parts")).recording.min()) < 3
    assert less.parameters["left_out"] == "recordings" and "left_out" not in mix.parameters
    assert less.noise.data_ptr() == mix.noise.data_ptr(), "recordings are shared"


@pytest.mark.parametrize("part", LAYERS)
def test_a_layer_that_is_left_out_changes_nothing_else(part):
    mix = outside()
    whole, less = (each.draw(200, clip_generator("l")) for each in (mix, mix.without(part)))
    left = {
        "second sound": less.second_db == -torch.inf,
        "filter": less.colour_db == 0,
        "room": less.room == -1,
    }
    assert {name: bool(each.all()) for name, each in left.items()} == {
        name: name == part for name in LAYERS
    }
    changed = {"second sound": "second_db", "filter": "colour_db", "room": "room"}[part]
    for name, before, after in zip(whole._fields, whole, less, strict=True):
        assert torch.equal(before, after) == (name != changed), name


def test_a_part_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no part 'music'; parts are recordings, made, second"):
        outside().without("music")


# Mixing ----------------------------------------------------------------------------------------


@given(snr_db=st.floats(-20, 40), time=st.integers(100, 4000))
@settings(max_examples=30, deadline=None)
def test_the_ratio_is_that_of_the_scene(snr_db, time):
    mix, speech = outside(), noise(3, time)
    scene = mix.draw(3, clip_generator("a"))._replace(snr_db=torch.full((3, 1), snr_db))
    added = mix.apply(speech, scene) - speech
    found = 10 * (speech.square().mean(-1) / added.square().mean(-1)).log10()
    torch.testing.assert_close(found, torch.full((3,), snr_db), atol=0.05, rtol=0)


def test_a_scene_is_replayed_and_a_call_is_a_drawing_and_a_replay():
    mix, speech = outside(), noise(4, 3000)
    scene = mix.draw(4, clip_generator("b"))
    once = mix.apply(speech, scene)
    assert torch.equal(once, mix.apply(speech, scene))
    assert torch.equal(once, mix(speech, clip_generator("b")))
    assert not torch.equal(once, mix(speech, clip_generator("c")))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_noise_on_a_gpu_is_that_of_the_cpu():
    mix = outside()
    scene = mix.draw(8, clip_generator("gpu"))
    here, there = (mix.alone(scene, RATE, each) for each in ("cpu", "cuda"))
    assert there.device.type == "cuda"
    torch.testing.assert_close(there.cpu(), here, rtol=1e-3, atol=1e-3)


def test_recordings_go_to_a_device_once_and_are_not_copied_on_a_cpu():
    mix = outside()
    scene = mix.draw(4, clip_generator("copy"))
    first = mix.alone(scene, RATE)
    (kept,) = mix.copies.values()
    assert torch.equal(mix.alone(scene, RATE), first)
    (still,) = mix.copies.values()
    assert still is kept and kept.noise.data_ptr() == mix.noise.data_ptr()


def test_clips_of_a_batch_do_not_mix():
    mix, speech = outside(), noise(3, 2000)
    scene = mix.draw(3, clip_generator("d"))
    for index, noisy in enumerate(mix.apply(speech, scene)):
        own = [
            part[:, index : index + 1]
            if len(part) == 2 and part.shape[-1] == 3
            else part[index : index + 1]
            for part in scene
        ]
        alone = mix.apply(speech[index : index + 1], type(scene)(*own))[0]
        torch.testing.assert_close(noisy, alone, atol=1e-6, rtol=1e-5)


def test_a_plain_scene_is_a_stretch_of_the_recording():
    recording = noise(RATE, seed=3)
    mix = OutsideNoise({"recordings": [recording]})
    scene = plain(mix.draw(1, clip_generator("e")))
    start = int(scene.start[0, 0])
    found = mix.alone(scene, 500)[0]
    wanted = recording[(start + torch.arange(500)) % RATE]
    cosine = torch.nn.functional.cosine_similarity(found, wanted, dim=0)
    assert float(cosine) > 0.9999  # kept in 16 bits


def test_a_room_is_a_convolution():
    mix = outside()
    scene = plain(mix.draw(1, clip_generator("f")))
    dry = mix.alone(scene, 4000)[0]
    wet = mix.alone(scene._replace(room=torch.tensor([7])), 4000)[0]
    wanted = fftconvolve(dry.double().numpy(), mix.rooms[7].double().numpy())[:4000]
    np.testing.assert_allclose(wet.numpy(), wanted, atol=1e-4)


def test_a_second_layer_has_its_level():
    mix = OutsideNoise({"recordings": list(noise(40, RATE, seed=4))})
    scene = plain(mix.draw(2, clip_generator("g")))
    one = mix.alone(scene, RATE // 2)
    both = mix.alone(scene._replace(second_db=torch.full((2, 1), -6.0)), RATE // 2)
    level = 20 * (both - one).square().mean(-1).sqrt().log10()
    torch.testing.assert_close(level, torch.full((2,), -6.0), atol=0.1, rtol=0)


@pytest.mark.parametrize("shape", [(1000,), (1, 1000), (5, 1)])
def test_shape_and_silence_stay(shape):
    mix = outside(clean=0.0)
    assert mix(noise(*shape), clip_generator("h")).shape == shape
    silent = torch.zeros(shape)
    assert torch.equal(mix(silent, clip_generator("h")), silent)


def test_shares_and_ranges_are_those_that_are_stated():
    mix, clips = outside(), 6000
    scene = mix.draw(clips, clip_generator("i"))
    snr = scene.snr_db[:, 0]
    assert snr[snr.isfinite()].min() >= -8 and snr[snr.isfinite()].max() <= 45

    def share(flags):
        return float(flags.float().mean())

    allowed = 4 * math.sqrt(0.25 / clips)  # four standard deviations at most
    assert abs(share(snr.isinf()) - 0.06) < allowed
    assert abs(share((snr > 25) & snr.isfinite()) - 0.10) < allowed
    assert abs(share(scene.second_db > -torch.inf) - 0.4) < allowed
    assert abs(share(scene.room >= 0) - 0.3) < allowed
    assert abs(share(scene.colour_db.any(-1)) - 0.7) < allowed
    # Two of the four groups are present, with 0.50 and 0.24 of all; layers are drawn alike.
    recordings = share(scene.recording < 3)
    assert abs(recordings - 0.50 / 0.74) < allowed
    assert scene.speed.min() >= 2**-0.5 and scene.speed.max() <= 2**0.5


def test_a_longer_recording_is_heard_by_the_root_of_its_length():
    mix = OutsideNoise({"recordings": [noise(RATE), noise(4 * RATE)]})
    torch.testing.assert_close(mix.weights / mix.weights.sum(), torch.tensor([1 / 3, 2 / 3]))


@pytest.mark.parametrize(
    "groups",
    [{}, {"recordings": []}, {"recordings": [torch.zeros(0)]}, {"streets": [torch.ones(5)]}],
)
def test_nothing_to_mix_and_unknown_groups_are_refused(groups):
    with pytest.raises(ValueError, match="OutsideNoise: needs recordings"):
        OutsideNoise(groups)


def test_parameters_are_plain_and_say_what_is_mixed():
    found = outside(snr_db=(0, 10)).parameters
    assert json.loads(json.dumps(found)) == found
    assert found["recordings"] == {"recordings": 3, "made": 2} and found["snr_db"] == [0, 10]


# Made noise ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_made_noise_sounds_and_differs_and_is_the_same_again(kind):
    made = kind(3, RATE, clip_generator("j"))
    assert made.shape == (3, RATE) and made.isfinite().all()
    assert (made.square().mean(-1).sqrt() > 0.3).all()
    assert not torch.allclose(made[0], made[1])
    assert torch.equal(made, kind(3, RATE, clip_generator("j")))


def test_each_kind_is_made_as_often_as_it_says():
    made = made_noises(20, 0.5, clip_generator("k"))
    assert len(made) == 20 and all(len(each) == RATE // 2 for each in made)


def test_a_call_is_a_tone_that_glides():
    """In the loudest frame, most of the power lies in a few bins between 500 Hz and 7.6 kHz."""
    noise = made_noise.calls(8, 2 * RATE, clip_generator("calls"))
    window = torch.hann_window(512)
    power = torch.stft(noise, 512, 128, window=window, return_complex=True).abs().square()
    for frames in power:
        loudest = frames[:, frames.sum(0).argmax()]
        assert float(loudest.topk(40).values.sum() / loudest.sum()) > 0.6
        assert 500 < float(loudest.argmax()) * RATE / 512 < 7600


def test_a_colour_is_heard_at_its_points():
    gains = torch.tensor([[0.0, -6.0, 3.0, 0.0, 12.0, -20.0, 5.0, 1.0]])
    flat = torch.ones(1, 8001, dtype=torch.complex64)  # a bin each hertz
    found = 20 * coloured(flat, gains).abs().log10()[0]
    # POINTS are not quite even over the logarithm: what is set at one is found near it.
    for point, gain in zip((60, 8000), (0.0, 1.0), strict=True):
        assert abs(float(found[point]) - gain) < 1e-3
    assert abs(float(found.max()) - 12) < 0.1 and abs(float(found.min()) + 20) < 0.1
    assert torch.equal(found[:60], found[60].expand(60))


def test_hum_is_harmonic():
    """Most of its power lies within 4 percent of multiples of one pitch."""
    generator = clip_generator("l")
    tone = made_noise.hum(1, 4 * RATE, generator)[0]
    power = torch.fft.rfft(tone * torch.hann_window(len(tone))).abs().square()
    freq = torch.fft.rfftfreq(len(tone), 1 / RATE)

    def share(pitch):
        off = (freq / pitch - (freq / pitch).round()).abs()
        return float(
            power[(off * pitch < 0.04 * freq.clamp(max=3 * pitch)) & (freq > pitch / 2)].sum()
            / power.sum()
        )

    assert (
        max(share(float(pitch)) for pitch in torch.logspace(math.log10(25), math.log10(400), 400))
        > 0.5
    )


def test_babble_is_made_of_the_voices():
    corpus = small_corpus()
    made = babble(corpus, corpus.split("train"), 2.0, clip_generator("m"))
    assert made.shape == (2 * RATE,) and abs(float(made.square().mean()) - 1) < 1e-3
    assert torch.equal(made, babble(corpus, corpus.split("train"), 2.0, clip_generator("m")))


def test_rooms_decay_and_have_unit_energy():
    tails = room_tails(20, clip_generator("n"))
    assert tails.shape == (20, TAIL)
    torch.testing.assert_close(tails.norm(dim=-1), torch.ones(20))
    early, late = tails[:, : TAIL // 4].norm(dim=-1), tails[:, 3 * TAIL // 4 :].norm(dim=-1)
    assert (late < early).all()


# Speech ----------------------------------------------------------------------------------------


def test_varied_speech_keeps_shape_and_silence_and_is_the_same_again():
    vary, speech = VariedRecording(), noise(6, 3000)
    speech[2] = 0
    varied = vary(speech, clip_generator("o"))
    assert varied.shape == speech.shape and varied.isfinite().all() and not varied[2].any()
    assert torch.equal(varied, vary(speech, clip_generator("o")))


def test_levels_of_varied_speech_span_the_range_that_is_stated():
    speech = noise(400, 2000)
    varied = VariedRecording()(speech, clip_generator("p"))
    change = 20 * (varied.norm(dim=-1) / speech.norm(dim=-1)).log10()
    assert -15.01 <= change.min() < -14 and 9 < change.max() <= 10.01


# From corpora ----------------------------------------------------------------------------------


class _Memory:
    def waveform(self, name):
        return noise(RATE, seed=int(name))


def test_groups_of_a_corpus():
    clips = [Clip("1", "cars", "train", RATE), Clip("2", "songs music", "train", RATE)]
    recordings, speech = Corpus("noises", RATE, clips, _Memory(), ""), small_corpus()
    mix = outside_noise(
        recordings, clips, speech, speech.split("train"), made=12, babbles=2, snr_db=(0, 5)
    )
    assert mix.parameters["recordings"] == {"recordings": 1, "music": 1, "babble": 2, "made": 12}
    torch.testing.assert_close(mix.weights.sum(), torch.tensor(1.0))
    silent = outside_noise(recordings, clips[:1], speech, [], made=12)
    assert set(silent.parameters["recordings"]) == {"recordings", "made"}
    torch.testing.assert_close(at_unit_level(noise(2, 100)).square().mean(-1), torch.ones(2))


def test_the_condition_is_made_of_its_split_and_scored_without_clean_clips(monkeypatch):
    heard = []

    def recording(recordings, own, speech, voices, **settings):
        heard.append({clip.split for clip in (*own, *voices)})
        return outside_noise(recordings, own, speech, voices, made=5, babbles=1, **settings)

    monkeypatch.setattr(conditions, "outside_noise", recording)
    monkeypatch.setattr(conditions, "open_noise", lambda source, *rate: small_corpus())
    monkeypatch.setattr(conditions, "open_speech", lambda source, *rate: small_corpus())
    trained = conditions.damage_for("outside", conditions.Noise("x", "train"))
    assert trained.parameters["snr_db"] == [-8.0, 22.0] and trained.clean > 0
    scored = conditions.damage_for("outside", conditions.Noise("x", "unseen_voice"))
    assert scored.draw(500, clip_generator("q")).snr_db.max() <= 20
    # A voice kept out of training is scored in the noise of the test.
    assert heard == [{"train"}, {"test", "unseen_voice"}]
