"""What a run depends on and where it came from, one changed thing at a time."""

import gc
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import threading
import time
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from denoise_lib.errors import UserError
from denoise_lib.report import provenance

CODE = '''"""A module."""


def add(a: int, b: int) -> int:
    """The sum."""
    return a + b


class Thing:
    """A thing."""

    async def wait(self) -> None:
        """Wait."""
'''


@pytest.fixture
def root(tmp_path):
    """A clone with a package, two shipped files and a lock."""
    package = tmp_path / "denoise_lib"
    for name, text in {
        "__init__.py": "RATE = 16000\n",
        "report/__init__.py": "",
        "report/deep.py": CODE,
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text, encoding="utf-8")
    (package / "pretrained").mkdir()
    for name in ("net.safetensors", "net.json", "net.md", "net.safetensors~"):
        (package / "pretrained" / name).write_bytes(name.encode())
    (tmp_path / "requirements.lock").write_bytes(b"torch==2\n")
    return tmp_path


def test_sources_are_modules_shipped_networks_and_the_lock(root):
    found = provenance.sources(root)
    modules = {"denoise_lib", "denoise_lib.report", "denoise_lib.report.deep"}
    shipped = {"pretrained/net.safetensors", "pretrained/net.json"}
    assert set(found) == {*modules, *shipped, "requirements.lock"}
    assert found["pretrained/net.json"] == hashlib.sha256(b"net.json").hexdigest()
    assert found["requirements.lock"] == hashlib.sha256(b"torch==2\n").hexdigest()
    (root / "requirements.lock").unlink()
    assert provenance.sources(root) == {**found, "requirements.lock": ""}


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ('"""A module."""', '"""Another word."""', False),
        ('"""The sum."""', '"""What comes out."""', False),
        ('"""A thing."""', '"""Some thing."""', False),
        ('"""Wait."""', '"""Stay."""', False),
        ("    return a + b", "    return a + b  # a comment", False),
        ("a + b", "a - b", True),
        ("class Thing", "class Thong", True),
        ('"""The sum."""\n    return', '"""The sum."""\n    "no docstring"\n    return', True),
    ],
)
def test_a_better_docstring_is_no_change_and_other_code_is(root, old, new, counts):
    path = root / "denoise_lib" / "report" / "deep.py"
    before = provenance.sources(root)
    assert old in CODE
    path.write_text(CODE.replace(old, new, 1), encoding="utf-8")
    after = provenance.sources(root)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == ({"denoise_lib.report.deep"} if counts else set())


class Rubbish:
    """Goes only with the cyclic collector, and lets other threads run while it goes."""

    def __init__(self):
        self.me = self

    def __del__(self):
        time.sleep(1e-4)


def test_two_threads_may_ask_for_the_sources_at_once(root):
    """Python 3.11 counts the depth of two trees together, if a thread begins one amid another."""
    code = "x = [" + "(a + b) * c, " * 300 + "]"
    (root / "denoise_lib" / "report" / "deep.py").write_text(code)
    failed, before = [], gc.get_threshold()

    def ask():
        try:
            for _ in range(40):
                _ = [Rubbish() for _ in range(5)]
                provenance.sources(root)
        except SystemError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    gc.set_threshold(50)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.set_threshold(*before)
    assert not failed


def test_a_run_reaches_what_it_loaded_and_read_and_the_lock():
    written = {"modules": ["denoise_lib.audio"], "shipped": ["net.safetensors"]}
    assert provenance.reached(written) == [
        "denoise_lib.audio",
        "pretrained/net.safetensors",
        "requirements.lock",
    ]


def test_corpora_are_told_by_the_parameters_that_name_them(monkeypatch):
    monkeypatch.setattr(provenance, "corpus_digest", lambda kind, source: f"{kind} of {source}")
    assert provenance.corpora_digests({"steps": 3}) == {}
    assert provenance.corpora_digests({"speech": "a", "noise": "b", "pairs": ""}) == {
        "speech": "speech of a",
        "noise": "noise of b",
    }
    assert provenance.corpora_digests({"noise": "b", "pairs": "c"}) == {
        "noise": "noise of b",
        "pairs": "speech of c",
    }


def book(code="x = 1", prose="# Title"):
    return new_notebook(cells=[new_markdown_cell(prose), new_code_cell(code)])


