"""Differences over seeds: against SciPy, and that a seed changes the training, not the test."""

import pytest
import scipy.stats
from small_corpus import small_corpus

from denoise_lib.metrics.intervals import over_seeds
from denoise_lib.models import ConvAutoencoder
from denoise_lib.names import METRICS, number
from denoise_lib.study.experiment import Experiment
from denoise_lib.study.run import Run
from denoise_lib.study.seeds import compare_seeds, train_seeds
from denoise_lib.study.tables import OVER_SEEDS, differences_over_seeds
from denoise_lib.study.verdicts import describe_seeds
from denoise_lib.training.loop import Schedule
from denoise_lib.training.losses import wsdr_loss


def test_interval_is_scipys():
    values = [0.1, 0.4, 0.25, 0.3]
    mean, (low, high) = over_seeds(values)
    expected = scipy.stats.t.interval(0.95, 3, loc=mean, scale=scipy.stats.sem(values))
    assert mean == pytest.approx(sum(values) / 4)
    assert (low, high) == pytest.approx(expected)
    assert over_seeds([0.2]) == (0.2, None)


def test_a_seed_changes_the_training_and_not_the_test(tmp_path):
    run = Run("07_ideas", tmp_path)
    lab = Experiment(
        run, small_corpus(3.0), batch=2, crop=0.3, max_seconds=1.5, metrics=["wsdr", "si_sdr"]
    )
    variants = {
        "autoencoder": (lambda: ConvAutoencoder(4, 64, 16), wsdr_loss),
        "autoencoder, wide": (lambda: ConvAutoencoder(8, 64, 16), wsdr_loss),
    }
    train_seeds(lab, variants, "both", Schedule(2, validate_every=2), [3, 4])
    rows = {
        (name, seed): run.value("both", name, experiment=f"07_ideas:seed {seed}")
        for name in variants
        for seed in (3, 4)
    }
    assert len({row["noisy"] for row in rows.values()}) == 1
    assert len({row["denoised"] for row in rows.values()}) == 4
    row = compare_seeds(run, "autoencoder, wide", "autoencoder", "both", [3, 4])
    by_hand = [
        rows["autoencoder, wide", seed]["denoised"] - rows["autoencoder", seed]["denoised"]
        for seed in (3, 4)
    ]
    assert row["value"] == pytest.approx(sum(by_hand) / 2) and row["n"] == 2
    assert (row["of"], row["unit"]) == ("autoencoder, wide minus autoencoder", "")
    assert run.measurements == [row]
    assert row["ci95"] == pytest.approx(over_seeds(by_hand)[1])
    assert [each["mean"] for each in run.differences] == pytest.approx(by_hand)
    again = Run("07_ideas", tmp_path)
    train_seeds(
        Experiment(again, small_corpus(3.0), batch=2, crop=0.3, max_seconds=1.5, metrics=["wsdr"]),
        variants,
        "both",
        Schedule(2, validate_every=2),
        [4],
    )
    same = again.value("both", "autoencoder", experiment="07_ideas:seed 4")
    assert same["denoised"] == rows["autoencoder", 4]["denoised"]


@pytest.mark.parametrize(
    ("metric", "ci95", "said", "shown"),
    [
        ("wsdr", [-0.02, -0.01], "over 3 seeds: an improvement.", "better"),
        ("wsdr", [0.01, 0.02], "over 3 seeds: harm.", "worse"),
        ("si_sdr", [0.01, 0.02], "over 3 seeds: an improvement.", "better"),
        ("lsd", [-0.2, 0.1], "over 3 seeds: no difference is shown.", "no difference shown"),
        ("wsdr", None, "with 3 seed.", ""),
    ],
)
def test_verdict_and_table_follow_the_interval_and_the_measure(metric, ci95, said, shown):
    measured = {"of": "dcunet, MFCC minus dcunet", "value": 0.015, "ci95": ci95, "n": 3}
    text = describe_seeds(measured, metric, "Reading MFCC")
    assert text.startswith("Reading MFCC changes ") and text.endswith(said)
    (line,) = differences_over_seeds([(measured, metric)])
    assert len(line) == len(OVER_SEEDS) and line[0] == "DCUnet, MFCC minus DCUnet"
    assert line[2] == number(0.015, METRICS[metric].decimals + 1) and line[-1] == shown
