"""The runner on small notebooks of its own: what runs again, what fails and how, what is left."""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import types
from pathlib import Path

import nbformat
import pytest
from jupyter_client.connect import LocalPortCache
from small_clone import PARAMETERS, READ, WRITE

import denoise_lib
from denoise_lib import cli
from denoise_lib.errors import UserError
from denoise_lib.report import provenance, runner
from denoise_lib.report.execution import LONGEST_SOCKET_FOLDER
from denoise_lib.report.parameters import given_values
from denoise_lib.report.progress import RunProgress
from denoise_lib.report.provenance import sources
from denoise_lib.report.sections import Section

pytestmark = pytest.mark.slow

LIBRARY = Path(denoise_lib.__file__).parent


def test_report_runs_once_and_builds_the_page_each_time(clone, pages, capsys):
    clone.notebook("01_a")
    clone.notebook("02_b", READ, needs=["01_a"])
    assert clone.report() == clone.root / "report" / "index.html"
    assert "[1/2] 01_a" in capsys.readouterr().out
    assert clone.seen("02_b") == clone.seen("01_a") == "quick 3 0.5 en True ['both']"
    before = clone.record()
    clone.report()
    assert "2 of 2 notebooks were up to date" in capsys.readouterr().out
    assert clone.record() == before and pages == ["quick", "quick"]


def test_a_second_report_waits_for_the_first(clone, monkeypatch):
    """Two at once would move each other's files away: trainings of the first would be lost."""
    clone.notebook("01_a")
    waiting, lines = threading.Event(), []

    def told(line):
        lines.append(line)
        waiting.set()

    monkeypatch.setattr("denoise_lib.progress.say", told)
    for second in (clone.report, lambda: runner.notebook("01_a", root=clone.root)):
        waiting.clear()
        lines.clear()
        thread = threading.Thread(target=second)
        with runner.Study("quick", clone.root).alone():
            shutil.rmtree(clone.build, ignore_errors=True)
            thread.start()
            assert waiting.wait(60)
            assert not (clone.build / "01_a.partial").exists()
        thread.join(120)
        assert not thread.is_alive() and clone.record()["notebook"] == "01_a"
        assert "which is making a report in this clone" in lines[0]


def test_the_page_alone_waits_too(clone, pages, monkeypatch):
    clone.notebook("01_a")
    waiting = threading.Event()
    monkeypatch.setattr("denoise_lib.progress.say", lambda line: waiting.set())
    thread = threading.Thread(target=runner.page, args=("quick", clone.root))
    with runner.Study("quick", clone.root).alone():
        thread.start()
        assert waiting.wait(60) and not pages
    thread.join(60)
    assert pages == ["quick"]


def test_the_command_that_is_shown_gives_these_parameters_again(clone, monkeypatch):
    """Through the shell that it is pasted into, and through the command line."""
    clone.notebook("01_a")
    known = runner.Study("quick", clone.root).known["01_a"]
    values = {
        "steps": 7,
        "rate": 1e-5,
        "voice": """it's a "b" $(touch hacked) `x` \\ -p steps 9 = é""",
        "play": False,
        "conditions": ["unet", "unet, factor 'alone'", "$HOME"],
    }
    parameters = [(known[name], value, known[name].default) for name, value in values.items()]
    section = Section("01_a", "A", parameters=parameters, run={"profile": "smoke"})
    program = clone.root / ".venv" / "bin" / "denoise"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", section.rerun], cwd=clone.root, capture_output=True, check=True
    )
    given = done.stdout.decode().split("\0")[:-1]
    assert not (clone.root / "hacked").exists()
    taken = []
    monkeypatch.setattr(runner, "notebook", lambda *arguments: taken.append(arguments))
    with pytest.raises(SystemExit):
        cli.main(given)
    name, texts, profile = taken[0]
    assert (name, profile) == ("01_a", "smoke")
    assert given_values(texts, known, "01_a") == values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("voices/mine", "{here}/voices/mine"),
        ("~/mine", "{home}/mine"),
        ("/mine", "/mine"),
        ("default", "default"),
        ("wide", "wide"),
        ("", ""),
    ],
)
def test_a_folder_is_meant_from_where_it_is_given(clone, text, value, tmp_path, monkeypatch):
    """The notebook itself works in the folder of its run."""
    clone.notebook("01_a", parameters=('speech = "default"\nnoise = ""\nkind = ""',))
    monkeypatch.chdir(tmp_path)
    study = runner.Study("quick", clone.root)
    study.override("01_a", {"speech": text, "noise": text, "kind": text})
    value = value.format(here=tmp_path, home=Path.home())
    found = study.parameters("01_a")
    assert (found["speech"], found["noise"], found["kind"]) == (value, value, text)


