"""The damage undone from its positions: against dense linear algebra, and on real speech."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denoise_lib import Corruption, audio, wsdr
from denoise_lib.corruption import CONDITIONS, clip_generator
from denoise_lib.inversion import invert, misjudged

SMALL = {"n_fft": 16, "hop": 4}


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def damage(x, procedure, seed=0):
    spectrum = procedure.stft(x)
    positions = procedure.draw(spectrum, clip_generator("x", seed))
    return procedure.istft(procedure.apply(spectrum, positions), x.shape[-1]), positions


@pytest.fixture(scope="module")
def speech():
    from pathlib import Path

    path = Path(__file__).resolve().parents[1] / "audio" / "clean.flac"
    return audio.to_level(audio.load(path, quiet=True))[None, :32000]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_oracle_is_perfect_on_speech(speech, condition):
    procedure = Corruption.for_condition(condition)
    noisy, positions = damage(speech, procedure)
    repaired = invert(noisy, positions, procedure)
    assert repaired.dtype == speech.dtype and repaired.shape == speech.shape
    assert float(wsdr(repaired, speech, noisy)) < -0.9999
    assert float(wsdr(noisy, speech, noisy)) > -0.92


@pytest.mark.parametrize("window", ["rect", "hann"])
def test_against_dense_linear_algebra(window):
    """The affine map written out as a matrix, column by column, and solved by NumPy."""
    procedure = Corruption(window=window, **SMALL)
    x = noise(1, 60)
    y, positions = damage(x, procedure)

    def damaged(waveforms):
        spectrum = procedure.stft(waveforms)
        return procedure.istft(
            procedure.apply(spectrum, positions._replace(zeroed=positions.zeroed.expand_as(spectrum),
                                                         raised=positions.raised.expand_as(spectrum))),
            waveforms.shape[-1],
        )  # fmt: skip

    constant = damaged(torch.zeros(1, 60, dtype=torch.float64))
    matrix = (damaged(torch.eye(60, dtype=torch.float64)) - constant).T.numpy()
    wanted = np.linalg.solve(matrix, (y - constant)[0].numpy())
    assert invert(y, positions, procedure, 200)[0].numpy() == pytest.approx(wanted, abs=1e-6)
    assert wanted == pytest.approx(x[0].numpy(), abs=1e-6)


@given(time=st.integers(1, 200), batch=st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_any_length_and_batch(time, batch):
    procedure = Corruption(quantile=0.5, zero=0.1, raised=0.1, **SMALL)
    x = noise(batch, time)
    y, positions = damage(x, procedure)
    repaired = invert(y, positions, procedure)
    assert repaired.shape == (batch, time) and torch.isfinite(repaired).all()
    assert (repaired - x).norm() <= (y - x).norm() + 1e-9


def test_nothing_touched_is_returned_as_it_is():
    procedure = Corruption(zero=0.0, raised=0.0, **SMALL)
    x = noise(2, 100)
    y, positions = damage(x, procedure)
    assert torch.allclose(invert(y, positions, procedure, 1), x)


def test_silence_stays_silent():
    procedure = Corruption(zero=0.2, raised=0.0, **SMALL)
    x = torch.zeros(1, 100)
    y, positions = damage(x, procedure)
    assert not invert(y, positions, procedure).any()


def test_positions_of_another_length_are_refused():
    procedure = Corruption(**SMALL)
    _, positions = damage(noise(1, 100), procedure)
    with pytest.raises(ValueError, match="a waveform of 80 samples has"):
        invert(noise(1, 80), positions, procedure)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_misjudged_moves_the_share(speech, share):
    procedure = Corruption()
    _, true = damage(speech, procedure)
    wrong = misjudged(true, share, clip_generator("wrong"))
    for before, after in zip(true, wrong, strict=True):
        count = int(before.sum())
        assert int(after.sum()) == count
        assert int((before & ~after).sum()) == round(share * count)
    again = misjudged(true, share, clip_generator("wrong"))
    assert all(torch.equal(one, other) for one, other in zip(wrong, again, strict=True))


def test_the_more_is_misjudged_the_worse(speech):
    procedure = Corruption()
    noisy, true = damage(speech, procedure)
    scores = []
    for share in (0.0, 0.01, 0.05, 0.2):
        wrong = misjudged(true, share, clip_generator("wrong"))
        repaired = invert(noisy, wrong, procedure, 20)
        scores.append(float(wsdr(repaired, speech, noisy)))
    assert scores == sorted(scores) and scores[0] < scores[1] - 0.001
