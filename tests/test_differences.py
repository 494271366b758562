"""Differences between systems: intervals against closed forms, SciPy and simulated studies."""

import math
import re
import tracemalloc

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from denoise_lib.display import figures
from denoise_lib.errors import UserError
from denoise_lib.metrics.intervals import interval, paired_difference
from denoise_lib.names import label
from denoise_lib.study.differences import difference_row
from denoise_lib.study.run import Run, read_clips
from denoise_lib.study.tables import by_condition, by_measure, winners
from denoise_lib.study.verdicts import copy_db, describe_harm, describe_network


def study(voices, clips, between, within=1.0, seed=0, mean=0.3):
    """Differences of clips of several voices, and the voice of each."""
    generator = np.random.default_rng(seed)
    own = between * generator.standard_normal(voices)
    owner = np.repeat(np.arange(voices), clips)
    return mean + own[owner] + within * generator.standard_normal(voices * clips), owner


def half_width(result):
    return (result[2] - result[1]) / 2


def test_interval_is_as_wide_as_the_two_level_variance():
    """Variance of a resample's mean: that of the voices' means over V, and of the clips within.

    The variances are those of the sample itself, divided by its size, since that is what is drawn
    from: Davison and Hinkley, section 3.8.
    """
    difference, owner = study(40, 12, between=0.6)
    table = difference.reshape(40, 12)
    variance = table.mean(axis=1).var() / 40 + table.var(axis=1).mean() / (40 * 12)
    found = paired_difference(difference, 0 * difference, owner)
    assert found[0] == pytest.approx(difference.mean())
    assert half_width(found) == pytest.approx(1.96 * math.sqrt(variance), rel=0.04)
    assert (found[1] + found[2]) / 2 == pytest.approx(found[0], abs=0.05 * half_width(found))


def test_voices_of_unequal_size_count_by_their_clips():
    """Two voices without spread: a resample holds either alone, or both by their clips."""
    difference, owner = np.array([0.0] * 30 + [1.0] * 10), ["a"] * 30 + ["b"] * 10
    mean, low, high = paired_difference(difference, np.zeros(40), owner)
    assert (mean, low, high) == (0.25, 0, 1)
    resampled = [
        paired_difference(difference, np.zeros(40), owner, resamples=1, seed=seed)[1]
        for seed in range(400)
    ]
    shares = [np.mean(np.isclose(resampled, value)) for value in (0, 0.25, 1)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.08)


def test_one_voice_is_the_bootstrap_over_clips():
    difference, _ = study(1, 60, between=0)
    zeros = np.zeros(60)
    found = paired_difference(difference, zeros, ["ru"] * 60)
    scipys = scipy.stats.bootstrap(
        (difference, zeros),
        lambda a, b, axis: (a - b).mean(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=10_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    for expected in (tuple(scipys), interval(difference)[1:]):
        assert found[1:] == pytest.approx(expected, abs=0.05 * half_width(found))


def test_pairing_takes_out_what_clips_have_in_common():
    """Hard clips are hard for both: the spread of either system is not that of the difference."""
    difference, owner = study(1, 100, between=0, within=0.1)
    hard = np.random.default_rng(5).standard_normal(100)
    found = paired_difference(hard + difference, hard, owner)
    assert half_width(found) < 0.2 * half_width(interval(hard))
    assert found == pytest.approx(paired_difference(difference, 0 * difference, owner))


def test_clustering_widens_the_interval_where_voices_differ():
    difference, owner = study(10, 20, between=1.0)
    clustered = paired_difference(difference, 0 * difference, owner)
    assert half_width(clustered) > 2 * half_width(interval(difference))


def test_the_interval_of_a_mean_is_that_of_a_difference_from_nothing():
    values, owner = study(5, 12, between=0.5)
    assert interval(values, owner) == paired_difference(values, 0 * values, owner)
    with pytest.raises(ValueError, match="one voice per clip"):
        interval(values, owner[1:])


@pytest.mark.parametrize(
    ("voices", "clips", "low", "high"),
    [(40, 8, 0.92, 0.99), (3, 30, 0.72, 0.90)],  # few voices: too narrow, as the docstring says
)
def test_coverage_in_simulated_studies(voices, clips, low, high):
    covered, over_clips = 0, 0
    for seed in range(200):
        difference, owner = study(voices, clips, between=0.5, seed=seed)
        found = paired_difference(difference, 0 * difference, owner, resamples=600)
        covered += found[1] <= 0.3 <= found[2]
        alone = interval(difference, resamples=600)
        over_clips += alone[1] <= 0.3 <= alone[2]
    assert low <= covered / 200 <= high
    assert over_clips < covered - 20


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-50, 50), st.floats(-50, 50), st.sampled_from("abc")),
        min_size=2,
        max_size=30,
    )
)
def test_swapping_the_systems_turns_the_sign_and_the_mean_is_inside(clips):
    a, b, voices = map(list, zip(*clips, strict=True))
    mean, low, high = paired_difference(a, b, voices, resamples=2000)
    swapped = paired_difference(b, a, voices, resamples=2000)
    assert swapped == pytest.approx((-mean, -high, -low), abs=1e-9)
    assert min(np.subtract(a, b)) - 1e-9 <= low <= high <= max(np.subtract(a, b)) + 1e-9


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_scores_of_any_kind_are_taken_as_exact_numbers(kind):
    """Small whole numbers without a sign would wrap around, short ones lose digits."""
    a, b = (np.array(each, dtype=kind) for each in ([1, 4, 9, 200], [3, 3, 90, 90.7]))
    exact = [each.astype(np.float64) for each in (a, b)]
    assert paired_difference(a, b, list("xyxy")) == paired_difference(*exact, list("xyxy"))
    assert interval(a / kind(3)) == interval((a / kind(3)).astype(np.float64))


