"""Several notebooks at once: the order, the time left, failures, interruption, the same numbers."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_clone import READ, WRITE

from denoise_lib.errors import UserError
from denoise_lib.report import runner, together
from denoise_lib.report.progress import RunProgress
from denoise_lib.report.together import Plan, run_all, threads_each

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]


@st.composite
def graphs(draw):
    """({notebook: what it needs}, {notebook: seconds})."""
    names = [f"{index:02d}_x" for index in range(draw(st.integers(1, 7)))]
    needs = {
        name: draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else []
        for index, name in enumerate(names)
    }
    return needs, {name: draw(st.integers(0, 50)) / 2 for name in names}


@settings(deadline=None, max_examples=60)
@given(graphs(), st.integers(1, 3))
def test_each_runs_once_after_what_it_needs_and_no_more_than_jobs_at_once(graph, jobs):
    needs, seconds = graph
    lock, begun, ended, at_once = threading.Lock(), [], [], []

    def run(name):
        with lock:
            assert set(needs[name]) <= set(ended)
            begun.append(name)
            at_once.append(len(begun) - len(ended))
        with lock:
            ended.append(name)

    run_all(Plan(needs, seconds, jobs), run, pytest.fail)
    assert sorted(begun) == sorted(needs) and max(at_once) <= jobs
    if jobs == 1:
        assert begun == list(needs), "one at a time, they keep their order"


@settings(deadline=None, max_examples=60)
@given(graphs(), st.integers(1, 3))
def test_time_left_lies_between_what_no_schedule_beats_and_one_after_the_other(graph, jobs):
    needs, seconds = graph
    chain = {}
    for name in needs:
        chain[name] = seconds[name] + max((chain[each] for each in needs[name]), default=0)
    total = sum(seconds.values())
    left = Plan(needs, seconds, jobs).left()
    assert max(max(chain.values()), total / jobs) - 1e-9 <= left <= total + 1e-9
    assert jobs > 1 or left == pytest.approx(total)


def test_what_most_waits_for_begins_first_and_the_time_left_goes_down():
    now = [0.0]
    needs = {"01": [], "02": [], "03": [], "04": ["03"]}
    plan = Plan(needs, {"01": 60, "02": 100, "03": 90, "04": 200}, 2, clock=lambda: now[0])
    assert plan.ready() == ["03", "02", "01"]
    assert plan.left() == 290, "03 and 04, with 02 and 01 beside them"
    plan.began |= {"03": 0.0, "02": 0.0}
    now[0] = 30.0
    assert plan.left() == 260
    now[0] = 500.0
    assert plan.left() == 200, "what takes longer than last time is about to end"
    plan.seconds["04"] = None
    assert plan.left() is None


def test_cores_are_divided_unless_the_threads_are_given(monkeypatch):
    monkeypatch.setattr(together.loky, "cpu_count", lambda only_physical_cores: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [threads_each(jobs) for jobs in (1, 2, 3, 16)] == [None, 4, 2, 1]
    assert together.shared_cores(1) == {}
    assert together.shared_cores(2) == {"OMP_NUM_THREADS": "4", "LOKY_MAX_CPU_COUNT": "8"}
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [threads_each(jobs) for jobs in (1, 2)] == [3, 3]
    assert together.shared_cores(2) == {"OMP_NUM_THREADS": "3", "LOKY_MAX_CPU_COUNT": "8"}


def test_a_failure_lets_the_others_end_and_none_begin(monkeypatch):
    told, said, begun, ended = threading.Event(), [], [], []

    def say(line):
        said.append(line)
        told.set()

    monkeypatch.setattr(together, "say", say)

    def run(name):
        begun.append(name)
        if name == "01":
            raise UserError("01 failed: broken")
        assert told.wait(60)
        if name == "02":
            raise UserError("02 failed: too")
        ended.append(name)

    plan = Plan({"01": [], "02": [], "03": [], "04": [], "05": ["01"]}, dict.fromkeys("1"), 3)
    plan.seconds = dict.fromkeys(plan.needs)
    with pytest.raises(UserError, match="^01 failed: broken; 02 failed: too$"):
        run_all(plan, run, pytest.fail)
    assert sorted(begun) == ["01", "02", "03"] and ended == ["03"]
    assert said[0].startswith("01 failed: broken; still running: 0")


# Two notebooks that both wait until the other has begun: one after the other they would never end.
MEET = """import time
from pathlib import Path
Path(out, "began").touch()
other = Path(out).parent / "{}.partial" / "began"
for _ in range(1200):
    if other.exists() or other.parent.with_suffix("").exists():
        break
    time.sleep(0.1)
else:
    raise TimeoutError("the other has not begun")
"""


def test_notebooks_run_at_once_in_their_own_folders(clone, capsys, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(together.loky, "cpu_count", lambda only_physical_cores: 6)
    clone.notebook("01_a", MEET.format("02_b") + WRITE)
    clone.notebook("02_b", MEET.format("01_a") + WRITE + "\nimport os; print(os.getcwd())")
    clone.notebook("03_c", READ, needs=["01_a"])
    before = Path.cwd()
    runner.report(root=clone.root, jobs=2)
    assert clone.seen("03_c") == clone.seen("01_a") == clone.seen("02_b")
    assert [clone.record(name)["threads"] for name in ("01_a", "02_b", "03_c")] == [3, 3, 3]
    assert clone.record("03_c")["needs"] == {"01_a": clone.record("01_a")["fingerprint"]}
    assert Path.cwd() == before and clone.stale() == []
    assert str(clone.root / "notebooks") in (clone.build / "02_b" / "executed.ipynb").read_text()
    lines = capsys.readouterr().out.splitlines()
    assert {line[:10] for line in lines[:-1]} == {"[1/3] 01_a", "[2/3] 02_b", "[3/3] 03_c"}
    assert "0 of 3 notebooks were up to date" in lines[-1]


def test_a_run_of_another_number_of_threads_is_not_taken_up(clone, monkeypatch):
    """A training that goes on with other threads would not give what it gives in one go."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    half = "from pathlib import Path\nhalf = Path(out, 'half')\nfirst = not half.exists()\n"
    half += "half.touch()\nif first:\n    raise ValueError('interrupted')"
    clone.notebook("01_a", half)
    for jobs in (1, 2):
        with pytest.raises(UserError, match="interrupted"):
            runner.report(root=clone.root, jobs=jobs)
    runner.report(root=clone.root, jobs=2)