RUN = {
    "notebook": book(),
    "parameters": {"seed": 0, "steps": 9},
    "found": {"denoise_lib.a": "1", "denoise_lib.b": "2"},
    "names": ["denoise_lib.a"],
    "corpora": {"speech": "d1"},
    "needs": {"01_a": "f1"},
}


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ({"notebook": book(prose="# Another title")}, False),
        ({"found": RUN["found"] | {"denoise_lib.b": "3"}}, False),
        ({"parameters": {"steps": 9, "seed": 0}}, False),
        ({"notebook": book(code="x = 2")}, True),
        ({"parameters": {"seed": 1, "steps": 9}}, True),
        ({"found": RUN["found"] | {"denoise_lib.a": "3"}}, True),
        ({"found": {}}, True),
        ({"names": ["denoise_lib.a", "denoise_lib.b"]}, True),
        ({"corpora": {"speech": "d2"}}, True),
        ({"needs": {"01_a": "f2"}}, True),
        ({"needs": {"01_a": None}}, True),
    ],
)
def test_a_fingerprint_changes_with_what_counts_and_with_nothing_else(changed, counts):
    plain, other = provenance.fingerprint(**RUN), provenance.fingerprint(**RUN | changed)
    assert plain == provenance.fingerprint(**RUN) and len(plain) == 64
    assert (plain != other) == counts


