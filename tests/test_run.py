"""Summary rows, intervals, per-clip scores and examples of a run."""

import csv
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
import soundfile
import torch
from IPython.core.interactiveshell import InteractiveShell
from nbformat.v4 import new_notebook
from small_corpus import small_corpus

from denoise_lib.data import corpora
from denoise_lib.display.player import compare
from denoise_lib.errors import UserError
from denoise_lib.metrics.intervals import interval, paired_difference
from denoise_lib.metrics.measures import PERFECT
from denoise_lib.models import ConvAutoencoder
from denoise_lib.models.baselines import Identity
from denoise_lib.models.checkpoints import save_model
from denoise_lib.report.provenance import collect, corpora_read
from denoise_lib.study.experiment import Experiment
from denoise_lib.study.run import Run, peak_memory


def clip(name, noisy, denoised, reason=None, metric="wsdr", voice="en"):
    return {
        "clip": name,
        "voice": voice,
        "noisy": {metric: noisy},
        "denoised": {metric: denoised},
        "reason": {metric: reason} if reason else {},
    }


def add(run, scores, **kwargs):
    return run.add(scores, **{"condition": "both", "model": "dcunet", "split": "test", **kwargs})


def test_interval_agrees_with_the_normal_interval():
    values = np.random.default_rng(3).normal(-0.9, 0.05, size=400)
    mean, low, high = interval(values)
    half = 1.96 * values.std() / math.sqrt(values.size)
    assert mean == pytest.approx(values.mean())
    # The ends of 10,000 resamples wander by about a hundredth of the interval's width.
    assert low == pytest.approx(mean - half, abs=0.05 * half)
    assert high == pytest.approx(mean + half, abs=0.05 * half)


def test_interval_is_the_same_for_the_same_scores_and_leaves_the_global_generator_alone():
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    assert interval([0.1, 0.5, 0.2]) == interval([0.1, 0.5, 0.2])
    assert (np.random.get_state()[1] == state).all()


def test_interval_in_blocks_covers_every_resample():
    values = np.random.default_rng(0).normal(size=3000)  # 333 resamples fit in one block
    mean, low, high = interval(values, resamples=1000)
    assert low < mean < high


def test_interval_of_one_value_tells_no_spread():
    mean, low, high = interval([0.25])
    assert mean == 0.25 and math.isnan(low) and math.isnan(high)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [[1.0], [2.0]]])
def test_interval_refuses_what_has_no_mean(values):
    with pytest.raises(ValueError, match="finite scores"):
        interval(values)


def test_summary_is_the_mean_over_clips_with_an_interval(tmp_path):
    run = Run("04_dcunet", tmp_path)
    (row,) = add(run, [clip("a", -0.8, -0.9), clip("b", -0.6, -0.7)])
    assert (row["noisy"], row["denoised"]) == (pytest.approx(-0.7), pytest.approx(-0.8))
    assert row["ci95"][0] <= row["denoised"] <= row["ci95"][1]
    assert (row["experiment"], row["n"], row["total"]) == ("04_dcunet", 2, 2)
    assert run.value("both", "dcunet") == row


def test_the_interval_of_a_mean_respects_the_voices(tmp_path):
    """Three voices, each alike in itself: 30 clips are not 30 witnesses."""
    generator = np.random.default_rng(2)
    of_voice = {"allison": -0.995, "carlo": -0.989, "june": -0.9955}
    clips = [
        clip(f"{voice}/{number}", -0.9, mean + 1e-4 * generator.standard_normal(), voice=voice)
        for voice, mean in of_voice.items()
        for number in range(10)
    ]
    (row,) = add(Run("04_dcunet", tmp_path), clips)
    values = [each["denoised"]["wsdr"] for each in clips]
    voices = [each["voice"] for each in clips]
    expected = paired_difference(values, [0.0] * 30, voices)
    assert [row["denoised"], *row["ci95"]] == list(expected)
    _, low, high = interval(values)
    assert row["ci95"][1] - row["ci95"][0] > 1.5 * (high - low)
    assert row["voices"] == 3


def test_missing_score_is_left_out_on_both_sides_and_counted(tmp_path):
    run = Run("04_dcunet", tmp_path)
    (row,) = add(
        run,
        [
            clip("a", 2.0, 3.0),
            clip("b", 4.0, None, PERFECT),
            clip("c", None, 5.0, "NoUtterancesError"),
        ],
    )
    assert (row["n"], row["total"]) == (1, 3)
    assert (row["noisy"], row["denoised"], row["ci95"]) == (2.0, 3.0, None)


