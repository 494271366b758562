"""Sweeps: the grid, its runs on a cluster whose processes may die, and the comparison."""

import json
import math
import os
import re
import subprocess
import sys
import threading
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path

import psutil
import pytest
from scipy.stats import ttest_1samp

from denoise_lib import cli
from denoise_lib.errors import UserError
from denoise_lib.report.runner import Study
from denoise_lib.sweep import cluster, page
from denoise_lib.sweep.compare import comparison
from denoise_lib.sweep.grid import Cell, grid
from denoise_lib.sweep.sweep import sweep

pytestmark = pytest.mark.slow

PARAMETERS = """profile = "quick"  # profile
out = ""  # folder of the run
seed = 5  # seed
steps = 3  # steps
rate = 0.5  # learning rate
preset = "small"  # size"""
# A score that is known: -0.5, less by a hundredth for each step, and a little for the seed.
TRAIN = """import json, os, signal, time
from pathlib import Path
Path(out, "began.txt").open("a").write("x")
{extra}
row = dict(experiment="01_a", condition="both", model="dcunet", split="test", n=1)
row |= dict(total=1, voices=1, metric="wsdr", noisy=-0.4, ci95=None, cell=1)
row |= dict(denoised=-0.5 - steps / 100 - seed / 1000)
done = dict(rows=[row], measurements=[], differences=[], peak_memory_mib=9, shipped=[], modules=[])
Path(out, "results.json").write_text(json.dumps(done | dict(threads=1)))"""
# The kernel's parent is the process of the cluster that runs the cell.
KILL = """if steps == 2 and not Path(out, "half").exists():
    Path(out, "half").touch()
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)"""


def notebook(clone, extra="", **options):
    clone.notebook(
        "01_a", TRAIN.format(extra=extra), parameters=[PARAMETERS], mark=False, **options
    )


def read(path):
    return json.loads(Path(path).with_name("results.json").read_text())


def cells(clone, given, seeds=1):
    return grid(Study("quick", clone.root), "01_a", given, seeds)


def test_the_grid_is_every_point_from_every_seed(clone):
    notebook(clone)
    found = cells(clone, {"rate": ["1e-3", "2e-3"], "preset": ["small", "10"]}, 2)
    assert [(each.point, each.seed) for each in found] == [
        ({"rate": rate, "preset": preset}, seed)
        for rate in (0.001, 0.002)
        for preset in ("small", "10")
        for seed in (5, 6)
    ]
    assert found[0].name == "rate 0.001, preset small, seed 5"
    assert len({each.folder for each in found}) == 8
    assert [each.seed for each in cells(clone, {"seed": ["1", "7"]})] == [1, 7]


def test_folders_differ_where_values_do_and_are_names_of_files():
    odd = [
        Cell({"a": value}, 0) for value in ("x/y", "x y", ["x", "y"], "x" * 300, "x" * 301, "..")
    ]
    folders = [each.folder for each in odd]
    assert len(set(folders)) == len(odd)
    assert all(re.fullmatch(r"[\w.-]{1,80}", each) and not each.startswith(".") for each in folders)


@pytest.mark.parametrize(
    ("given", "seeds", "message"),
    [
        ({"step": ["1", "2"]}, 1, "01_a: unknown parameter 'step'"),
        ({"steps": ["1", "many"]}, 1, "steps = 'many' does not fit"),
        ({"rate": ["1e-3", "0.001"]}, 1, "-p rate: a value is given twice"),
        ({"steps": ["1"]}, 1, "one run is no sweep"),
        ({"steps": ["1", "2"]}, 0, "--seeds must be 1 or more"),
        ({"seed": ["1", "2"]}, 2, "not with both"),
        ({"out": ["a", "b"]}, 1, "'out' is set by the runner"),
    ],
)
def test_a_wrong_grid_is_refused_before_anything_runs(clone, given, seeds, message):
    notebook(clone)
    with pytest.raises(UserError, match=message):
        sweep("01_a", given, seeds, root=clone.root)
    assert not (clone.root / "report").exists()