def git(root, *arguments):
    names = {
        f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    return subprocess.run(
        ["git", "-C", str(root), *arguments],
        check=True,
        text=True,
        capture_output=True,
        env=os.environ | names,
    ).stdout.strip()


def test_the_commit_and_whether_something_that_counts_differs_from_it(root, tmp_path_factory):
    assert provenance.commit(tmp_path_factory.mktemp("none")) == (None, True)
    git(root, "init", "-q")
    assert provenance.commit(root) == (None, True), "no commit yet"
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    head = git(root, "rev-parse", "HEAD")
    assert provenance.commit(root) == (head, False)
    (root / "README.md").write_text("not a source")
    assert provenance.commit(root) == (head, False)
    for name in ("denoise_lib/new.py", "notebooks/01_a.ipynb", "requirements.lock"):
        path = root / name
        before = path.read_bytes() if path.exists() else None
        path.parent.mkdir(exist_ok=True)
        path.write_text("something else")
        assert provenance.commit(root) == (head, True), name
        path.unlink()
        if before is not None:
            path.write_bytes(before)
    assert provenance.commit(root) == (head, False)


def test_without_git_there_is_no_commit(root, monkeypatch):
    monkeypatch.setenv("PATH", str(root))
    assert provenance.commit(root) == (None, True)


def test_the_machine_is_told():
    found = provenance.machine()
    assert set(found) == {"processor", "cores", "memory_gib", "accelerators", "system", "python"}
    assert found["python"] == platform.python_version()
    assert found["system"] == f"{platform.system()} {platform.release()}"
    if hasattr(os, "sched_getaffinity"):
        assert found["cores"] == len(os.sched_getaffinity(0))
    memory = Path("/proc/meminfo")
    if memory.exists():
        kib = int(memory.read_text().split("MemTotal:")[1].split()[0])
        assert found["memory_gib"] == round(kib / 2**20, 1)
    info = Path("/proc/cpuinfo")
    if info.exists() and "model name" in info.read_text():
        first = info.read_text().split("model name", 1)[1].splitlines()[0]
        assert found["processor"] == first.partition(":")[2].strip()
    assert isinstance(found["accelerators"], list)


def test_the_machine_is_told_where_the_system_tells_little(monkeypatch, tmp_path):
    """No /proc, no processor's name, no way to ask for usable cores."""
    monkeypatch.setattr(provenance, "Path", lambda path: tmp_path / path.lstrip("/"))
    monkeypatch.setattr(provenance.platform, "processor", lambda: "")
    monkeypatch.setattr(provenance.platform, "machine", lambda: "riscv64")
    monkeypatch.delattr(provenance.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(provenance.os, "cpu_count", lambda: 7)
    monkeypatch.setattr(provenance.os, "sysconf_names", {})
    found = provenance.machine()
    assert (found["processor"], found["cores"], found["memory_gib"]) == ("riscv64", 7, None)
    cpus = tmp_path / "proc" / "cpuinfo"
    cpus.parent.mkdir()
    cpus.write_text("model\t\t: 1\nmodel name\t: A: B\nmodel name\t: C\n")
    card = tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0/information"
    card.parent.mkdir(parents=True)
    card.write_text("Model: \t\t Card 9: big\nIRQ: 3\n")
    found = provenance.machine()
    assert (found["processor"], found["accelerators"]) == ("A: B", ["Card 9: big"])


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no such thing here")
def test_cores_are_those_that_may_be_used(monkeypatch):
    monkeypatch.setattr(
        provenance.os, "sched_getaffinity", lambda process: {1, 2, 99}, raising=False
    )
    monkeypatch.setattr(provenance.os, "cpu_count", lambda: 64)
    assert provenance.machine()["cores"] == 3


def test_versions_are_those_installed(monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "no-such-package", "torch"))
    assert provenance.versions() == {
        name: importlib.metadata.version(name) for name in ("numpy", "torch")
    }


# The record of all runs -------------------------------------------------------------------------


BF16 = {"precisions": ["bf16-mixed"]}


def finished(build, folder, name, *, headline=None, **changes):
    """A finished run of a notebook."""
    node = book()
    node.metadata["denoise"] = {"headline": headline} if headline else {}
    (folder / f"{name}.ipynb").write_text(json.dumps(node), encoding="utf-8")
    record = {
        "commit": "c1",
        "dirty": False,
        "parameters": {"seed": 0},
        "corpora": {"speech": f"digest {name}"},
        "seconds": 2.0,
        "peak_memory_mib": 300,
        "finished": f"2030-01-0{name[1]}T00:00:00+00:00",
        "machine": {"cores": int(name[1])},
        "versions": {"torch": name},
        "reached": [],
    }
    written = {part: [f"{part} of {name}"] for part in ("rows", "measurements", "differences")}
    (build / name).mkdir(parents=True)
    (build / name / "run.json").write_text(json.dumps(record | changes))
    (build / name / "results.json").write_text(json.dumps(written))


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    return tmp_path / "quick", folder


def test_all_runs_become_one_record(place):
    build, folder = place
    finished(build, folder, "01_a", headline={"01_a": ["fixed"]})
    finished(build, folder, "02_b", headline={"02_b:x": ["volume"]}, seconds=5.0, **BF16)
    found = provenance.collect(build, folder, ["01_a", "02_b", "03_not_run"])
    assert found["profile"] == "quick"
    assert found["headline"] == {"01_a": ["fixed"], "02_b:x": ["volume"]}
    assert found["results"] == ["rows of 01_a", "rows of 02_b"]
    assert found["measurements"] == ["measurements of 01_a", "measurements of 02_b"]
    assert found["differences"] == ["differences of 01_a", "differences of 02_b"]
    past = found["provenance"]
    assert (past["commit"], past["dirty"], past["seed"]) == ("c1", False, 0)
    assert past["commits"] == {"01_a": "c1", "02_b": "c1"}
    assert past["seconds"] == {"01_a": 2.0, "02_b": 5.0}
    assert past["parameters"] == {"01_a": {"seed": 0}, "02_b": {"seed": 0}}
    assert past["peak_memory_mib"] == {"01_a": 300, "02_b": 300}
    assert past["corpora"] == {"speech": "digest 02_b"}
    assert past["precisions"] == {"01_a": [], "02_b": ["bf16-mixed"]}
    assert past["finished"].startswith("2030-01-02")
    assert past["machine"] == {"cores": 2} and past["versions"] == {"torch": "02_b"}


def test_runs_that_differ_have_no_commit_or_seed_in_common(place):
    build, folder = place
    finished(build, folder, "01_a", dirty=True, finished="2031-01-01T00:00:00+00:00")
    finished(build, folder, "02_b", commit="c2", parameters={"seed": 1})
    past = provenance.collect(build, folder, ["01_a", "02_b"])["provenance"]
    assert (past["commit"], past["dirty"], past["seed"]) == (None, True, None)
    assert past["commits"] == {"01_a": "c1", "02_b": "c2"}
    assert past["machine"] == {"cores": 1}, "that of the run that ended last"


def test_no_run_is_an_empty_record(place):
    build, folder = place
    found = provenance.collect(build, folder, ["01_a"])
    assert found["results"] == [] and found["headline"] == {}
    past = found["provenance"]
    assert past["seconds"] == {} and past["versions"] == {} and past["machine"] == {}
    assert past["finished"] is None and past["commit"] is None and past["dirty"] is False
    assert past["elapsed"] == 0


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [
        ([(0, 10), (10, 25)], 25),  # one after the other
        ([(0, 10), (40, 50)], 20),  # a pause between them does not count
        ([(0, 30), (5, 15), (20, 50)], 50),  # two at once, one within the other
        ([(0, 30), (12, 30)], 30),  # ended in the same second
    ],
)
def test_time_in_which_several_run_counts_once(spans, seconds):
    runs = [
        {"seconds": float(end - begin), "finished": f"2030-01-01T00:00:{end:02}+00:00"}
        for begin, end in reversed(spans)
    ]
    assert provenance.elapsed(runs) == pytest.approx(seconds)


def test_a_run_of_an_earlier_version_is_named(place):
    build, folder = place
    finished(build, folder, "01_a")
    path = build / "01_a" / "run.json"
    record = json.loads(path.read_text())
    del record["reached"]
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match="01_a was run by an earlier version: `make report`"):
        provenance.collect(build, folder, ["01_a"])
