"""The damage undone from its positions: against dense linear algebra, and on real speech."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from denoise_lib import Corruption, audio, wsdr
from denoise_lib.damage.corruption import FIXED
from denoise_lib.data.crops import clip_generator
from denoise_lib.study.inversion import find, invert, misjudged

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


@pytest.mark.parametrize("condition", FIXED)
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
            procedure.apply(
                spectrum,
                positions._replace(
                    zeroed=positions.zeroed.expand_as(spectrum),
                    raised=positions.raised.expand_as(spectrum),
                ),
            ),
            waveforms.shape[-1],
        )

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


# Positions that have to be found ---------------------------------------------------------------


@pytest.mark.parametrize("window", ["rect", "hann"])
@pytest.mark.parametrize("condition", FIXED)
def test_find_solves_the_least_squares_that_it_says(window, condition):
    """The whole problem as dense matrices, one column for each coefficient's t, by NumPy."""
    procedure = Corruption.for_condition(condition, window=window, **SMALL)
    x = 0.3 * noise(1, 40)
    y, _ = damage(x, procedure)
    estimate = x + 0.02 * noise(2, 40)[1:]
    ridge = 0.05
    found = find(y, estimate, procedure, ridge, 300)

    spectrum = procedure.stft(estimate)[0]
    large = (
        spectrum.abs() >= spectrum.abs().flatten().topk(round(0.1 * spectrum.numel())).values[-1]
    )
    change = torch.where(large, 0, procedure.value) - spectrum
    used = torch.where(large, procedure.zero > 0, procedure.raised > 0)
    assert torch.equal(used, (found.candidates.zeroed | found.candidates.raised)[0])
    places = used.nonzero().tolist()
    columns = []
    for place in places:
        one = torch.zeros_like(spectrum)
        one[tuple(place)] = change[tuple(place)]
        columns.append(procedure.istft(one[None], 40)[0].numpy())
    matrix = np.array(columns).T
    share = torch.where(large, procedure.zero, procedure.raised)[used].numpy()
    size = change.abs()[used].numpy()
    # The waveform counts n_fft squared over twice the hop times: that makes `ridge` about 1,
    # where samples are weighed alike.
    scale = procedure.n_fft**2 / procedure.hop / 2
    weighed = matrix / size  # the unknown is t times the size of the change
    left = scale * weighed.T @ weighed + ridge * np.eye(len(size))
    right = scale * weighed.T @ (y - estimate)[0].numpy() + ridge * share * size
    expected = np.linalg.solve(left, right) / size
    np.testing.assert_allclose(found.evidence[0][used].numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(
        found.waveform[0].numpy(), y[0].numpy() - matrix @ expected, atol=1e-6
    )


@pytest.mark.parametrize("condition", FIXED)
def test_a_perfect_estimate_explains_itself_and_tells_the_raised_ones(speech, condition):
    procedure = Corruption.for_condition(condition)
    noisy, positions = damage(speech, procedure)
    found = find(noisy, speech, procedure, ridge=1e-3, iterations=200)
    assert float(wsdr(found.waveform, speech, noisy)) < -0.999
    kinds = {"zero": ("zeroed",), "raise": ("raised",), "both": ("raised",)}[condition]
    for kind in kinds:
        where, truth = getattr(found.candidates, kind), getattr(positions, kind)
        evidence = found.evidence
        inside = evidence[where & truth].median(), evidence[where & ~truth].median()
        assert inside[0] > inside[1] + 0.4


def test_find_refines_in_batches_as_alone(speech):
    procedure = Corruption()
    batch = torch.cat([speech, speech.flip(-1)])
    noisy = torch.cat([damage(each[None], procedure, seed)[0] for seed, each in enumerate(batch)])
    together = find(noisy, 0.9 * batch + 0.1 * noisy, procedure, iterations=10)
    for i in range(2):
        alone = find(
            noisy[i : i + 1], (0.9 * batch + 0.1 * noisy)[i : i + 1], procedure, iterations=10
        )
        torch.testing.assert_close(together.waveform[i], alone.waveform[0], atol=1e-5, rtol=0)