def test_a_notebook_without_a_seed_has_none(clone):
    clone.notebook("01_a")
    assert [each.seed for each in cells(clone, {"steps": ["1", "2"]})] == [None, None]
    with pytest.raises(UserError, match="01_a has no parameter `seed`"):
        cells(clone, {"steps": ["1", "2"]}, 2)


def test_the_command_line_takes_values_until_the_next_option(monkeypatch):
    taken = []
    monkeypatch.setattr("denoise_lib.sweep.sweep.sweep", lambda *given: taken.append(given))
    line = "04_dcunet -p learning_rate 1e-3 2e-3 --seeds 3 -p snr -5 .5 -p note a=b --slurm"
    with pytest.raises(SystemExit):
        cli.main(["sweep", *line.split()])
    given = {"learning_rate": ["1e-3", "2e-3"], "snr": ["-5", ".5"], "note": ["a=b"]}
    assert taken == [("04_dcunet", given, 3, "quick", None, 0, "", True)]


def test_the_means_and_intervals_are_those_of_a_t_test():
    scores = {"a": [-0.90, -0.92, -0.95], "b": [-0.93, -0.94, -0.99]}
    row = dict(experiment="x", condition="both", model="m", split="test", metric="wsdr", noisy=-0.5)
    given = [
        {"point": {"p": point}, "seed": seed, "results": [row | {"denoised": value}]}
        for point, values in scores.items()
        for seed, value in enumerate(values)
    ]
    first, second = comparison(given)
    for line, name in ((first, "a"), (second, "b")):
        expected = ttest_1samp(scores[name], 0).confidence_interval(0.95)
        assert line["ci95"] == pytest.approx(list(expected)) and line["seeds"] == 3
        assert line["value"] == pytest.approx(sum(scores[name]) / 3)
    gaps = [b - a for a, b in zip(scores["a"], scores["b"], strict=True)]
    expected = ttest_1samp(gaps, 0).confidence_interval(0.95)
    assert second["difference_ci95"] == pytest.approx(list(expected))
    assert first["difference"] is None and second["difference"] == pytest.approx(sum(gaps) / 3)
    # A run that is missing: its seed counts for neither side of a difference.
    _, second = comparison(given[1:])
    assert second["difference"] == pytest.approx((gaps[1] + gaps[2]) / 2) and second["seeds"] == 3
    # From one seed there is no interval, and a missing score is none.
    (line,) = comparison(given[:1])
    assert line["ci95"] is None
    assert comparison([given[0] | {"results": [row | {"denoised": None}]}]) == []


def listening(process):
    """Addresses that a process and its children accept connections at."""
    found = set()
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # it has just ended
            ports = one.net_connections("inet")
            found |= {each.laddr.ip for each in ports if each.status == psutil.CONN_LISTEN}
    return found


