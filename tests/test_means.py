"""Means that can be trusted: over which clips they are, who chose them, and no failure helps."""

import hashlib
import signal
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib.externals import loky
from small_corpus import small_corpus

from denoise_lib import Corruption, names
from denoise_lib.commands.evaluate import _sides
from denoise_lib.data.corpora import Clip
from denoise_lib.data.crops import fixed_batch, spread
from denoise_lib.display import show
from denoise_lib.display.mean import Mean, footnote, means_over
from denoise_lib.metrics import evaluate as evaluation
from denoise_lib.metrics.evaluate import evaluate, failed
from denoise_lib.metrics.intervals import interval
from denoise_lib.metrics.measures import PERFECT
from denoise_lib.models.base import Denoiser
from denoise_lib.models.baselines import Identity
from denoise_lib.report import glance
from denoise_lib.study.differences import difference_row
from denoise_lib.study.experiment import Experiment
from denoise_lib.study.run import Run
from denoise_lib.study.seeds import compare_seeds
from denoise_lib.study.tables import by_measure, measured, point, winners
from denoise_lib.study.verdicts import copy_db, describe_network

VOICES = {"allison": 83, "june": 41, "carlo": 38, "ru": 2}


class Broken(Denoiser):
    """Gives no number where the clip is longer than some samples."""

    name = "broken"

    def __init__(self, longest):
        super().__init__()
        self.longest = longest

    def forward(self, noisy):
        return noisy * (torch.nan if noisy.shape[-1] > self.longest else 0.9)


@pytest.fixture
def lab(tmp_path):
    return Experiment(Run("02", tmp_path / "02"), small_corpus(), metrics=["wsdr", "si_sdr"])


# Which clips ------------------------------------------------------------------------------------


@given(st.integers(1, 164))
@settings(deadline=None, max_examples=30)
def test_clips_are_drawn_evenly_of_the_voices(count):
    clips = [
        Clip(f"{voice}/{number}", voice, "test", 9)
        for voice, size in VOICES.items()
        for number in range(size)
    ]
    chosen = spread(clips, count)
    assert len(chosen) == count and chosen == spread(clips[::-1], 164)[:count]
    taken = {voice: sum(clip.voice == voice for clip in chosen) for voice in VOICES}
    most = max(taken.values())
    # A voice has fewer than another, by more than the last round, only where it has no more.
    assert all(each >= most - 1 or each == VOICES[voice] for voice, each in taken.items())


def test_validation_of_a_training_goes_by_names_alone():
    """The shipped networks were validated on clips that were so chosen."""
    corpus = small_corpus()
    clips = corpus.split("valid")
    _, clean = fixed_batch(
        corpus, clips, Corruption(), seed=0, seconds=1.0, max_clips=len(clips) - 1
    )
    first = sorted(clips, key=lambda clip: hashlib.sha256(clip.name.encode()).digest())
    whole = [fixed_batch(corpus, [clip], Corruption(), seed=0, seconds=1.0)[1] for clip in first]
    assert torch.equal(clean, torch.cat(whole[:-1]))


def test_each_usable_core_has_a_process_to_score_in(monkeypatch):
    asked = []
    monkeypatch.setattr(loky, "cpu_count", lambda: 3)
    monkeypatch.setattr(
        loky, "get_reusable_executor", lambda processes, **options: asked.append(processes)
    )
    evaluation._workers()
    assert asked == [3]


def test_slow_measures_are_taken_of_the_first_clips_alone(lab, monkeypatch):
    monkeypatch.setattr(evaluation, "_workers", lambda: ThreadPoolExecutor(1))
    monkeypatch.setattr(loky, "cpu_count", lambda: 2)
    lab.metrics, lab.slow_clips = ["wsdr", "stoi"], 2
    lab.score(Identity(), "both", Corruption(), splits=("test",))
    assert {row["metric"]: (row["n"], row["total"]) for row in lab.run.rows} == {
        "wsdr": (3, 3),
        "stoi": (2, 2),
    }
    first = [clip.name for clip in lab.clips("test")[:2]]
    assert [each["clip"] for each in lab.run.clips if each["metric"] == "stoi"] == first
    heard = []
    network = Identity()
    network.register_forward_hook(lambda *_: heard.append(1))
    clips = lab.clips("test")
    scores = evaluate(
        network, lab.corpus, clips, Corruption(), seed=0, metrics=("stoi",), slow_clips=1
    )
    assert len(scores) == 1 and set(scores[0]["denoised"]) == {"stoi"}


