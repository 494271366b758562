"""Scores against independent implementations, on speech; a missing score has a reason."""

import numpy as np
import pesq as pesq_package
import psutil
import pystoi
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import small_corpus
from speechmos import dnsmos as speechmos_dnsmos

from denoise_lib import RATE, Corruption, names
from denoise_lib.audio import to_level
from denoise_lib.data.corpora import open_speech
from denoise_lib.data.crops import fixed_clip
from denoise_lib.metrics import dnsmos as dnsmos_module
from denoise_lib.metrics.dnsmos import dnsmos
from denoise_lib.metrics.evaluate import evaluate
from denoise_lib.metrics.measures import (
    ALL_METRICS,
    MEASURES,
    METRICS,
    PERFECT,
    Measure,
    any_slow,
    brought_down,
    log_spectral_distance,
    score,
)
from denoise_lib.models.baselines import Identity


@pytest.fixture(scope="module")
def speech():
    corpus = open_speech()
    clip = next(c for c in corpus.split("test") if 2.5 * RATE < c.samples < 4 * RATE)
    return to_level(corpus.waveform(clip))


def white(n, seed=0):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed))


@pytest.mark.slow
def test_each_measure_matches_its_reference(speech):
    noisy = speech + 0.01 * white(len(speech))
    estimate = speech + 0.004 * white(len(speech), 1)
    values, reasons = score(estimate, speech, noisy, ALL_METRICS)
    assert tuple(values) == ALL_METRICS
    y, e = speech.numpy().astype(np.float64), estimate.numpy().astype(np.float64)
    target = (e @ y) / (y @ y) * y  # Le Roux et al. 2019, equation 5
    assert values["si_sdr"] == pytest.approx(
        10 * np.log10((target @ target) / ((e - target) @ (e - target))), abs=1e-3
    )
    assert values["snr"] == pytest.approx(10 * np.log10((y @ y) / ((y - e) @ (y - e))), abs=1e-3)
    assert values["lsd"] == pytest.approx(scipy_lsd(e, y), abs=1e-3)
    assert values["pesq"] == pytest.approx(pesq_package.pesq(RATE, y, e, "wb"), abs=0.01)
    assert values["stoi"] == pytest.approx(pystoi.stoi(y, e, RATE), abs=1e-4)
    reference = speechmos_dnsmos.run(estimate.clamp(-1, 1).numpy(), RATE)["ovrl_mos"]
    assert values["dnsmos"] == pytest.approx(reference, abs=1e-4)
    assert reasons == {}


def scipy_lsd(estimate, clean):
    """Log-spectral distance by SciPy's STFT, whose scale the floor follows."""
    magnitude = [
        np.abs(scipy.signal.stft(each, nperseg=512, noverlap=384, padded=False)[2])
        for each in (estimate, clean)
    ]
    level = [20 * np.log10(np.maximum(each, magnitude[1].max() / 1000)) for each in magnitude]
    return np.sqrt(((level[0] - level[1]) ** 2).mean(axis=0)).mean()


@pytest.mark.slow
def test_less_noise_scores_better_on_speech(speech):
    noise = white(len(speech))
    noisy = speech + 0.05 * noise
    ladder = [score(speech + k * noise, speech, noisy, ALL_METRICS)[0] for k in (0.002, 0.01, 0.05)]
    for metric in ALL_METRICS:
        values = [each[metric] for each in ladder]
        best_first = names.METRICS[metric][3] == "higher"
        assert values == sorted(set(values), reverse=best_first) and len(values) == 3, metric


def test_clean_against_clean_is_perfect(speech):
    noisy = speech + 0.01 * white(len(speech))
    values, reasons = score(speech, speech, noisy, ALL_METRICS)
    assert values["wsdr"] == pytest.approx(-1, abs=1e-6)
    assert values["lsd"] == 0
    assert (values["snr"], values["si_sdr"]) == (None, None)
    assert reasons == {"snr": PERFECT, "si_sdr": PERFECT}
    assert values["pesq"] == pytest.approx(4.644, abs=0.001)  # the top of P.862.2's scale
    assert values["stoi"] == pytest.approx(1, abs=1e-6)


def test_silence_is_missing_with_a_reason_not_zero():
    silence = torch.zeros(2 * RATE)
    values, reasons = score(silence, silence, silence, ALL_METRICS)
    assert values["pesq"] is None and "finds no speech" in reasons["pesq"]
    assert values["wsdr"] == 0
    for metric in ("snr", "si_sdr", "lsd"):
        assert values[metric] is None
        assert reasons[metric] == "undefined: the clean clip is silent"