def test_metric_that_no_clip_has_gives_an_empty_row(tmp_path):
    (row,) = add(Run("04_dcunet", tmp_path), [clip("a", None, None, "too short")])
    assert (row["n"], row["total"], row["denoised"]) == (0, 1, None)


def test_why_no_clip_has_a_score_is_in_the_row(tmp_path):
    run = Run("04_dcunet", tmp_path)
    perfect = [clip(name, 8.0, None, PERFECT, "snr") for name in "ab"]
    assert add(run, perfect)[0]["reason"] == PERFECT
    for others in ([clip("c", None, None, "too short", "snr")], [clip("c", 9, 12, None, "snr")]):
        assert "reason" not in add(run, perfect + others)[0]  # not the same for all; not missing


def test_score_that_is_not_finite_is_refused(tmp_path):
    with pytest.raises(ValueError, match="wsdr of a is nan"):
        add(Run("04_dcunet", tmp_path), [clip("a", -0.8, math.nan)])


def test_no_scores_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no scores for dcunet, both, test"):
        add(Run("04_dcunet", tmp_path), [])


def test_value_wants_exactly_one_row(tmp_path):
    run = Run("05_street_noise", tmp_path)
    for experiment in ("05_street_noise:before", "05_street_noise:retrained"):
        add(run, [clip("a", -0.4, -0.5)], condition="street", experiment=experiment)
    with pytest.raises(KeyError, match="2 rows"):
        run.value("street", "dcunet")
    with pytest.raises(KeyError, match="0 rows"):
        run.value("both", "dcunet")
    assert run.value("street", "dcunet", experiment="05_street_noise:before")["denoised"] == -0.5


def test_finish_writes_rows_and_every_clip(tmp_path, capsys):
    run = Run("04_dcunet", tmp_path, profile="smoke")
    add(run, [clip("a", -0.8, -0.9), clip("b", None, -0.6, "silence")])
    seconds = run.measure("training time", "dcunet", 3.5, unit="s", ci95=[3.0, 4.0], n=2)
    run.compare("dcunet", "noisy", condition="both")
    assert not list(tmp_path.iterdir())
    run.finish()
    assert capsys.readouterr() == ("", ""), "nothing is printed in order to be parsed"
    written = json.loads((tmp_path / "results.json").read_text())
    assert (
        written["measurements"]
        == [seconds]
        == [
            {
                "experiment": "04_dcunet",
                "name": "training time",
                "of": "dcunet",
                "value": 3.5,
                "unit": "s",
                "ci95": [3.0, 4.0],
                "n": 2,
                "cell": None,
            }
        ]
    )
    assert written["peak_memory_mib"] > 50 and "denoise_lib.study.run" in written["modules"]
    assert written["rows"] == run.rows and written["differences"] == run.differences
    assert run.differences[0]["mean"] == pytest.approx(-0.1)
    rows = list(csv.DictReader((tmp_path / "clips.csv").open(newline="")))
    assert [(row["clip"], row["noisy"], row["denoised"], row["reason"]) for row in rows] == [
        ("a", "-0.8", "-0.9", ""),
        ("b", "", "-0.6", "silence"),
    ]


def test_finish_tells_the_corpora_and_the_precision_of_the_networks(tmp_path, monkeypatch):
    """Also a corpus that no parameter names, such as the read speech of notebook 08."""
    monkeypatch.setattr(corpora, "fetch_corpus", lambda name: write_index(tmp_path, name))
    monkeypatch.setattr(corpora, "_opened", {})
    corpora.open_read_speech()
    run = Run("08_outside", tmp_path / "run")
    for name, plan in (("a", {"precision": "bf16-mixed"}), ("b", None)):
        save_model(run.out / f"{name}.safetensors", ConvAutoencoder(), plan=plan)
    (run.out / "a.state.safetensors").write_text("no checkpoint")
    lab = Experiment(run, small_corpus())
    lab.denoised(Identity(), torch.zeros(800))
    assert not run.precisions, "it has no weights that it could run in"
    with pytest.raises(UserError, match="precision 'bf16' cannot be used"):
        replace(lab, precision="bf16").denoised(Identity(), torch.zeros(800))
    lab.denoised(ConvAutoencoder(), torch.zeros(800))
    run.finish()
    written = json.loads((run.out / "results.json").read_text())
    assert written["corpora"] == {"read": "d" * 64}
    assert written["precisions"] == ["32-true", "bf16-mixed"]
    told = {"speech": "a" * 64, "noise": "d" * 64}
    assert corpora_read(told, written) == told  # it has a name already
    assert corpora_read({"speech": "a" * 64}, written) == {"speech": "a" * 64, "read": "d" * 64}