@pytest.mark.parametrize(("at_once", "longest"), [(0.1, 1), (5.0, 2), (900.0, 3)])
def test_no_more_than_some_minutes_of_clips_are_held_at_once(monkeypatch, at_once, longest):
    corpus = small_corpus()
    clips = corpus.split("test")
    how = {"seed": 0, "metrics": ("wsdr", "stoi"), "slow_clips": 2, "reference": True}
    expected = evaluation.evaluate(Identity(), corpus, clips, Corruption(), **how)
    held, process_each = [], evaluation.process_each

    def watched(model, waveforms, *args):
        held.append(len(waveforms))
        return process_each(model, waveforms, *args)

    monkeypatch.setattr(evaluation, "process_each", watched)
    monkeypatch.setattr(evaluation, "SECONDS_AT_ONCE", at_once)
    assert evaluation.evaluate(Identity(), corpus, clips, Corruption(), **how) == expected
    assert sum(held) == len(clips) == 3 and max(held) == longest
    assert [*expected[2]["noisy"]] == ["wsdr"] and [*expected[1]["noisy"]] == ["wsdr", "stoi"]


def test_clean_clips_are_scored_where_they_are_asked_for(lab):
    clips, damage = lab.clips("test"), Corruption()
    given = (Identity(), lab.corpus, clips, damage)
    without = evaluate(*given, seed=0, metrics=("wsdr", "si_sdr"))
    scored = evaluate(*given, seed=0, metrics=("wsdr", "si_sdr"), reference=True)
    assert all({*each} == {"clip", "voice", "noisy", "denoised", "reason"} for each in without)
    assert [{key: each[key] for key in without[0]} for each in scored] == without
    for each in scored:
        assert each["clean"]["wsdr"] == pytest.approx(-1, abs=1e-6)
        assert each["clean"]["si_sdr"] is None and each["clean_reason"] == {"si_sdr": PERFECT}
        assert each["reason"] == {}


