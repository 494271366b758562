"""The processes that score clips: they end with their parent, and one that dies loses nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
# Without `if __name__ == "__main__"`, as scripts are: each process would run it again.
SCRIPT = """
import os, signal, sys, time
print("begins", flush=True)
sys.path.insert(0, {tests!r})
from small_corpus import small_corpus
from denoise_lib import Corruption
from denoise_lib.metrics import evaluate
from denoise_lib.models.baselines import Identity
corpus = small_corpus()
def score():
    clips = corpus.split("test")
    return evaluate.evaluate(
        Identity(), corpus, clips, Corruption(), seed=0, metrics=("stoi",), reference=True
    )
first = score()
evaluate.known = lambda score, waveforms, metrics, rate: score(*waveforms, metrics)
{then}
"""
DIES = """
for pid in list(evaluate._workers()._processes):
    os.kill(pid, signal.SIGKILL)
print(score() == first, score() == first, flush=True)
"""
WAITS = """
print(*evaluate._workers()._processes, flush=True)
time.sleep(600)
"""


def started(tmp_path, then):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(ROOT / "tests"), then=then), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, script],
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "DENOISE_DATA": str(tmp_path / "cache")}
        | {"LOKY_MAX_CPU_COUNT": "2"},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_that_die_are_replaced(tmp_path):
    out, _ = started(tmp_path, DIES).communicate(timeout=600)
    assert out.splitlines() == ["begins", "True True"]


def test_they_end_with_a_parent_that_is_killed(tmp_path):
    parent = started(tmp_path, WAITS)
    assert parent.stdout.readline() == "begins\n"
    workers = [int(each) for each in parent.stdout.readline().split()]
    assert workers
    os.kill(parent.pid, signal.SIGKILL)
    # They hold its standard output: it ends when the last of them has ended.
    assert parent.communicate(timeout=600)[0] == ""