@pytest.fixture
def here(monkeypatch):
    """No cluster: what a run does and says comes through one unchanged."""

    def results(client, work, jobs):
        for name, job in jobs.items():
            try:
                work(job)
            except UserError as error:
                yield name, str(error)
            else:
                yield name, ""

    monkeypatch.setattr(cluster, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(cluster, "results", results)


def test_a_sweep_outlives_a_process_that_is_killed_in_the_middle(clone, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook(clone, KILL)
    before, open_to, ended = listening(psutil.Process()), set(), cluster.results

    def watched(*given):
        for each in ended(*given):
            open_to.update(listening(psutil.Process()))
            yield each

    monkeypatch.setattr(cluster, "results", watched)
    path = sweep("01_a", {"steps": ["1", "2"]}, jobs=2, root=clone.root)
    assert open_to - before == {"127.0.0.1"}, "nothing listens beyond loopback"
    folder = clone.root / "report" / "sweeps" / "quick" / "01_a"
    assert path == folder / "index.html"
    found = read(path)["cells"]
    assert [cell["status"] for cell in found] == 2 * ["finished"]
    began = [len((folder / cell["folder"] / "began.txt").read_text()) for cell in found]
    assert began == [1, 2], "the run whose process was killed was taken up again"
    for cell in found:
        (row,) = cell["results"]
        assert row["denoised"] == pytest.approx(-0.5 - cell["point"]["steps"] / 100 - 0.005)
    assert not (clone.build / "01_a").exists(), "the report's own run is not touched"


@pytest.fixture
def scheduler(tmp_path):
    """The address of a scheduler and a worker that were started by hand, on loopback."""
    pytest.importorskip("distributed")
    file, root = tmp_path / "scheduler.json", Path(__file__).resolve().parents[1]
    own = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    dask = [sys.executable, "-m", "dask"]
    place = ["--host", "127.0.0.1", "--scheduler-file", str(file), "--no-dashboard"]
    with ExitStack() as stack:

        def start(*command):
            process = subprocess.Popen([*dask, *command], env=own, cwd=tmp_path)
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)

        start("scheduler", "--port", "0", *place)
        while not file.exists():
            threading.Event().wait(0.05)
        start("worker", "--nthreads", "2", "--no-nanny", *place)
        yield json.loads(file.read_text())["address"]


def test_a_sweep_runs_on_a_scheduler_that_was_started_by_hand(clone, scheduler, monkeypatch):
    assert scheduler.startswith("tcp://127.0.0.1:")
    # The two runs are in one process at once: each waits for the other to have begun.
    meet = """
deadline = time.monotonic() + 120
while len(list(Path(out).parents[1].glob("*/01_a*/began.txt"))) < 2:
    assert time.monotonic() < deadline
    time.sleep(0.05)"""
    notebook(clone, meet)
    path = sweep("01_a", {"steps": ["1", "2"]}, scheduler=scheduler, root=clone.root)
    assert [cell["status"] for cell in read(path)["cells"]] == 2 * ["finished"]
    assert [line["value"] for line in read(path)["comparison"]] == pytest.approx([-0.515, -0.525])
    monkeypatch.setattr(cluster, "ANSWERS", "1s")
    with pytest.raises(UserError, match="--scheduler nowhere:1: cannot be reached"):
        sweep("01_a", {"steps": ["3", "4"]}, scheduler="nowhere:1", root=clone.root)


def test_what_is_finished_is_kept_and_what_a_notebook_needs_is_read(clone, capsys, here):
    clone.notebook("00_first")
    same = "assert 'f' == json.loads(Path(out, '../00_first/run.json').read_text())['fingerprint']"
    notebook(clone, same, needs=["00_first"])
    given = {"steps": ["1"]}
    with pytest.raises(UserError, match="01_a needs a run of 00_first: `denoise notebook 00_first"):
        sweep("01_a", given, 2, root=clone.root)
    (clone.build / "00_first").mkdir(parents=True)
    for name, content in (("run.json", {"fingerprint": "f"}), ("results.json", {})):
        (clone.build / "00_first" / name).write_text(json.dumps(content))
    for seeds, before in ((2, 0), (3, 2)):
        path = sweep("01_a", given, seeds, jobs=1, root=clone.root)
        told = f"{seeds} runs of 01_a, {before} of them finished already"
        assert told in capsys.readouterr().out
    found = read(path)
    folders = [path.parent / cell["folder"] for cell in found["cells"]]
    assert [len((each / "began.txt").read_text()) for each in folders] == 3 * [1]
    (line,) = found["comparison"]
    assert line["seeds"] == 3 and line["value"] == pytest.approx(-0.516)
    assert line["ci95"][0] < -0.516 < line["ci95"][1]
    # Another run of what it needs: the cells are out of date.
    (clone.build / "00_first" / "run.json").write_text('{"fingerprint": "g"}')
    with pytest.raises(
        UserError, match="2 of 2 runs failed, the first: steps 1, seed 5: 01_a failed: Asser"
    ):
        sweep("01_a", given, 2, jobs=1, root=clone.root)


def test_a_run_that_fails_is_told_and_the_others_are_compared(clone, capsys, here):
    notebook(clone, "if steps == 2:\n    raise ValueError('no such step')")
    with pytest.raises(
        UserError, match="1 of 2 runs failed, the first: steps 2, seed 5: 01_a failed"
    ):
        sweep("01_a", {"steps": ["1", "2"]}, root=clone.root, jobs=1)
    assert "[2/2] steps 2, seed 5  01_a failed: ValueError: no such step" in capsys.readouterr().out
    path = clone.root / "report" / "sweeps" / "quick" / "01_a" / "index.html"
    assert [cell["status"] for cell in read(path)["cells"]] == ["finished", "failed"]
    assert "no such step" in path.read_text()


def test_without_dask_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"a sweep needs Dask: pip install 'denoise_lib\[sweep\]'"):
        with cluster.connected(1):
            pass