REPORTING = """import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
from pathlib import Path
sys.path.insert(0, {tests!r})
import types
import denoise_lib.report
page = types.ModuleType("denoise_lib.report.page")
page.build = lambda profile, root: root
sys.modules["denoise_lib.report.page"] = denoise_lib.report.page = page
from denoise_lib import cli
from denoise_lib.report import runner
made = runner.report
runner.report = lambda profile, jobs: made(profile, Path({root!r}), jobs)
cli.main(["report", "--jobs", "2"])
"""


@pytest.mark.parametrize(
    ("number", "status", "line"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "ended by SIGTERM")],
)
def test_one_interruption_ends_all_in_one_line_and_they_go_on_later(clone, number, status, line):
    wait = (
        "\nfrom pathlib import Path\nimport os, time\nPath(out, 'pid').write_text(str(os.getpid()))"
    )
    wait += "\nPath(out, 'went_on').write_text(str(Path(out, 'half').exists()))"
    wait += (
        "\nif not Path(out, 'half').exists():\n    Path(out, 'half').touch()\n    time.sleep(600)"
    )
    clone.notebook("01_a", WRITE + wait)
    clone.notebook("02_b", WRITE + wait)
    code = REPORTING.format(root=str(clone.root), tests=str(ROOT / "tests"))
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    halves = [clone.build / f"{name}.partial" / "half" for name in ("01_a", "02_b")]
    while not all(each.exists() for each in halves):
        assert process.poll() is None, process.stderr.read()
        threading.Event().wait(0.1)
    pids = [int(each.with_name("pid").read_text()) for each in halves]
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == status and err == f"denoise: {line}\n"
    assert "[1/2] 01_a  stopped after" in out and "[2/2] 02_b  stopped after" in out
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not list(clone.build.rglob("*.failed.ipynb"))
    runner.report(root=clone.root, jobs=2)
    assert [(clone.build / name / "went_on").read_text() for name in ("01_a", "02_b")] == 2 * [
        "True"
    ]


def test_of_two_processes_the_second_waits_and_finds_all_up_to_date(clone):
    clone.notebook(
        "01_a",
        WRITE + "\nimport time\nwith open(Path(out).parents[3] / 'runs', 'a') as file:\n"
        "    file.write('run\\n')\n"
        "while not (Path(out).parents[3] / 'go').exists():\n    time.sleep(0.05)",
    )
    code = REPORTING.format(root=str(clone.root), tests=str(ROOT / "tests"))
    both = []
    for _ in range(2):
        both.append(
            subprocess.Popen(
                [sys.executable, "-u", "-c", code],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
            )
        )
        while not (clone.root / "runs").exists():
            assert both[0].poll() is None, both[0].stderr.read()
            threading.Event().wait(0.05)
    assert "which is making a report in this clone" in both[1].stderr.readline()
    (clone.root / "go").touch()
    told = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert (clone.root / "runs").read_text() == "run\n"
    assert "1 of 1 notebooks were up to date" in told[1]
    assert clone.record()["notebook"] == "01_a"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def screen(text):
    """What a terminal shows of a text: lines, with carriage returns and cursor-up obeyed."""
    lines, row, column, index = [""], 0, 0, 0
    while index < len(text):
        character = text[index]
        index += 1
        if character == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif character == "\r":
            column = 0
        elif character == "\x1b":
            assert text[index : index + 2] == "[A"
            row, index = row - 1, index + 2
        else:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + character + line[column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


def test_on_a_terminal_each_run_has_a_line_of_its_own(tmp_path):
    names, terminal = ["01_a", "02_b"], Terminal()
    first, second = (
        RunProgress(name, names, tmp_path / name, stream=terminal, clock=lambda: 0.0)
        for name in names
    )
    for run in (first, second):
        run.watcher = threading.Thread(target=lambda: None)  # looks are taken here, one by one
    with first:
        with second:
            for name, step in (("01_a", 1), ("02_b", 2), ("01_a", 3)):
                entry = {"training": "both", "step": step, "steps": 9, "valid": -0.5}
                with open(tmp_path / name, "a") as file:
                    file.write(json.dumps(entry) + "\n")
                first.look()
                second.look()
            assert [line for line in screen(terminal.getvalue()) if line] == [
                "[1/2] 01_a  both: step 3/9  valid -0.5000, under 1 min left of this training",
                "[2/2] 02_b  both: step 2/9  valid -0.5000",
            ]
        assert [line for line in screen(terminal.getvalue()) if line] == [
            "[2/2] 02_b  done after 0:00",
            "[1/2] 01_a  both: step 3/9  valid -0.5000, under 1 min left of this training",
        ]
    assert [line for line in screen(terminal.getvalue()) if line] == [
        "[2/2] 02_b  done after 0:00",
        "[1/2] 01_a  done after 0:00",
    ]