def write_index(folder, name):
    """A fetched corpus of one clip."""
    index = folder / f"{name}.json"
    clips = [{"name": "one", "start": 0, "length": 32000}]
    index.write_text(json.dumps({"samples": "x.npy", "digest": "d" * 64, "clips": clips}))
    return index


def kept(run, key="both-test-1", **options):
    versions = options.pop("versions")
    player = compare(versions, title="t", seconds=0.5, **options.pop("how", {}))
    about = {"clip": "en/a", "condition": "both", "split": "test", "voice": "en"}
    run.example(key, player, **about, **options)
    (path,) = (run.out / "examples").glob("*.json")
    return player, json.loads(path.read_text()), path.parent


def test_example_keeps_the_sounds_as_they_are_played(tmp_path):
    time = torch.arange(16000) / 16000
    clean = 0.1 * torch.sin(2 * torch.pi * 440 * time)
    versions = {"clean": clean, "DCUnet, retrained": clean / 2}
    how = {"gain_db": 6.0, "scores": {"DCUnet, retrained": {"wsdr": -0.9}}}
    player, entry, folder = kept(Run("04_dcunet", tmp_path), versions=versions, how=how)
    assert [version["name"] for version in entry["versions"]] == ["clean", "DCUnet, retrained"]
    assert [version["scores"] for version in entry["versions"]] == [{}, {"wsdr": -0.9}]
    peaks = []
    for version, sound in zip(entry["versions"], player.versions.values(), strict=True):
        assert version["key"] == sound.key
        assert (folder / version["sound"]).read_bytes() == sound.flac
        assert (folder / version["picture"]).read_bytes() == sound.picture
        samples, rate = soundfile.read(folder / version["sound"])
        assert (len(samples), rate) == (8000, entry["rate"])
        peaks.append(abs(samples).max())
    assert (entry["gain_db"], entry["seconds"], entry["cut"]) == (6.0, 0.5, True)
    assert peaks[0] == pytest.approx(0.1 * 10 ** (6 / 20), abs=1e-3)
    assert peaks[1] == pytest.approx(peaks[0] / 2, abs=1e-3)


def test_a_clip_to_publish_is_kept_whole_with_the_same_gain(tmp_path):
    clean = torch.full((16000,), 0.5)
    versions = {"clean": clean, "noisy": 4 * clean}
    _, entry, folder = kept(
        Run("04_dcunet", tmp_path),
        versions=versions,
        whole=versions,
        publish_as={"noisy": ("ex_1", "a noise")},
    )
    clean, noisy = entry["versions"]
    assert "publish_as" not in clean and (noisy["publish_as"], noisy["what"]) == ("ex_1", "a noise")
    whole, _ = soundfile.read(folder / noisy["whole"])
    played, _ = soundfile.read(folder / clean["sound"])
    assert len(whole) == 16000 and whole.max() < 1
    assert whole.max() == pytest.approx(4 * played.max(), rel=1e-3)
    assert played.max() == pytest.approx(0.5 * 10 ** (entry["gain_db"] / 20), rel=1e-3)


def test_a_version_to_publish_has_to_be_played(tmp_path):
    clean = {"clean": torch.zeros(160)}
    with pytest.raises(ValueError, match="not played: noisy"):
        kept(Run("04_dcunet", tmp_path), versions=clean, publish_as={"noisy": ("ex_1", "a noise")})


def test_example_key_stays_in_the_folder(tmp_path):
    run = Run("04_dcunet", tmp_path / "out")
    kept(run, "../a clip", versions={"clean": torch.zeros(160)})
    assert [path.name for path in tmp_path.rglob("*.json")] == ["-a-clip.json"]
    assert (tmp_path / "out" / "examples" / "-a-clip.json").exists()