def test_jobs_of_slurm_take_one_cell_at_a_time(tmp_path, monkeypatch):
    """With a stand-in for sbatch, that keeps the script which it is given."""
    dask = pytest.importorskip("dask")
    for name in ("sbatch", "scancel"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\ncp "$1" {tmp_path}/{name}.sh; echo Submitted batch job 7\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--slurm: .*cores and memory.*; set cores, memory, queue"):
        with cluster.connected(1, slurm=True):
            pass
    own = {
        "cores": 4,
        "memory": "2GB",
        "queue": "short",
        "scheduler-options": {"host": "127.0.0.1"},
    }
    with dask.config.set({f"jobqueue.slurm.{key}": value for key, value in own.items()}):
        with cluster.connected(1, slurm=True) as client:
            assert client.scheduler.address.startswith("tls://127.0.0.1")
            script = tmp_path / "sbatch.sh"
            while not script.exists():
                threading.Event().wait(0.05)
            text = script.read_text()
    assert "#SBATCH -p short" in text and "#SBATCH --cpus-per-task=4" in text
    assert text.rindex("--nthreads 1") > text.index("--nthreads 4") and "tls://" in text


def test_the_page_says_what_is_better_and_is_whole(tmp_path):
    row = dict(experiment="04_dcunet", condition="both", model="dcunet", split="test")
    rows = [
        row
        | dict(
            metric="wsdr", noisy=-0.8, denoised=-0.9 - step / 50 + seed / 1e4, point=step, seed=seed
        )
        for step in (1, 2)
        for seed in (0, 1, 2)
    ]
    done = [
        {"name": "", "point": {"steps": each["point"], "batch": 4}, "seed": each["seed"]}
        | {"status": "finished", "results": [each], "seconds": 61.2, "threads": 2, "dirty": False}
        | {"commit": "0123456789abcdef", "finished": "2026-01-01", "error": "", "measurements": []}
        for each in rows
    ]
    missing = done[0] | {"point": {"steps": 9, "batch": 4}, "status": "failed", "error": "<b>&"}
    results = dict(
        notebook="04_dcunet", profile="quick", grid=["steps", "batch"], cells=[*done, missing]
    )
    results |= {"comparison": comparison(done), "command": "denoise sweep 04_dcunet -p steps 1 2"}
    html = page.build(results, tmp_path / "index.html").read_text()
    assert "DCUnet on zeroing and raising" in html and "steps 9, seed 0: &lt;b&gt;&amp;" in html
    assert "−0.9399" in html or "−0.940" in html
    assert re.search(r"−0\.020 <span[^>]*>\[[^]]*\]</span></td><td>better", html)
    assert "Noisy: wSDR −0.800." in html
    heads = re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', html)
    assert heads[:2] == ["steps", "seeds"], "what all have alike has no column"
    assert "All have batch 4." in html
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", html), "nothing comes from elsewhere"
    assert math.isclose(results["comparison"][1]["difference"], -0.02)
