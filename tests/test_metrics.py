"""Scores against independent implementations, on speech; a missing score has a reason."""

import numpy as np
import pesq as pesq_package
import pystoi
import pytest
import torch
from small_corpus import small_corpus

from denoise_lib import RATE, Corruption
from denoise_lib.audio import to_level
from denoise_lib.batches import fixed_clip
from denoise_lib.corpora import open_speech
from denoise_lib.experiment import Identity
from denoise_lib.metrics import METRICS, evaluate, score


@pytest.fixture(scope="module")
def speech():
    corpus = open_speech()
    clip = next(c for c in corpus.split("test") if 2.5 * RATE < c.samples < 4 * RATE)
    return to_level(corpus.waveform(clip))


def white(n, seed=0):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed))


def test_each_measure_matches_its_reference(speech):
    noisy = speech + 0.01 * white(len(speech))
    estimate = speech + 0.004 * white(len(speech), 1)
    values, reasons = score(estimate, speech, noisy)
    y, e = speech.numpy().astype(np.float64), estimate.numpy().astype(np.float64)
    target = (e @ y) / (y @ y) * y  # Le Roux et al. 2019, equation 5
    assert values["si_sdr"] == pytest.approx(
        10 * np.log10((target @ target) / ((e - target) @ (e - target))), abs=1e-3
    )
    assert values["pesq"] == pytest.approx(pesq_package.pesq(RATE, y, e, "wb"), abs=0.01)
    assert values["stoi"] == pytest.approx(pystoi.stoi(y, e, RATE), abs=1e-4)
    assert reasons == {}


def test_less_noise_scores_better_on_speech(speech):
    noise = white(len(speech))
    noisy = speech + 0.05 * noise
    ladder = [score(speech + k * noise, speech, noisy)[0] for k in (0.002, 0.01, 0.05)]
    for metric, best_first in (("wsdr", False), ("si_sdr", True), ("pesq", True), ("stoi", True)):
        values = [each[metric] for each in ladder]
        assert values == sorted(values, reverse=best_first), metric


def test_clean_against_clean_is_perfect(speech):
    values, _ = score(speech, speech, speech + 0.01 * white(len(speech)))
    assert values["wsdr"] == pytest.approx(-1, abs=1e-6)
    assert values["pesq"] == pytest.approx(4.644, abs=0.001)  # the top of P.862.2's scale
    assert values["stoi"] == pytest.approx(1, abs=1e-6)


def test_silence_is_missing_with_a_reason_not_zero():
    silence = torch.zeros(2 * RATE)
    values, reasons = score(silence, silence, silence)
    assert values["pesq"] is None and "NoUtterances" in reasons["pesq"]
    assert values["wsdr"] == 0


def test_unknown_measure_is_named(speech):
    with pytest.raises(ValueError, match="'visqol'"):
        score(speech, speech, speech, ("visqol",))


def test_the_default_damage_is_as_strong_as_stated():
    """DESIGN: zero alone -0.901, raise alone -0.898, both -0.800 on 80 clips."""
    corpus = open_speech()
    clips = corpus.split("test")[::4]
    for condition, stated in (("zero", -0.901), ("raise", -0.898), ("both", -0.800)):
        damage = Corruption.for_condition(condition)
        scores = evaluate(Identity(), corpus, clips, damage, seed=0, longest=10, metrics=("wsdr",))
        mean = np.mean([each["noisy"]["wsdr"] for each in scores])
        assert mean == pytest.approx(stated, abs=0.015), condition


def test_noisy_and_identity_agree_and_scores_do_not_depend_on_company():
    corpus = small_corpus()
    clips = corpus.split("test")
    together = evaluate(Identity(), corpus, clips, Corruption(), seed=0)
    alone = [evaluate(Identity(), corpus, [c], Corruption(), seed=0)[0] for c in clips]
    assert together == alone
    for each in together:
        assert each["noisy"] == each["denoised"] and set(each["noisy"]) == set(METRICS)


def test_scored_clips_are_those_that_are_heard():
    corpus = small_corpus()
    clip = corpus.split("test")[0]
    noisy, clean = fixed_clip(corpus, clip, Corruption(), 0)
    scored = evaluate(Identity(), corpus, [clip], Corruption(), seed=0, metrics=("si_sdr",))
    assert scored[0]["noisy"]["si_sdr"] == pytest.approx(score(noisy, clean, noisy, ("si_sdr",))[0]["si_sdr"])