def test_the_same_scores_give_the_same_interval_and_the_global_generator_is_left_alone():
    difference, owner = study(5, 9, between=1.0)
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    once, again = (paired_difference(difference, 0 * difference, owner) for _ in range(2))
    assert once == again != paired_difference(difference, 0 * difference, owner, seed=1)
    assert (np.random.get_state()[1] == state).all()


@pytest.mark.parametrize(
    ("voices", "clips", "resamples"), [(1, 10_000, 2000), (3, 5_000, 2000), (100, 1, 100_000)]
)
def test_memory_does_not_grow_with_the_test_set(voices, clips, resamples):
    difference, owner = study(voices, clips, between=1.0)
    tracemalloc.start()
    paired_difference(difference, 0 * difference, owner, resamples=resamples)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6  # all resamples at once would take 160 MB and more


def test_a_single_clip_tells_no_spread():
    mean, low, high = paired_difference([0.5], [0.2], ["en"])
    assert mean == pytest.approx(0.3) and math.isnan(low) and math.isnan(high)


@pytest.mark.parametrize(
    ("a", "b", "voices", "says"),
    [
        ([1.0, 2.0], [1.0], ["x", "x"], "one score of each"),
        ([1.0, 2.0], [1.0, 2.0], ["x"], "one score of each"),
        ([[1.0]], [[1.0]], [["x"]], "one score of each"),
        ([], [], [], "finite scores"),
        ([1.0, math.nan], [1.0, 2.0], ["x", "x"], "finite scores"),
        ([1.0, math.inf], [1.0, 2.0], ["x", "y"], "finite scores"),
    ],
)
def test_what_cannot_be_compared_is_refused(a, b, voices, says):
    with pytest.raises(ValueError, match=says):
        paired_difference(a, b, voices)


# Lines of results ------------------------------------------------------------------------------


def records(model, denoised, noisy=(-0.8, -0.7, -0.6, -0.5), metric="wsdr", **changes):
    """Per-clip records of one model on four clips of two voices."""
    return [
        {
            "experiment": "04_dcunet",
            "condition": "both",
            "model": model,
            "split": "test",
            "clip": f"clip-{i}",
            "voice": "ab"[i % 2],
            "metric": metric,
            "noisy": before,
            "denoised": after,
            "reason": "",
            **changes,
        }
        for i, (before, after) in enumerate(zip(noisy, denoised, strict=True))
    ]


WHERE = {"condition": "both", "split": "test", "metric": "wsdr"}
DCUNET = records("dcunet", (-0.95, -0.94, -0.93, -0.92))
WAVENET = records("wavenet", (-0.85, -0.82, -0.84, -0.80), experiment="03_wavenet")


