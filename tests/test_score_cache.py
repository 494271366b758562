"""Scores kept on disk: taken once for the same samples, and only for those."""

import pytest
import torch
from joblib.externals import loky
from small_corpus import small_corpus

from denoise_lib import Corruption
from denoise_lib.metrics import evaluate, score_cache
from denoise_lib.metrics.score_cache import known
from denoise_lib.models.baselines import Identity


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DENOISE_DATA", str(tmp_path))
    return tmp_path / "scores"


def counted():
    """A score and the list of its calls."""
    calls = []

    def score(waveform, metrics):
        calls.append(metrics)
        return {name: float(waveform.sum()) for name in metrics}, {}

    return score, calls


def test_it_is_taken_once_for_the_same_samples(folder):
    score, calls = counted()
    clip = torch.randn(100)
    first = known(score, (clip,), ("sum",))
    assert first == ({"sum": float(clip.sum())}, {})
    assert known(score, (clip.clone(),), ("sum",)) == first
    assert len(calls) == 1 and [each.suffix for each in folder.iterdir()] == [".json"]


def test_a_score_comes_back_to_the_last_bit_and_a_missing_one_with_its_reason():
    def score(waveform, metrics):
        return {"a": 0.1 + 0.2, "b": None, "c": 5e-324}, {"b": "too short"}

    clip = torch.randn(10)
    first = known(score, (clip,), ("a", "b", "c"))
    assert known(None, (clip,), ("a", "b", "c")) == first == score(clip, ())


@pytest.mark.parametrize("content", ["", "[1", "null", '[{"other": 1}, {}]', '[{"sum": "x"}, {}]'])
def test_a_damaged_score_is_taken_anew(folder, content):
    score, calls = counted()
    clip = torch.randn(100)
    first = known(score, (clip,), ("sum",))
    (file,) = folder.iterdir()
    file.write_text(content)
    assert known(score, (clip,), ("sum",)) == first and len(calls) == 2
    assert known(score, (clip,), ("sum",)) == first and len(calls) == 2


def test_nothing_kept_is_unpickled(folder, monkeypatch):
    """Files of someone else in a shared cache: none of them is run."""
    import pickle

    def refused(*args, **kwargs):
        raise AssertionError("a pickle is read")

    score, _ = counted()
    clip = torch.randn(100)
    known(score, (clip,), ("sum",))
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refused)
    for file in list(folder.iterdir()):
        file.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    assert known(score, (clip,), ("sum",))[0] == {"sum": float(clip.sum())}


@pytest.mark.parametrize("which", ["file", "folder", "cache"])
def test_what_everybody_may_write_is_not_believed(folder, which):
    score, calls = counted()
    clip = torch.randn(100)
    first = known(score, (clip,), ("sum",))
    (file,) = folder.iterdir()
    file.write_text('[{"sum": 1e9}, {}]')
    path = {"file": file, "folder": folder, "cache": folder.parent}[which]
    path.chmod(path.stat().st_mode | 0o002)
    assert known(score, (clip,), ("sum",)) == first and len(calls) == 2
    if which != "file":
        path.chmod(path.stat().st_mode & ~0o002)
    assert known(score, (clip,), ("sum",)) == first and len(calls) == 2, "written anew"


@pytest.mark.parametrize("change", ["a sample", "the measures", "the code", "a package"])
def test_it_is_taken_anew_when_something_changes(monkeypatch, change):
    score, calls = counted()
    clip = torch.randn(100)
    known(score, (clip,), ("sum",))
    measures = ("sum",)
    if change == "a sample":
        clip = clip.clone()
        clip[50] = torch.nextafter(clip[50], torch.tensor(9.0))
    elif change == "the measures":
        measures = ("sum", "mean")
    elif change == "the code":
        monkeypatch.setattr(score_cache, "SOURCES", ("measures.py",))
    else:
        monkeypatch.setattr(score_cache, "version", lambda name: "0")
    score_cache._made_with.cache_clear()
    known(score, (clip,), measures)
    score_cache._made_with.cache_clear()
    assert len(calls) == 2


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DENOISE_DATA", str(tmp_path / "file"))
    score, calls = counted()
    for _ in range(2):
        assert known(score, (torch.ones(3),), ("sum",)) == ({"sum": 3.0}, {})
    assert len(calls) == 2


def test_a_network_s_output_is_always_scored(monkeypatch):
    corpus = small_corpus()
    clips = corpus.split("test")[:2]
    taken = []

    def score(estimate, clean, noisy, metrics, rate):
        taken.append("noisy" if torch.equal(estimate, noisy) else "denoised")
        return {metric: float(estimate.sum()) for metric in metrics}, {}

    class Louder(Identity):
        def forward(self, noisy):
            return 1.1 * noisy

    class Here:  # in this process, where calls can be counted
        map = staticmethod(lambda function, jobs, chunksize=1: map(function, jobs))

    monkeypatch.setattr(evaluate, "score", score)
    monkeypatch.setattr(evaluate, "_workers", Here)
    monkeypatch.setattr(loky, "cpu_count", lambda: 2)
    rows = [
        evaluate.evaluate(Louder(), corpus, clips, Corruption(), seed=0, metrics=("stoi",))
        for _ in range(2)
    ]
    assert rows[0] == rows[1]
    assert sorted(taken) == 4 * ["denoised"] + 2 * ["noisy"]
