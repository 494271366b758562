"""Street noise: the SNR is what it says, stretches are stretches of the recordings."""

import tempfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denoise_lib import StreetMix, wsdr
from denoise_lib.damage import street
from denoise_lib.damage.street import Stretches, _uniform
from denoise_lib.data.crops import clip_generator


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(snr_db=st.floats(-10, 20), time=st.integers(1, 5000))
@settings(max_examples=30, deadline=None)
def test_snr_is_exact_per_clip(snr_db, time):
    speech = 0.05 * noise(3, time, seed=1)
    mix = StreetMix([noise(777), 0.01 * noise(9000, seed=3)], snr_db)
    noisy = mix(speech, clip_generator("a"))
    assert noisy.shape == speech.shape
    powers = speech.square().mean(-1) / (noisy - speech).square().mean(-1)
    torch.testing.assert_close(10 * powers.log10(), torch.full((3,), snr_db), atol=0.01, rtol=0)


def test_the_added_noise_is_a_stretch_of_a_recording():
    ramp = torch.arange(1.0, 1001.0)
    mix = StreetMix([ramp], 0.0)
    speech = torch.ones(1, 300)
    stretches = mix.draw(1, clip_generator("ramp"))
    added = (mix.apply(speech, stretches) - speech)[0]
    start = int(stretches.start[0])
    expected = ramp[(start + torch.arange(300)) % 1000]
    torch.testing.assert_close(added / added.norm(), expected / expected.norm())


def test_every_recording_is_heard_and_starts_are_spread():
    mix = StreetMix([noise(500), noise(50), noise(5000)])
    recording, start = mix.draw(3000, clip_generator("spread"))
    counts = torch.bincount(recording, minlength=3)
    assert (counts > 900).all() and (counts < 1100).all()
    assert (start < mix.lengths[recording]).all()
    assert start[recording == 2].float().mean() == pytest.approx(2500, rel=0.1)


def test_default_level_is_that_of_the_original_study():
    speech = 0.05 * noise(8, 32000, seed=1)
    noisy = StreetMix([noise(40000, seed=2)])(speech, clip_generator("level"))
    assert float(wsdr(noisy, speech, noisy).mean()) == pytest.approx(-0.40, abs=0.01)


def test_a_clip_does_not_depend_on_its_batch():
    speech = 0.05 * noise(2, 4000)
    mix = StreetMix([noise(7000, seed=5), noise(300, seed=6)])
    together = mix(speech, [clip_generator("a"), clip_generator("b")])
    torch.testing.assert_close(together[1], mix(speech[1], clip_generator("b")))


def test_silent_recording_or_speech_stays_finite():
    assert torch.isfinite(StreetMix([torch.zeros(100)])(0.05 * noise(2, 400))).all()
    assert torch.isfinite(StreetMix([noise(100)])(torch.zeros(2, 400))).all()


@pytest.mark.parametrize("recordings", [[], [torch.zeros(0)], [torch.ones(3), torch.zeros(0)]])
def test_nothing_to_mix_is_refused(recordings):
    says = "^StreetMix: needs at least one recording, and none of them empty$"
    with pytest.raises(ValueError, match=says):
        StreetMix(recordings)


def test_a_stretch_at_another_speed_is_interpolated_and_starts_over():
    mix = StreetMix([noise(50), torch.arange(100.0)])
    stretches = Stretches(torch.tensor([1, 1]), torch.tensor([10, 95]))
    slow, fast = mix.stretch(stretches, 8, torch.tensor([[0.5], [1.25]]))
    torch.testing.assert_close(slow, 10 + 0.5 * torch.arange(8.0))
    # 95, 96.25, 97.5, 98.75, then 100 is 0 again; between 99 and 0 the line goes down.
    torch.testing.assert_close(fast[:6], torch.tensor([95, 96.25, 97.5, 98.75, 0.0, 1.25]))
    torch.testing.assert_close(mix.stretch(stretches, 8, 1.0), mix.stretch(stretches, 8))


def test_hours_of_noise_lie_in_a_file_and_are_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("DENOISE_DATA", str(tmp_path))
    opened, make = [], tempfile.TemporaryFile

    class Counted:
        """A file without a name that counts the bytes that are written to it."""

        def __init__(self, **where):
            self.file, self.written = make(**where), 0
            opened.append(self)

        def write(self, part):
            self.written += self.file.write(part)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

    monkeypatch.setattr(street.tempfile, "TemporaryFile", Counted)
    recordings = [noise(700, seed=1), noise(9000, seed=2), noise(30, seed=3)]
    held = StreetMix(recordings)
    assert not opened[0].written
    monkeypatch.setattr(street, "IN_MEMORY", 1000)
    filed = StreetMix(each for each in recordings)
    assert opened[1].written == 4 * sum(len(each) for each in recordings), "float32"
    speech = 0.05 * noise(4, 2000, seed=4)
    assert torch.equal(filed.noise, held.noise) and filed.digest == held.digest
    given = (mix(speech, clip_generator("same")) for mix in (held, filed))
    assert torch.equal(*given)
    assert not list(tmp_path.iterdir())  # nothing that has a name


def test_places_are_exact_in_a_long_clip():
    """In float32, a place behind 40,000 samples would be off by a thousandth and more."""
    mix = StreetMix([torch.arange(10.0) % 2])
    stretches = Stretches(torch.tensor([0]), torch.tensor([0]))
    place = np.arange(50_000) * 1.00001
    expected = 1 - np.abs(place % 2 - 1)  # up and down between the samples 0 and 1
    found = mix.stretch(stretches, len(place), 1.00001)[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_stretches_are_drawn_in_float64():
    """A recording of an hour has more places than float32 has values between 0 and 1."""
    drawn = _uniform(3, clip_generator("a"))
    assert torch.equal(drawn, torch.rand(3, 2, dtype=torch.float64, generator=clip_generator("a")))
    assert drawn.dtype == torch.float64