def test_lines_know_the_cell_that_made_them(tmp_path):
    code = (
        "from denoise_lib.study.run import Run\n"
        f"run = Run('04_x', {str(tmp_path)!r})\n"
        "sides = {'noisy': {'wsdr': -1.0}, 'denoised': {'wsdr': -1.0}}\n"
        "run.add([{'clip': 'a', 'voice': 'v'} | sides], condition='both', model='m', split='test')"
    )
    shell = InteractiveShell.instance()
    first = shell.execution_count
    for cell in ("1 + 1", code, "run.measure('seconds', 'm', 1.0); run.finish()"):
        shell.run_cell(cell, store_history=True)
    InteractiveShell.clear_instance()
    written = json.loads((tmp_path / "results.json").read_text())
    assert [line["cell"] for line in written["rows"] + written["measurements"]] == [
        first + 1,
        first + 2,
    ]


def record(name, commit="a" * 40, dirty=False, seed=0):
    return {
        "notebook": name,
        "profile": "quick",
        "parameters": {"seed": seed, "steps": 3},
        "fingerprint": "f",
        "reached": [],
        "commit": commit,
        "dirty": dirty,
        "seconds": 10.0,
        "peak_memory_mib": 500,
        "finished": f"2024-01-0{name[1]}T00:00:00+00:00",
        "machine": {"cores": 2},
        "versions": {"torch": "2"},
        "corpora": {"speech": "d"},
    }


def write(build, name, rows=(), differences=None, **kwargs):
    folder = build / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(record(name, **kwargs)))
    lines = {"measurements": [{"name": name}], "differences": differences or []}
    results = {"experiment": name, "rows": list(rows)} | lines
    notebook = new_notebook(metadata={"denoise": {"headline": {name: ["fixed"]}}})
    nbformat.write(notebook, build / f"{name}.ipynb")
    (folder / "results.json").write_text(json.dumps(results))


def test_collect_merges_the_finished_runs_in_order(tmp_path):
    build = tmp_path / "quick"
    write(build, "02_b", [{"model": "b"}], [{"a": "b", "b": "a"}])
    write(build, "01_a", [{"model": "a"}])
    (build / "03_c").mkdir()  # failed: no run.json
    merged = collect(build, build, ["01_a", "02_b", "03_c"])
    assert merged["profile"] == "quick"
    assert [row["model"] for row in merged["results"]] == ["a", "b"]
    assert merged["differences"] == [{"a": "b", "b": "a"}]
    assert merged["measurements"] == [{"name": "01_a"}, {"name": "02_b"}]
    assert merged["headline"] == {"01_a": ["fixed"], "02_b": ["fixed"]}
    past = merged["provenance"]
    assert (past["commit"], past["dirty"], past["seed"]) == ("a" * 40, False, 0)
    assert past["seconds"] == {"01_a": 10.0, "02_b": 10.0}
    assert past["finished"].startswith("2024-01-02")


def test_collect_tells_runs_of_different_commits_apart(tmp_path):
    write(tmp_path / "quick", "01_a")
    write(tmp_path / "quick", "02_b", commit="b" * 40, dirty=True)
    past = collect(tmp_path / "quick", tmp_path / "quick", ["01_a", "02_b"])["provenance"]
    assert past["commit"] is None and past["dirty"]
    assert past["commits"] == {"01_a": "a" * 40, "02_b": "b" * 40}


def test_collect_refuses_runs_of_an_earlier_version(tmp_path):
    write(tmp_path / "quick", "01_a")
    path = tmp_path / "quick" / "01_a" / "run.json"
    old = json.loads(path.read_text())
    del old["reached"]
    path.write_text(json.dumps(old))
    with pytest.raises(UserError, match="01_a was run by an earlier version: `make report`"):
        collect(tmp_path / "quick", tmp_path / "quick", ["01_a"])


@pytest.mark.slow
def test_peak_memory_is_that_of_the_process_alone():
    """A process begins with the peak of the one that started it in what getrusage says."""
    large = np.ones(2**26)  # 512 MiB
    told = "from denoise_lib.study.run import peak_memory; print(peak_memory())"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert 50 < int(done.stdout) < large.nbytes / 2**20


@pytest.mark.parametrize("why", [FileNotFoundError, IndexError])
def test_peak_memory_is_told_without_proc_too(monkeypatch, why):
    def absent(pid):
        raise why

    monkeypatch.setattr("denoise_lib.study.run._peak_kib", absent)
    assert peak_memory() > 50


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="Linux tells it")
def test_peak_memory_counts_the_processes_that_were_started():
    before = peak_memory()
    code = "held = b'x' * 2**28; print('held', flush=True); input()"  # 256 MiB
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as child:
        child.stdout.readline()
        assert 256 <= peak_memory() - before < 400
        child.communicate(b"\n")
    assert peak_memory() - before < 50