def test_line_of_two_systems():
    row = difference_row([*DCUNET, *reversed(WAVENET)], "dcunet", "wavenet", **WHERE)
    mean, low, high = paired_difference(
        [-0.95, -0.94, -0.93, -0.92], [-0.85, -0.82, -0.84, -0.80], list("abab")
    )
    assert row == {
        **WHERE,
        "a": "dcunet",
        "b": "wavenet",
        "a_experiment": "04_dcunet",
        "b_experiment": "03_wavenet",
        "mean": mean,
        "ci95": [low, high],
        "n": 4,
        "total": 4,
        "voices": 2,
    }
    assert row["mean"] == pytest.approx(-0.1075) and high < 0


def test_line_against_the_noisy_clips():
    row = difference_row(DCUNET, "dcunet", "noisy", **WHERE)
    assert row["mean"] == pytest.approx(-0.935 + 0.65) and row["b"] == "noisy"


def test_clips_without_a_score_are_left_out_and_counted():
    lost = records("wavenet", (None, -0.82, -0.84, None), noisy=(None, -0.7, -0.6, None))
    row = difference_row([*DCUNET, *lost], "dcunet", "wavenet", **WHERE)
    assert (row["n"], row["total"], row["voices"]) == (2, 4, 2)
    assert row["mean"] == pytest.approx((-0.12 - 0.09) / 2)
    none = records("clean", (None,) * 4)
    row = difference_row([*DCUNET, *none], "dcunet", "clean", **WHERE)
    assert (row["n"], row["mean"], row["ci95"]) == (0, None, None)


def test_stages_are_told_apart_by_their_experiment():
    before = records("dcunet", (-0.5,) * 4, experiment="05_street_noise:before")
    after = records("dcunet", (-0.9,) * 4, experiment="05_street_noise:retrained")
    with pytest.raises(KeyError, match="2 experiments hold .* name one"):
        difference_row(before + after, "dcunet", "noisy", **WHERE)
    row = difference_row(
        before + after,
        ("05_street_noise:retrained", "dcunet"),
        ("05_street_noise:before", "dcunet"),
        **WHERE,
    )
    assert row["mean"] == pytest.approx(-0.4) and (row["a"], row["b"]) == ("dcunet", "dcunet")
    with pytest.raises(KeyError, match="0 experiments"):
        difference_row(before, "wavenet", "noisy", **WHERE)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (WAVENET[:3], "not the same clips, 1 of the first"),
        (records("wavenet", (-0.8,) * 4, noisy=(-0.8, -0.7, -0.6, -0.4)), "not the same damage"),
        (WAVENET + WAVENET[:1], "twice"),
    ],
)
def test_systems_that_met_other_clips_or_damage_are_not_compared(other, says):
    with pytest.raises(ValueError, match=says):
        difference_row([*DCUNET, *other], "dcunet", "wavenet", **WHERE)


def scores(records):
    return [
        {
            "clip": each["clip"],
            "voice": each["voice"],
            "noisy": {"wsdr": each["noisy"]},
            "denoised": {"wsdr": each["denoised"]},
            "reason": {},
        }
        for each in records
    ]


def test_runs_are_compared_across_notebooks(tmp_path):
    earlier = Run("03_wavenet", tmp_path / "03_wavenet")
    earlier.add(scores(WAVENET), condition="both", model="wavenet", split="test")
    earlier.finish()
    run = Run("04_dcunet", tmp_path / "04_dcunet")
    run.add(scores(DCUNET), condition="both", model="dcunet", split="test")
    found = read_clips(earlier.out)
    assert found == earlier.clips
    both = ("dcunet", "wavenet")
    assert run.comparable(*both, condition="both", earlier=found)
    assert not run.comparable(*both, condition="both", earlier=found[1:])  # other clips
    assert not run.comparable(*both, condition="both")  # none at all
    other = [{**each, "noisy": each["noisy"] + 0.01} for each in found]
    assert not run.comparable(*both, condition="both", earlier=other)  # longer clips
    row = run.compare("dcunet", "wavenet", condition="both", earlier=found, experiment="04_x")
    expected = difference_row(run.clips + earlier.clips, "dcunet", "wavenet", **WHERE)
    assert row == {"experiment": "04_x", **expected, "cell": None} and run.differences == [row]
    with pytest.raises(UserError, match="clips.csv does not exist"):
        read_clips(run.out)


# Tables of rows --------------------------------------------------------------------------------