def test_a_network_runs_where_it_is_told_and_hears_the_beginning(lab, monkeypatch):
    told, heard = [], []
    best = evaluation.best_device

    def device(name):
        told.append(name)
        return best(name)

    monkeypatch.setattr(evaluation, "best_device", device)
    network = Identity()
    network.register_forward_hook(lambda *call: heard.append(call[1][0].shape[-1]))
    clips = lab.clips("test")
    evaluate(
        *(network, lab.corpus, clips, Corruption()),
        seed=0,
        metrics=("wsdr",),
        device="cpu",
        max_seconds=0.5,
    )
    assert told == ["cpu"] and set(heard) == {lab.corpus.rate // 2}


def test_one_process_scores_what_others_could_not(monkeypatch, capsys):
    class Dead:
        def map(self, *args, **options):
            raise BrokenProcessPool

    noisy = 0.1 * torch.randn(16000, generator=torch.Generator().manual_seed(0))
    job = ({"denoised": 0.5 * noisy}, noisy, noisy, ("stoi",), 16000)
    monkeypatch.setattr(evaluation, "_workers", Dead)
    monkeypatch.setattr(loky, "cpu_count", lambda: 2)
    assert evaluation._score_all([job], ("stoi",)) == [evaluation._score_versions(job)]
    assert "has ended; scoring them in this one" in capsys.readouterr().err


def test_one_core_scores_without_a_second_process(monkeypatch):
    noisy = 0.1 * torch.randn(16000, generator=torch.Generator().manual_seed(0))
    job = ({"denoised": 0.5 * noisy}, noisy, noisy, ("stoi",), 16000)
    monkeypatch.setattr(evaluation, "_workers", lambda: pytest.fail("a process was started"))
    monkeypatch.setattr(loky, "cpu_count", lambda: 1)
    assert evaluation._score_all([job], ("stoi",)) == [evaluation._score_versions(job)]


def test_a_process_that_scores_ends_with_the_one_that_started_it(monkeypatch):
    parents, slept, threads = iter([7, 7, 1]), [], []

    class Thread:
        def __init__(self, target, args, daemon):
            threads.append((target, args, daemon))

        def start(self):
            threads.append("started")

    def end(status):
        raise SystemExit(status)

    for name, value in (("getppid", lambda: next(parents)), ("_exit", end)):
        monkeypatch.setattr(evaluation.os, name, value)
    monkeypatch.setattr(evaluation.time, "sleep", slept.append)
    with pytest.raises(SystemExit) as ended:
        evaluation._end_with(7)
    assert slept == [1, 1] and ended.value.code == 1

    handled = []
    monkeypatch.setattr(evaluation.signal, "signal", lambda *given: handled.append(given))
    monkeypatch.setattr(evaluation.threading, "Thread", Thread)
    monkeypatch.setattr(evaluation.torch, "set_num_threads", handled.append)
    evaluation._start_worker(7)
    assert threads == [(evaluation._end_with, (7,), True), "started"]
    assert handled == [1, (signal.SIGINT, signal.SIG_IGN)]


# No failure improves a mean --------------------------------------------------------------------


def records(values, reason="undefined: the estimate is not finite", metric="wsdr"):
    """Scores as ``evaluate`` gives them; a value of None is a failure."""
    return [
        {
            "clip": f"c{index}",
            "voice": "ab"[index % 2],
            "noisy": {metric: -0.5 - 0.01 * index},
            "denoised": {metric: value},
            "reason": {metric: reason} if value is None else {},
        }
        for index, value in enumerate(values)
    ]


@given(st.lists(st.booleans(), min_size=2, max_size=8))
@settings(deadline=None, max_examples=25)
def test_who_fails_on_a_clip_has_no_mean(tmp_path_factory, fails):
    run = Run("04", tmp_path_factory.mktemp("run"))
    values = [-0.9 + 0.02 * index for index in range(len(fails))]
    whole = run.add(records(values), condition="both", model="whole", split="test")[0]
    kept = [None if lost else value for lost, value in zip(fails, values, strict=True)]
    row = run.add(records(kept), condition="both", model="lossy", split="test")[0]
    difference = difference_row(
        run.clips, "lossy", "whole", condition="both", split="test", metric="wsdr"
    )
    if not any(fails):
        assert row["denoised"] == whole["denoised"] and difference["mean"] == 0
        return
    assert row["denoised"] is None and row["ci95"] is None and "not finite" in row["reason"]
    assert (row["n"], row["total"]) == (len(fails) - sum(fails), len(fails))
    if not all(fails):
        assert row["noisy"] == pytest.approx(whole["noisy"])
        assert f"no score of {sum(fails)} clips" in row["reason"]
    assert difference["mean"] is None and difference["ci95"] is None
    line = winners(run, ["lossy", "whole"], [("both", "test")], ["wsdr"], experiment="04")
    assert line[0][-1].startswith("whole")
    printed = _sides([each | {"clean": {"wsdr": -1.0}} for each in records(kept)], "wsdr")
    assert printed["denoised"] == [] and len(printed["noisy"]) == len(fails)


def test_a_perfect_copy_and_a_clip_without_a_noisy_score_are_no_failures(tmp_path):
    run = Run("04", tmp_path)
    copies = records([12.0, None, 14.0], PERFECT, "si_sdr")
    row = run.add(copies, condition="both", model="unet", split="test")[0]
    assert (row["n"], row["denoised"]) == (2, 13.0)
    short = records([0.9, None], "too short", "stoi")
    short[1]["noisy"]["stoi"] = None
    assert not any(failed(each, "stoi") for each in short)
    untold = {"noisy": {"stoi": 0.7}, "denoised": {}}  # no score, and no word why
    assert failed(untold, "stoi") and not failed(untold, "pesq")
    row = run.add(short, condition="both", model="unet", split="test")[0]
    assert (row["n"], row["total"], row["denoised"]) == (1, 2, 0.9)


def test_a_broken_network_does_no_less_harm(lab):
    shortest, *_ = sorted(clip.samples for clip in lab.corpus.split("test"))
    broken, whole = (
        lab.harm(Broken(longest), name, "08")
        for longest, name in ((shortest, "broken"), (10**9, "whole"))
    )
    assert broken["value"] is None and broken["ci95"] is None
    assert whole["value"] > 60 and whole["ci95"][0] <= whole["value"] <= whole["ci95"][1]
    assert (whole["n"], whole["voices"]) == (3, 2)
    assert lab.harm(Identity(), "identity", "08")["value"] == 100
    lines = measured({"broken": broken, "whole": whole}, "si_sdr")
    assert [line[0] for line in lines] == ["whole", "broken"]
    assert names.quantity(None, "dB") == "\N{EN DASH}"


def test_sentences_on_a_network_that_fails(tmp_path):
    run = Run("04", tmp_path)
    run.add(records([-0.9, None]), condition="both", model="dcunet", split="test")
    run.add(records([-0.8, -0.8]), condition="both", model="unet", split="test")
    said = describe_network(run, "both", "dcunet", "the DCUnet")
    assert "has no result: no score of 1 clips" in said
    row = run.compare("dcunet", "unet", condition="both")
    assert row["mean"] is None
    assert copy_db(None) is None


def test_a_network_that_changes_nothing_is_said_to(tmp_path):
    run = Run("04", tmp_path)
    for metric, values in (("wsdr", (-0.4, -0.2)), ("si_sdr", (0.76, 0.84))):
        scores = [
            {
                "clip": "a",
                "voice": "v",
                "noisy": {metric: values[0]},
                "denoised": {metric: values[1]},
            }
        ]
        run.add(scores, condition="street", model="dcunet", split="test")
    said = describe_network(run, "street", "dcunet", "the DCUnet")
    assert said.startswith(
        "For street noise, the DCUnet leaves the mean SI-SDR at 0.8\N{NO-BREAK SPACE}dB (wSDR from"
    )


def test_a_row_without_scores_does_not_count_in_what_means_are_over():
    row = {"metric": "si_sdr", "n": 6, "total": 6, "voices": 3}
    assert means_over([row, {**row, "n": 0, "voices": 0}]) == "6 clips of 3 voices"
    assert means_over([{**row, "n": 0, "voices": 0}]) == "6 clips of 0 voices"


def test_a_seed_that_fails_leaves_no_mean_over_seeds(tmp_path):
    run = Run("07", tmp_path)
    for seed, values in enumerate(([-0.9, -0.8], [-0.9, None])):
        for model, scores in (("a", values), ("b", [-0.7, -0.7])):
            run.add(
                records(scores),
                condition="both",
                model=model,
                split="test",
                experiment=f"07:seed {seed}",
            )
    line = compare_seeds(run, "a", "b", "both", [0, 1])
    assert line["value"] is None and line["ci95"] is None


# What tables say -------------------------------------------------------------------------------


def row(metric="wsdr", denoised=-0.9, n=6, total=6, voices=3, **more):
    return {
        "metric": metric,
        "noisy": -0.5,
        "noisy_ci95": [-0.6, -0.4],
        "denoised": denoised,
        "ci95": None if denoised is None else [denoised - 0.01, denoised + 0.01],
        "n": n,
        "total": total,
        "voices": voices,
        **more,
    }


def shown(monkeypatch, *arguments, **options):
    found = []
    monkeypatch.setattr(show, "_display", found.append)
    show.table(*arguments, **options)
    return found[0].replace("\N{MINUS SIGN}", "-").replace("\N{NO-BREAK SPACE}", " ")


def test_a_table_gives_intervals_and_what_they_are_over(monkeypatch):
    means = [Mean(row(), "noisy"), Mean(row()), Mean(row("pesq", 2.0, n=4, total=5))]
    text = shown(monkeypatch, [["unet", *means]], ["system", "noisy", "wSDR", "PESQ"], "All.")
    assert '-0.500 <span class="interval">[-0.600, -0.400]</span>' in text
    assert '<td class="number">-0.900 <span class="interval">[-0.910, -0.890]</span></td>' in text
    assert '<span class="lacking">4 of 5 clips</span>' in text and text.count("lacking") == 1
    assert (
        "<caption>All. Means with 95 % intervals: wSDR over 6 clips of 3 voices; PESQ over 5 clips "
        "of 3 voices.</caption>"
    ) in text
    assert means_over([row(), row("pesq", 2.0, total=3)]) == (
        "wSDR over 6 clips of 3 voices; PESQ over 3 clips of 3 voices"
    )
    lost = shown(monkeypatch, [[Mean(row(denoised=None, n=2))]], ["wSDR"], decimals=4)
    assert "\N{EN DASH}" in lost and "no score of 4 of 6 clips" in lost
    assert "over 6 clips of 3 voices." in footnote([Mean(row()), Mean(row())])
    assert footnote([]) == "" and "Means" not in shown(monkeypatch, [[1.5]], ["a"], "All.")


def test_lines_of_tables_hold_means(lab):
    lab.score(Identity(), "both", Corruption(), "02:x", splits=("test",))
    ((_, mean),) = by_measure(lab.run, ["identity"], "both", ["wsdr"], experiment="02:x")
    made = lab.run.value("both", "identity")
    assert mean == made["denoised"] and mean.ci95 == made["ci95"]
    scores = [each["denoised"] for each in lab.run.clips if each["metric"] == "wsdr"]
    voices = [each["voice"] for each in lab.run.clips if each["metric"] == "wsdr"]
    assert made["noisy_ci95"] == made["ci95"] == list(interval(scores, voices)[1:])
    assert point(scores, voices) == (made["denoised"], made["ci95"])
    assert point([0.5], ["a"]) == (0.5, None)


# Who chooses the best network -------------------------------------------------------------------


def headline(*rows):
    made = [
        {"experiment": "04", "condition": "both", "split": split, **row(denoised=value), **more}
        | {"model": model}
        for split, model, value, more in rows
    ]
    return {"results": made, "headline": {"04": ["fixed"]}}


def test_the_best_network_is_chosen_on_clips_that_do_not_judge_it():
    test = [("test", "dcunet", -0.95, {}), ("test", "wavenet", -0.94, {})]
    valid = [("valid", "dcunet", -0.91, {}), ("valid", "wavenet", -0.92, {})]
    (line,) = glance.lines(headline(*test, *valid))
    assert line.best[0] == "wavenet" and line.chosen_apart
    assert "chosen on validation clips (6 clips of 3 voices)" in glance.choice([line])
    (line,) = glance.lines(headline(*test, valid[0]))
    assert line.best[0] == "dcunet", "what was not validated is not chosen"
    (line,) = glance.lines(headline(*test))
    assert not line.chosen_apart and "on the test clips themselves" in glance.choice([line])
    (line,) = glance.lines(headline(test[0]))
    assert line.chosen_apart and glance.choice([line]) == ""


def test_a_network_that_fails_stays_in_the_head_table_without_a_mean():
    lost = {"denoised": None, "ci95": None, "n": 4}
    (line,) = glance.lines(headline(("test", "dcunet", -0.9, lost), ("test", "wavenet", -0.8, {})))
    assert line.best[0] == "wavenet" and list(line.rows) == ["wavenet", "dcunet"]
    assert glance.lacking(line.rows["dcunet"]) == "no score of 2 of 6 clips"
    assert glance.models([line]) == ["wavenet", "dcunet"]
    (line,) = glance.lines(headline(("test", "dcunet", -0.9, lost)))
    assert line.outcome == "incomplete" and line.noisy == -0.5
    silent = ("test", "dcunet", -0.99, {"metric": "si_sdr", **lost})
    (line,) = glance.lines(headline(("test", "dcunet", -0.99, {}), silent))
    assert line.outcome == "incomplete", "beaten, although SI-SDR has no value of some clips"


def test_networks_of_the_head_table_are_validated(lab):
    lab.max_clips = 2
    lab.validate(Identity(), "both", Corruption(), name="unet")
    (line,) = lab.run.rows
    assert (line["split"], line["metric"], line["total"]) == ("valid", "wsdr", 2)
    assert line["model"] == "unet" and lab.metrics == ["wsdr", "si_sdr"]