def test_a_silent_estimate_has_lost_the_speech_not_reached_0_db(speech):
    values, reasons = score(0 * speech, speech, speech, ("snr", "si_sdr", "lsd"))
    assert values["snr"] == pytest.approx(0, abs=1e-4)  # the error is the speech itself
    assert values["si_sdr"] is None and reasons == {"si_sdr": "undefined: the estimate is silent"}
    assert values["lsd"] > 10


def test_what_is_no_number_is_missing(speech):
    broken = speech.clone()
    broken[1000] = torch.nan
    for estimate, clean, what in ((broken, speech, "estimate"), (speech, broken, "clean clip")):
        values, reasons = score(estimate, clean, speech, ALL_METRICS)
        assert set(values.values()) == {None}
        assert set(reasons.values()) == {f"undefined: the {what} is not finite"}


def test_a_measure_that_gives_no_number_or_raises(speech, monkeypatch):
    """Only what a measure is known to refuse is a reason; other errors are not hidden."""

    def refuse(*_):
        raise ArithmeticError("too loud")

    monkeypatch.setitem(MEASURES, "nan", Measure(lambda *_: torch.tensor(torch.nan)))
    monkeypatch.setitem(MEASURES, "picky", Measure(refuse, fails=True))
    monkeypatch.setitem(MEASURES, "broken", Measure(refuse))
    assert score(speech, speech, speech, ("nan", "picky", "wsdr")) == (
        {"nan": None, "picky": None, "wsdr": pytest.approx(-1, abs=1e-6)},
        {"nan": "not a number", "picky": "ArithmeticError: too loud"},
    )
    with pytest.raises(ArithmeticError, match="too loud"):
        score(speech, speech, speech, ("broken",))


def test_speech_too_short_for_stoi_has_no_stoi(speech):
    """Clean against clean, too: pystoi gives 1e-5 and a warning, which is no score."""
    short = torch.zeros(RATE)
    loudest = int(speech.square().argmax())
    short[:3000] = speech[max(0, loudest - 1500) :][:3000]
    values, reasons = score(short, short, short, ("stoi",))
    assert values == {"stoi": None}
    assert reasons == {"stoi": "undefined: STOI needs 0.4 s of speech without its pauses"}


def test_pesq_says_in_words_why_it_has_no_score(speech):
    for clip, why in (
        (torch.zeros(RATE), "PESQ finds no speech in it"),
        (speech[:100], "a quarter of a sec"),
    ):
        values, reasons = score(clip, clip, clip, ("pesq",))
        assert values == {"pesq": None} and reasons["pesq"].startswith("undefined: ")
        assert why in reasons["pesq"]


def test_lsd_is_taken_in_the_precision_of_its_waveforms(speech):
    estimate, clean = (speech + 0.004 * white(len(speech))).double(), speech.double()
    distance = log_spectral_distance(estimate, clean)
    assert distance.dtype == torch.float64
    assert float(distance) == pytest.approx(scipy_lsd(estimate.numpy(), clean.numpy()), abs=1e-9)


def test_lsd_of_another_level_is_that_level():
    noise = white(RATE)
    for gain in (0.5, 3.0):  # no coefficient is near the floor
        distance = float(log_spectral_distance(gain * noise, noise))
        assert distance == pytest.approx(abs(20 * np.log10(gain)), abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3000), st.floats(1e-3, 1e3), st.integers(0, 99))
def test_lsd_holds_for_any_length_and_common_gain(samples, gain, seed):
    estimate, clean = white(samples, seed), white(samples, seed + 1)
    distance = float(log_spectral_distance(estimate, clean))
    assert distance > 0 and float(log_spectral_distance(clean, clean)) == 0
    scaled = float(log_spectral_distance(gain * estimate, gain * clean))
    assert scaled == pytest.approx(distance, rel=1e-3)


def test_digital_silence_does_not_decide_the_lsd(speech):
    """Half a clip of zeros against inaudible noise: far below the floor, so it is no distance."""
    clean = torch.cat([speech, torch.zeros_like(speech)])
    hiss = clean + 1e-7 * white(len(clean))
    assert float(log_spectral_distance(hiss, clean)) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.3, 4.6, 9.2, 18.5])  # doubled, long enough, windows left out