@pytest.fixture
def compared(tmp_path):
    """A run with two systems, two conditions, two measures and two splits."""
    run = Run("08_unet", tmp_path / "08_unet")
    for experiment in ("08_unet", "08_unet:compared"):
        for place, condition in enumerate(("both", "street")):
            for split, model in (("test", "unet"), ("test", "rnnoise"), ("unseen_voice", "unet")):
                better = 0.1 * (model == "unet") + 0.01 * (split == "test")
                better += 0.001 * len(experiment)
                clips = [
                    {
                        "clip": f"{split}-{i}",
                        "voice": "a",
                        "reason": {},
                        "noisy": {"wsdr": -0.4 - place, "pesq": None if i else 1.5},
                        "denoised": {
                            "wsdr": -0.4 - place - better,
                            "pesq": None if i else 2 + better,
                        },
                    }
                    for i in range(3)
                ]
                run.add(clips, condition=condition, model=model, split=split, experiment=experiment)
    return run


def test_lines_by_measure(compared):
    lines = by_measure(
        compared, ["rnnoise", "unet"], "both", ["pesq", "wsdr"], experiment="08_unet:compared"
    )
    assert [line[0] for line in lines] == [label("rnnoise"), label("unet")] == ["RNNoise", "U-Net"]
    more = 0.01 + 0.001 * len("08_unet:compared")
    assert lines[0][1:] == pytest.approx([2 + more, -0.4 - more])
    assert lines[1][1:] == pytest.approx([2.1 + more, -0.5 - more])
    unseen = by_measure(
        compared, ["unet"], "both", ["wsdr"], experiment="08_unet", split="unseen_voice"
    )
    assert unseen[0][1] == pytest.approx(-0.5 - 0.007)


def test_lines_by_condition(compared):
    lines = by_condition(compared, ["unet", "rnnoise"], ["street", "both"], experiment="08_unet")
    more = 0.01 + 0.007
    assert [line[0] for line in lines] == ["street noise", "zeroing and raising"]
    assert lines[0][1:] == pytest.approx([-1.4, -1.5 - more, -1.4 - more])
    assert lines[1][1:] == pytest.approx([-0.4, -0.5 - more, -0.4 - more])
    pesq = by_condition(compared, ["unet"], ["both"], "pesq", experiment="08_unet")
    assert pesq[0][1:] == pytest.approx([1.5, 2.1 + more])


def test_a_line_without_its_row_is_an_error(compared):
    with pytest.raises(KeyError):
        by_measure(compared, ["dcunet"], "both", ["wsdr"], experiment="08_unet")
    with pytest.raises(KeyError):
        by_condition(compared, ["unet"], ["snow"], experiment="08_unet")


# --- differences and winners ---------------------------------------------------------


def test_a_forest_writes_differences_so_that_none_that_is_shown_reads_as_zero():
    row = {"a": "repair", "b": "rnnoise", "condition": "both", "n": 6, "total": 6, "voices": 2}
    rows = [
        row | {"metric": "si_sdr", "mean": 1.25, "ci95": [0.5, 2.0]},
        row | {"metric": "wsdr", "mean": 0.0312, "ci95": [0.01, 0.05]},
        row | {"metric": "lsd", "mean": 0.15, "ci95": [0.1, 0.2]},
        row | {"metric": "stoi", "mean": -0.0012, "ci95": [-0.01, 0.01]},
        row | {"metric": "pesq", "mean": 0.2, "ci95": None},
        row | {"metric": "wsdr", "mean": -4e-4, "ci95": [-6e-4, -2e-4]},
        row | {"metric": "wsdr", "mean": None, "ci95": None, "n": 0, "voices": 0},
    ]
    texts = {}
    for axis in figures.forest(rows).axes:
        (right,) = axis.child_axes
        measure = axis.get_xlabel().partition(":")[0].removeprefix("difference in ")
        texts[measure] = [each.get_text() for each in right.get_yticklabels()]
    assert texts == {
        "SI-SDR, dB": ["1.2 [0.5, 2.0]"],
        "wSDR": ["0.031 [0.010, 0.050]", "−0.0004 [−0.0006, −0.0002]", "–"],
        "LSD, dB": ["0.1 [0.1, 0.2]"],
        "STOI": ["−0.001 [−0.010, 0.010]"],
        "PESQ": ["0.20"],
    }