@pytest.mark.parametrize(("name", "text"), [("rate", "nan"), ("rate", ".inf"), ("rate", "-.inf")])
def test_a_parameter_is_a_finite_number(clone, name, text):
    clone.notebook("01_a")
    with pytest.raises(UserError, match="must be finite"):
        runner.notebook("01_a", {name: text}, root=clone.root)


def test_record_says_what_ran_and_where(clone):
    clone.notebook("01_a")
    clone.report()
    record = clone.record()
    assert record["parameters"] == {
        "profile": "quick",
        "steps": 3,
        "rate": 0.5,
        "voice": "en",
        "play": True,
        "conditions": ["both"],
    }
    assert record["machine"]["python"] == sys.version.split()[0] and record["machine"]["cores"] >= 1
    assert record["versions"]["torch"] and record["seconds"] > 0
    assert (record["commit"], record["dirty"]) == (None, True)  # not a git clone


@pytest.mark.parametrize("other", ["python", "precision", "torch"])
def test_another_python_package_or_precision_is_another_run(clone, monkeypatch, other):
    """A folder of runs that is carried to another machine is not mixed with what that one makes."""
    clone.notebook("01_a")
    clone.report()
    assert clone.stale() == []
    there = provenance.installed() | {other: "another"}
    monkeypatch.setattr(provenance, "installed", lambda: there)
    assert clone.stale() == ["01_a"]


def test_nothing_of_the_machine_is_in_the_cells(clone):
    clone.notebook("01_a")
    clone.report()
    executed = nbformat.read(clone.build / "01_a" / "executed.ipynb", as_version=4)
    assert 'out = "../report/build/quick/01_a.partial"' in executed.cells[2].source
    assert not any(str(clone.root) in cell.source for cell in executed.cells)


def test_kernel_is_the_running_interpreter(clone):
    clone.notebook("01_a", "import sys; print(sys.executable)")
    clone.report()
    executed = nbformat.read(clone.build / "01_a" / "executed.ipynb", as_version=4)
    assert executed.cells[3].outputs[0].text.strip() == sys.executable


def test_a_kernel_needs_no_port(clone, monkeypatch):
    """Jupyter looks for a free port, which another process may take before the kernel does."""
    clone.notebook("00_first")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(LocalPortCache, "find_available_port", lambda self, ip: port)
        clone.report()
    assert (clone.build / "00_first" / "results.json").exists()


def test_where_a_path_is_too_long_for_a_socket_a_kernel_takes_ports(clone, tmp_path, monkeypatch):
    long = tmp_path / ("x" * LONGEST_SOCKET_FOLDER)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    clone.notebook("00_first")
    clone.report()
    assert (clone.build / "00_first" / "results.json").exists()
    assert list(long.iterdir()) == []


