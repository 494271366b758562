"""enhance(): same length, same level, any channel layout, memory that does not grow."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denoise_lib import RATE, enhance
from denoise_lib.errors import UserError
from denoise_lib.models import DenoisingWaveNet
from denoise_lib.models.baselines import Identity
from denoise_lib.models.inference import process


def white(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@given(time=st.integers(1, 4000), gain=st.floats(1e-3, 1))
@settings(max_examples=25, deadline=None)
def test_nothing_changes_but_the_noise(time, gain):
    """With a model that does nothing, what comes out is what went in: level, length, no shift."""
    x = gain * white(time)
    out = enhance(x, Identity())
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, x, atol=1e-5 * gain, rtol=1e-5)


def test_the_network_hears_the_nominal_level_over_the_whole_file():
    heard = []

    class Listening(Identity):
        def forward(self, noisy):
            heard.append(noisy)
            return noisy

    quiet_then_loud = torch.cat([0.001 * white(16000), 0.5 * white(16000)])
    enhance(quiet_then_loud, Listening(), chunk_seconds=0.5)
    assert len(heard) == 4
    whole = torch.cat(heard, dim=1)
    assert float(whole.square().mean().sqrt()) == pytest.approx(0.05, rel=1e-3)
    assert float(heard[0].square().mean()) < 1e-4 * float(heard[-1].square().mean())


class Humming(Identity):
    """Writes into whatever it hears."""

    def forward(self, noisy):
        return noisy + 0.01


def test_silence_stays_silence():
    assert torch.equal(enhance(torch.zeros(3000), Humming()), torch.zeros(3000))
    assert len(enhance(torch.zeros(1), Humming())) == 1


@given(start=st.integers(0, 9000), length=st.integers(1, 3000), rest=st.integers(0, 9000))
@settings(max_examples=25, deadline=None)
def test_silence_around_sound_stays_silence(start, length, rest):
    x = torch.cat([torch.zeros(start), 0.1 + white(length).abs(), torch.zeros(rest)])
    out = enhance(x, Humming())
    heard = torch.zeros(len(x), dtype=torch.bool)
    heard[max(0, start - 640) : start + length + 640] = True
    assert torch.equal(out != 0, heard)


@pytest.mark.parametrize("name", ["repair", "unet-street", "dcunet-stft"])
def test_shipped_networks_leave_a_silent_second_alone(name):
    voice = torch.sin(torch.arange(RATE) / 7) * 0.1
    out = enhance(torch.cat([torch.zeros(RATE), voice]), name)
    assert not out[: RATE - 640].any() and out[RATE:].any()


def test_channels_are_mixed_down_in_either_layout():
    stereo = white(2, 5000).numpy()
    mono = stereo.mean(0)
    for layout in (stereo, stereo.T, mono):
        np.testing.assert_allclose(enhance(layout, Identity()).numpy(), mono, atol=1e-5)


def test_bad_input_is_refused_in_a_line():
    with pytest.raises(ValueError, match="44100"):
        enhance(white(100), Identity(), rate=44100)
    broken = white(100)
    broken[3] = torch.nan
    with pytest.raises((ValueError, UserError), match="finite"):
        enhance(broken, Identity())
    with pytest.raises(UserError, match="'dcunet-mars'"):
        enhance(white(100), "dcunet-mars")


def test_process_runs_in_evaluation_mode_and_restores_the_mode():
    model = DenoisingWaveNet(channels=2, stacks=1, depth=2, final=(2, 2)).train()
    process(model, white(500))
    assert model.training


def test_chunks_are_bounded():
    longest = []

    class Measuring(Identity):
        context, stride = 100, 7

        def forward(self, noisy):
            longest.append(noisy.shape[-1])
            return noisy

    x = white(100_000)
    assert torch.equal(process(Measuring(), x, chunk_seconds=0.5), x)
    assert max(longest) <= 8000 + 2 * (100 + 7)