def small_run(tmp_path, *rows):
    """A run with rows of (model, {measure: (noisy, denoised)}) on three clips of two voices."""
    run = Run("02_autoencoder", tmp_path)
    for model, condition, scores in rows:
        clips = [
            {
                "clip": f"c{index}",
                "voice": f"v{index % 2}",
                "noisy": {metric: noisy for metric, (noisy, _) in scores.items()},
                "denoised": {metric: denoised for metric, (_, denoised) in scores.items()},
                "reason": {},
            }
            for index in range(3)
        ]
        run.add(clips, condition=condition, model=model, split="test")
    return run


def test_a_verdict_names_both_scores_and_the_harm(tmp_path):
    both = {"wsdr": (-0.8, -0.9), "si_sdr": (7.0, 9.0)}
    zero = {"wsdr": (-0.9, -0.92), "si_sdr": (12.0, 10.0)}
    run = small_run(
        tmp_path, ("dcunet", "both", both), ("dcunet", "zero", zero), ("wavenet", "both", both)
    )
    told = describe_network(run, "both", "dcunet", "the DCUnet").replace("\N{NO-BREAK SPACE}", " ")
    assert told == (
        "For zeroing and raising, the DCUnet takes the mean SI-SDR from 7.0 dB to 9.0 dB "
        "(wSDR from −0.800 to −0.900 [−0.900, −0.900]) on 3 test clips of 2 voices."
    )
    harm = describe_harm(run, ["both", "zero"], "dcunet").replace("\N{NO-BREAK SPACE}", " ")
    assert harm == (" It does harm for zeroing alone, where SI-SDR falls from 12.0 dB to 10.0 dB.")
    assert describe_harm(run, ["both"], "dcunet") == ""


def test_a_verdict_tells_of_the_unseen_voice_where_it_fares_worse(tmp_path):
    better, worse = {"si_sdr": (7.0, 9.0)}, {"si_sdr": (12.0, 10.0)}
    seen = (("dcunet", "both", better), ("dcunet", "zero", worse))
    run = small_run(tmp_path, *seen)
    unseen = small_run(tmp_path, *(("dcunet", each, worse) for each in ("both", "zero")))
    run.rows += [row | {"split": "unseen_voice"} for row in unseen.rows]
    harm = describe_harm(run, ["both", "zero"], "dcunet").replace("\N{NO-BREAK SPACE}", " ")
    assert harm.endswith(
        " to 10.0 dB. On the voice never heard in training, SI-SDR falls for zeroing and raising "
        "and for zeroing alone."
    )


def test_a_verdict_without_si_sdr_is_of_wsdr_alone(tmp_path):
    run = small_run(tmp_path, ("dcunet", "both", {"wsdr": (-0.8, -0.9)}))
    assert "takes the mean wSDR from −0.800" in describe_network(run, "both", "dcunet", "it")
    assert describe_harm(run, ["both"], "dcunet") == ""


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 25.0])
def test_the_ratio_of_a_copy_follows_from_its_cosine(snr_db):
    generator = np.random.default_rng(0)
    clean, error = generator.standard_normal((2, 4000))
    error -= clean * (error @ clean) / (clean @ clean)
    error *= np.linalg.norm(clean) / np.linalg.norm(error) * 10 ** (-snr_db / 20)
    copy = 3 * (clean + error)  # a wrong level is not seen
    cosine = copy @ clean / np.linalg.norm(copy) / np.linalg.norm(clean)
    assert copy_db(-cosine) == pytest.approx(snr_db, abs=1e-6)


def test_the_winner_is_the_best_in_the_sense_of_the_measure(tmp_path):
    """Lower for wSDR, higher for the others; a system without a value cannot win."""
    run = Run("08", tmp_path)
    clips = [{"clip": f"c{index}", "voice": "v"} for index in range(3)]
    for model, wsdr, stoi in (
        ("rnnoise", -0.9, 0.8),
        ("repair", -0.95, 0.7),
        ("speech", -0.5, None),
    ):
        scores = {"wsdr": wsdr, "stoi": stoi}
        noisy = {"wsdr": -0.4, "stoi": 0.6}
        run.add(
            [each | {"noisy": noisy, "denoised": scores, "reason": {}} for each in clips],
            condition="street",
            model=model,
            split="test",
        )
    (line,) = winners(
        run,
        ["rnnoise", "repair", "speech"],
        [("street", "test")],
        ["wsdr", "stoi"],
        experiment="08",
    )
    assert line[0] == "street noise" and line[3:] == ["repair (−0.950)", "RNNoise (0.800)"]
    assert re.fullmatch(r"\d+ clips? of \d+ voices?", line[2])