def test_dnsmos_is_that_of_speechmos(speech, seconds):
    tiled = speech.repeat(8)[: round(seconds * RATE)]
    noisy = tiled + 0.01 * white(len(tiled))
    expected = speechmos_dnsmos.run(noisy.numpy(), RATE)["ovrl_mos"]
    assert dnsmos(noisy) == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_dnsmos_clips_and_does_not_set_the_level(speech):
    loud = speech * (2 / speech.abs().max())
    assert dnsmos(loud) == dnsmos(loud.clamp(-1, 1)) != dnsmos(speech)


@pytest.mark.parametrize("shape", [(0,), (2, RATE)])
def test_dnsmos_wants_one_waveform(shape):
    with pytest.raises(ValueError, match="one waveform"):
        dnsmos(torch.zeros(shape))


def test_every_measure_has_a_name_and_a_direction():
    assert set(ALL_METRICS) == set(names.METRICS) and set(METRICS) < set(ALL_METRICS)


def test_unknown_measure_is_named(speech):
    known = "wsdr, snr, si_sdr, lsd, pesq, stoi, dnsmos"
    with pytest.raises(ValueError, match=f"^unknown metric 'visqol': use one of {known}$"):
        score(speech, speech, speech, ("visqol",))


def test_the_default_damage_is_as_strong_as_stated():
    """DESIGN: zero alone -0.901, raise alone -0.898, both -0.800 on 80 clips."""
    corpus = open_speech()
    clips = corpus.split("test")[::4]
    for condition, stated in (("zero", -0.901), ("raise", -0.898), ("both", -0.800)):
        damage = Corruption.for_condition(condition)
        scores = evaluate(
            Identity(), corpus, clips, damage, seed=0, max_seconds=10, metrics=("wsdr",)
        )
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
        assert "clean" not in each


def test_clean_against_clean_comes_with_its_own_reasons():
    corpus = small_corpus()
    clips = corpus.split("test")[:2]
    metrics = ("wsdr", "si_sdr", "lsd")
    scores = evaluate(
        Identity(), corpus, clips, Corruption(), seed=0, metrics=metrics, reference=True
    )
    for each in scores:
        assert each["clean"] == {"wsdr": pytest.approx(-1, abs=1e-6), "si_sdr": None, "lsd": 0}
        assert each["clean_reason"] == {"si_sdr": PERFECT} and each["reason"] == {}
        assert each["noisy"]["lsd"] > 1


@pytest.mark.slow
def test_dnsmos_keeps_no_memory_of_what_it_rated():
    process, waveform = psutil.Process(), 0.05 * white(10 * RATE)
    dnsmos_module._network.cache_clear()  # an earlier test's would have its memory already
    dnsmos_module._network()
    before = process.memory_info().rss
    dnsmos(waveform)
    assert process.memory_info().rss - before < 90e6  # 180 MB otherwise


@pytest.mark.slow
def test_dnsmos_in_processes_of_their_own(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    corpus = small_corpus()
    clip = corpus.split("test")[0]
    noisy, _ = fixed_clip(corpus, clip, Corruption(), 0)
    (scored,) = evaluate(Identity(), corpus, [clip], Corruption(), seed=0, metrics=("dnsmos",))
    assert scored["noisy"]["dnsmos"] == pytest.approx(dnsmos(noisy), abs=1e-5)


def test_scored_clips_are_those_that_are_heard():
    corpus = small_corpus()
    clip = corpus.split("test")[0]
    noisy, clean = fixed_clip(corpus, clip, Corruption(), 0)
    scored = evaluate(Identity(), corpus, [clip], Corruption(), seed=0, metrics=("si_sdr",))
    assert scored[0]["noisy"]["si_sdr"] == pytest.approx(
        score(noisy, clean, noisy, ("si_sdr",))[0]["si_sdr"]
    )


def test_every_measure_is_named_and_every_name_is_taken():
    assert list(names.METRICS) == list(ALL_METRICS)
    assert METRICS == ("wsdr", "si_sdr", "pesq", "stoi")


def test_those_that_are_slow_and_those_that_want_another_rate_are_known():
    assert [each for each in ALL_METRICS if any_slow((each,))] == ["pesq", "stoi", "dnsmos"]
    assert any_slow(("wsdr", "pesq")) and not any_slow(())
    assert brought_down(ALL_METRICS, 48000) == ["pesq", "stoi", "dnsmos"]
    assert brought_down(("stoi", "wsdr"), RATE) == []