def test_settings_of_the_user_do_not_reach_a_notebook(clone, tmp_path, monkeypatch):
    """Start-up files of Python and IPython, and matplotlib's own file and backend."""
    home = tmp_path / "home"
    startup = home / ".ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("theirs = 1")
    (home / "start.py").write_text("theirs = 1")
    (home / "matplotlibrc").write_text("lines.linewidth: 77\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("IPYTHONDIR", str(home / ".ipython"))
    monkeypatch.setenv("PYTHONSTARTUP", str(home / "start.py"))
    monkeypatch.setenv("MATPLOTLIBRC", str(home / "matplotlibrc"))
    monkeypatch.setenv("MPLBACKEND", "module://of_theirs")
    clone.notebook(
        "01_a",
        "import matplotlib\nfrom pathlib import Path\n"
        "assert 'theirs' not in globals()\n"
        "width = matplotlib.rcParams['lines.linewidth']\n"
        "Path(out, 'seen.txt').write_text(f'{width} {matplotlib.get_backend()}')",
    )
    clone.report()
    assert clone.seen() in ("1.5 inline", "1.5 module://matplotlib_inline.backend_inline")
    assert not list(clone.build.rglob(".ipython"))
    assert sorted(path.name for path in (home / ".ipython" / "profile_default").iterdir()) == [
        "startup"
    ]


def test_what_makes_a_run_stale(clone):
    clone.library('"""Models."""\nwidth = 16  # channels\n')
    clone.library("text = 1\n", "cli.py")
    clone.notebook("01_a")
    clone.notebook("02_b", READ, needs=["01_a"])
    clone.notebook("03_c")
    clone.report()
    assert clone.stale() == []

    clone.notebook("01_a", prose="Better prose.")
    clone.library('"""The models of the study."""\n\nwidth = 16\n')
    clone.library("text = 2\n", "cli.py")
    assert clone.stale() == [], "prose, comments and the page's own code change no number"

    clone.notebook("01_a", WRITE + "\n1 + 1")
    assert clone.stale() == ["01_a", "02_b"], "code, and what reads the run"
    clone.notebook("01_a")
    clone.profile("quick", "[03_c]\nsteps = 4\n")
    assert clone.stale() == ["03_c"], "parameters of the profile"
    clone.profile("quick", "")
    clone.library("width = 32\n")
    assert clone.stale() == ["01_a", "02_b", "03_c"], "library"


def test_what_a_run_may_depend_on(tmp_path):
    package = tmp_path / "denoise_lib"
    for folder in ("models", "pretrained"):
        (package / folder).mkdir(parents=True)
    for name in ("__init__.py", "names.py", "models/__init__.py", "models/unet.py"):
        (package / name).write_text("x = 1")
    (package / "pretrained" / "unet.safetensors").write_bytes(b"weights")
    (package / "pretrained" / ".ipynb_checkpoints").mkdir()  # as JupyterLab leaves it
    (package / "pretrained" / "unet.state.pt").write_bytes(b"of a training that goes on")
    (tmp_path / "requirements.lock").write_text("torch==2")
    found = sources(tmp_path)
    assert set(found) == {
        "denoise_lib",
        "denoise_lib.names",
        "denoise_lib.models",
        "denoise_lib.models.unet",
        "pretrained/unet.safetensors",
        "requirements.lock",
    }
    (package / "names.py").write_text('"""Prose."""\n\nx = 1  # a comment\n')
    assert sources(tmp_path) == found
    (package / "names.py").write_text("x = 2")
    assert {name for name in found if sources(tmp_path)[name] != found[name]} == {
        "denoise_lib.names"
    }


def test_a_run_is_out_of_date_by_the_modules_that_it_reached_alone(clone):
    clone.library("a = 1", "one.py")
    clone.library("b = 1", "two.py")
    clone.notebook("01_a", modules=["denoise_lib.one"])
    clone.notebook("02_b", modules=["denoise_lib.two"])
    clone.notebook("03_c", READ, needs=["01_a"], modules=[])
    clone.report()
    clone.library("c = 1", "three.py")
    assert clone.stale() == []
    clone.library("a = 2", "one.py")
    assert clone.stale() == ["01_a", "03_c"]
    clone.library("a = 1", "one.py")
    clone.library("b = 2", "two.py")
    assert clone.stale() == ["02_b"]
    (clone.root / "denoise_lib" / "two.py").unlink()
    assert clone.stale() == ["02_b"]


def test_what_reads_a_run_stays_when_that_comes_out_as_it_was(clone, capsys):
    clone.notebook("01_a")
    clone.notebook("02_b", READ, needs=["01_a"])
    clone.report()
    shutil.rmtree(clone.build / "01_a")
    before = clone.record("02_b")
    clone.report()
    assert clone.record()["fingerprint"] == before["needs"]["01_a"]
    assert clone.record("02_b") == before and "1 of 2 notebooks were" in capsys.readouterr().out


def test_edited_prose_reaches_the_page_without_a_run(clone):
    clone.notebook("01_a", "print('the output')\n" + WRITE)
    clone.report()
    before = clone.record()
    clone.notebook("01_a", "print('the output')\n" + WRITE, prose="Better prose.")
    clone.report()
    cells = nbformat.read(clone.build / "01_a" / "executed.ipynb", as_version=4).cells
    assert clone.record() == before
    assert [cell.source for cell in cells if cell.cell_type == "markdown"] == [
        "Better prose.",
        "The end.",
    ]
    assert "injected-parameters" in cells[2].metadata.tags
    assert cells[3].outputs[0].text == "the output\n"


def test_corpus_counts_by_content(clone, monkeypatch):
    opened = types.SimpleNamespace(digest="one")
    corpora = types.ModuleType("denoise_lib.data.corpora")
    corpora.open_speech = lambda source: opened
    monkeypatch.setitem(sys.modules, "denoise_lib.data.corpora", corpora)
    monkeypatch.setattr(denoise_lib.data, "corpora", corpora, raising=False)
    runner.provenance.corpus_digest.cache_clear()
    clone.notebook("01_a", parameters=[PARAMETERS + '\nspeech = "default"  # corpus'])
    clone.report()
    assert clone.record()["corpora"] == {"speech": "one"} and clone.stale() == []
    opened.digest = "two"
    runner.provenance.corpus_digest.cache_clear()
    assert clone.stale() == ["01_a"]
    runner.provenance.corpus_digest.cache_clear()


FAILURES = {
    "exception": dict(code="print('so far')\nraise ValueError('first\\nlast line')"),
    "no mark": dict(mark=False),
    "left early": dict(code="import sys\nsys.exit(0)"),
    "kernel died": dict(code="import os\nos._exit(1)"),
}


@pytest.mark.parametrize(
    "kind, message",
    [
        ("exception", "01_a failed: ValueError: last line; see .*01_a.failed.ipynb"),
        (
            "no mark",
            "01_a failed: it ended without results: its last cell must be `run.finish\\(\\)`",
        ),
        ("left early", "01_a failed: "),
        ("kernel died", "01_a failed: .*[Kk]ernel died"),
    ],
)
def test_failed_run_leaves_the_previous_one(clone, pages, kind, message):
    clone.notebook("01_a")
    clone.report()
    executed = (clone.build / "01_a" / "executed.ipynb").read_bytes()
    record = clone.record()
    clone.notebook("01_a", **FAILURES[kind])
    with pytest.raises(UserError, match=message):
        clone.report()
    assert (clone.build / "01_a" / "executed.ipynb").read_bytes() == executed
    assert clone.record() == record and clone.stale() == ["01_a"] and pages == ["quick"]
    assert (clone.build / "01_a" / "01_a.failed.ipynb").exists()


def test_failed_run_is_kept_as_far_as_it_came_until_the_next_good_one(clone):
    clone.notebook("01_a", FAILURES["exception"]["code"])
    with pytest.raises(UserError):
        clone.report()
    failed = clone.build / "01_a" / "01_a.failed.ipynb"
    assert "so far" in failed.read_text() and "ValueError" in failed.read_text()
    clone.notebook("01_a")
    clone.report()
    assert not failed.exists() and clone.seen()


def test_failure_keeps_finished_notebooks_and_stops_there(clone):
    clone.notebook("01_a")
    clone.notebook("02_b", "1 / 0")
    clone.notebook("03_c")
    with pytest.raises(UserError, match="02_b failed: ZeroDivisionError"):
        clone.report()
    assert clone.stale() == ["02_b", "03_c"]


def test_interrupted_run_leaves_the_previous_one_and_goes_on_where_it_was(clone, monkeypatch):
    clone.notebook("01_a")
    clone.report()
    before = clone.record()

    def interrupted(source, target, parameters, kernels):
        (target.parent / "both.safetensors").write_text("weights so far")
        raise KeyboardInterrupt

    changed = (
        WRITE + '\nPath(out, "found.txt").write_text(str(Path(out, "both.safetensors").exists()))'
    )
    clone.notebook("01_a", changed)
    with monkeypatch.context() as patch:
        patch.setattr(runner, "execute", interrupted)
        with pytest.raises(KeyboardInterrupt):
            clone.report()
    assert clone.record() == before and clone.seen()
    clone.report()
    assert (clone.build / "01_a" / "found.txt").read_text() == "True"
    assert not list(clone.build.glob("*.partial"))


def test_leavings_of_an_interrupted_run_of_other_code_are_not_used(clone):
    clone.notebook("01_a")
    partial = clone.build / "01_a.partial"
    partial.mkdir(parents=True)
    (partial / "fingerprint").write_text("of other code")
    (partial / "both.safetensors").write_text("other weights")
    clone.report()
    assert not (clone.build / "01_a" / "both.safetensors").exists()


def test_one_notebook_with_parameters(clone, pages):
    clone.notebook("01_a")
    clone.notebook("02_b")
    clone.report()
    other = clone.record("02_b")
    runner.notebook(
        "01_a",
        {
            "steps": "2",
            "rate": "1e-3",
            "voice": "16",
            "play": "false",
            "conditions": "[zero, raise]",
        },
        root=clone.root,
    )
    assert clone.seen() == "quick 2 0.001 16 False ['zero', 'raise']"
    assert clone.record("02_b") == other and pages == ["quick", "quick"]
    assert clone.stale() == ["01_a"], "the report goes back to the profile's values"


def test_one_notebook_beside_runs_of_an_earlier_version_is_refused_before_it_runs(clone):
    clone.notebook("01_a")
    clone.notebook("02_b")
    clone.report()
    older, before = clone.record("01_a"), clone.record("02_b")
    del older["reached"]
    (clone.build / "01_a" / "run.json").write_text(json.dumps(older))
    with pytest.raises(UserError, match="01_a was run by an earlier version: run `make report`"):
        runner.notebook("02_b", root=clone.root)
    assert clone.record("02_b") == before


def test_one_notebook_runs_missing_needs_first_and_uses_existing_ones(clone):
    clone.notebook("01_a")
    clone.notebook("02_b", READ, needs=["01_a"])
    clone.notebook("03_c")
    runner.notebook("02_b", root=clone.root)
    assert clone.seen("02_b") and not (clone.build / "03_c").exists()
    runner.notebook("01_a", {"steps": "1"}, root=clone.root)
    runner.notebook("02_b", root=clone.root)
    assert clone.seen("02_b").startswith("quick 1 ")


@pytest.mark.parametrize(
    "name, parameters, message",
    [
        ("04_x", {}, "there is no notebook '04_x'; there are 01_a"),
        ("01_a", {"step": "2"}, "01_a: unknown parameter 'step'; there are steps, rate, voice"),
        ("01_a", {"steps": "many"}, "01_a: steps = 'many' does not fit; its default is 3"),
        ("01_a", {"steps": "2.5"}, "steps = 2.5 does not fit"),
        ("01_a", {"rate": "fast"}, "rate = 'fast' does not fit"),
        ("01_a", {"steps": "true"}, "steps = True does not fit"),
        ("01_a", {"play": "2"}, "play = 2 does not fit"),
        ("01_a", {"conditions": "both"}, "conditions = 'both' does not fit"),
        ("01_a", {"conditions": "[both"}, "does not fit"),
        ("01_a", {"out": "x"}, "'out' is set by the runner"),
        ("01_a", {"profile": "full"}, "'profile' is set by the runner"),
    ],
)
def test_wrong_request_is_refused_before_anything_runs(clone, name, parameters, message):
    clone.notebook("01_a")
    with pytest.raises(UserError, match=message):
        runner.notebook(name, parameters, root=clone.root)
    assert not clone.build.exists()


@pytest.mark.parametrize(
    "parameters, message",
    [
        ([], "01_a: 0 cells are tagged `parameters`"),
        ([PARAMETERS, "steps = 4"], "01_a: 2 cells are tagged"),
        (["steps = 2 +"], "the parameters cell is not Python"),
        (["steps = 2\nimport os"], "line 2 of the parameters cell is not `name = literal`"),
        (["steps = 2\nrate = steps / 2"], "line 2 of the parameters cell"),
    ],
)
def test_parameters_cell_must_be_one_cell_of_literals(clone, parameters, message):
    clone.notebook("01_a", parameters=parameters)
    with pytest.raises(UserError, match=message):
        clone.report()
    assert not clone.build.exists()


def test_help_of_a_parameter_is_its_comment(clone):
    clone.notebook("01_a", parameters=['steps = 3  # steps, "#1"\nnote = "a # b"\n'])
    known = runner.Study("quick", clone.root).known["01_a"]
    assert [known[name].help for name in known] == ['steps, "#1"', ""]


@pytest.mark.parametrize(
    "text, message",
    [
        ("[01_a]\nstep = 4", "profile quick.toml, 01_a: unknown parameter 'step'"),
        (
            "[07_x]\nsteps = 4",
            "profile quick.toml names an unknown notebook '07_x'; there are 01_a",
        ),
        ("steps = 4", "unknown notebook 'steps'"),
        ("[01_a]\nsteps = 'many'", "steps = 'many' does not fit"),
        ("[01_a", "quick.toml is not valid TOML"),
    ],
)
def test_profile_may_set_only_what_there_is(clone, text, message):
    clone.notebook("01_a")
    clone.profile("quick", text)
    with pytest.raises(UserError, match=message):
        clone.report()


def test_unknown_profile_names_those_that_exist(clone):
    clone.notebook("01_a")
    clone.profile("smoke", "")
    for profile in ("fast", "../profiles/quick"):
        with pytest.raises(UserError, match="choose one of quick, smoke"):
            clone.report(profile)
    assert not clone.build.exists()


def test_need_must_be_an_earlier_notebook(clone):
    clone.notebook("01_a", needs=["02_b"])
    clone.notebook("02_b")
    with pytest.raises(UserError, match="01_a needs '02_b', which is no notebook before it"):
        clone.report()


def test_folder_without_notebooks(clone):
    with pytest.raises(UserError, match="no numbered notebooks"):
        clone.report()


def show(file, lines, known=lambda now: None):
    """What RunProgress shows of (seconds, text written by then) pairs."""
    now, stream = [0.0], io.StringIO()
    kwargs = {"known": lambda: known(now[0])}
    names = ["02_autoencoder", "03_wavenet"]
    progress = RunProgress("03_wavenet", names, file, stream=stream, clock=lambda: now[0], **kwargs)
    progress.watcher = threading.Thread(target=lambda: None)  # looks are taken here, one by one
    with progress:
        for seconds, text in lines:
            now[0] = seconds
            with open(file, "a", encoding="utf-8") as written:
                written.write(text)
            progress.look()
    return stream.getvalue().splitlines()


def line(training, step, steps, valid=-0.8):
    return json.dumps({"training": training, "step": step, "steps": steps, "valid": valid}) + "\n"


def test_progress_estimates_from_the_speed_of_the_training(tmp_path):
    first, second = line("both", 100, 400), line("both", 200, 400, -0.9)
    lines = show(
        tmp_path / "progress.jsonl",
        [(30, first + second[:20]), (90, second[20:]), (100, line("zero", 100, 400))],
    )
    assert lines == [
        "[2/2] 03_wavenet",
        "[2/2] 03_wavenet  both: step 100/400  valid -0.8000",
        "[2/2] 03_wavenet  both: step 200/400  valid -0.9000, about 2 min left of this training",
        "[2/2] 03_wavenet  zero: step 100/400  valid -0.8000",
        "[2/2] 03_wavenet  done after 1:40",
    ]


def test_progress_knows_the_time_left_from_the_last_run(tmp_path):
    lines = show(
        tmp_path / "progress.jsonl",
        [(60, line("both", 100, 400)), (295, line("both", 400, 400))],
        known=lambda now: max(0, 300 - now) + 120,
    )
    assert [line.split(", ")[-1] for line in lines[:3]] == [
        "about 7 min left",
        "about 6 min left",
        "about 2 min left",
    ]


def test_what_a_run_writes_is_shown_while_it_runs(clone, capsys):
    told = line("both", 3, 4, -0.5)
    clone.notebook("01_a", WRITE + f"\nPath(out, 'progress.jsonl').write_text({told!r})")
    clone.report()
    assert "[1/1] 01_a  both: step 3/4  valid -0.5000" in capsys.readouterr().out


def test_time_left_is_known_for_the_same_parameters_only(clone):
    clone.notebook("01_a")
    clone.report()
    study = runner.Study("quick", clone.root)
    assert study.seconds("01_a") == clone.record()["seconds"]
    study.override("01_a", {"steps": "1000"})
    assert study.seconds("01_a") is None


def test_the_time_of_an_interrupted_run_counts(clone):
    """What came before the interruption is a part of what the report says it took."""
    clone.notebook(
        "01_a",
        "from pathlib import Path\nimport os\n"
        "half = Path(out, 'half')\nfirst = not half.exists()\nhalf.touch()\n"
        "if first:\n    os._exit(1)",
    )
    with pytest.raises(UserError):
        clone.report()
    partial = clone.build / "01_a.partial"
    began = json.loads((partial / "attempts.json").read_text())["began"]
    os.utime(partial / "half", (began + 1000, began + 1000))  # it was at work for 1000 s
    clone.report()
    assert 1000 < clone.record()["seconds"] < 1600


def test_a_damaged_record_of_attempts_is_made_anew(tmp_path):
    for content in ("", "[]", '{"seconds": "x", "began": 0}'):
        (tmp_path / "attempts.json").write_text(content)
        attempts = runner._Attempts(tmp_path)
        assert attempts.before == 0 and attempts.seconds() >= 0
        assert json.loads((tmp_path / "attempts.json").read_text())["seconds"] == 0


@pytest.mark.parametrize(
    ("file", "content"), [("run.json", "{"), ("results.json", "[]"), ("results.json", None)]
)
def test_a_damaged_run_is_told_in_a_line_and_made_anew(clone, capsys, file, content):
    clone.notebook("01_a")
    clone.report()
    before = clone.record()
    path = clone.build / "01_a" / file
    path.write_text(content) if content is not None else path.unlink()
    capsys.readouterr()
    earlier = (clone.build / "01_a" / "executed.ipynb").stat().st_ino
    clone.report()
    told = [line for line in capsys.readouterr().err.splitlines() if "has to run again" in line]
    assert len(told) == 1 and file in told[0]
    assert clone.record()["fingerprint"] == before["fingerprint"]
    assert (clone.build / "01_a" / "executed.ipynb").stat().st_ino != earlier, "made anew"
