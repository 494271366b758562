"""SIGKILL at drawn moments: what runs again afterwards must come to the undisturbed result.

    python tests/kills.py [--moments 15] [--seed 0] [fetch train enhance report]

Moments are drawn in turn by time and by file: before one of the writes, renames and removals that
the undisturbed run makes. fetch, train and enhance run in forks, which have the imports behind
them; report is a process of its own, whose notebook is a further one.
"""

import argparse
import functools
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from denoise_lib.report.verify import LEFT_OUT

WRITES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod")
LIMIT = 900  # s for one run


def watch(folder: Path, act: Callable[[int], None]) -> None:
    """Call `act` with 1, 2, ... before each change below a folder, as far as Python makes it."""
    count = 0
    inside = str(folder)

    def hook(event, arguments):
        nonlocal count
        if event == "open":
            path, mode, flags = arguments
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        else:
            path, writes = (arguments or [None])[0], event in WRITES
        if writes and isinstance(path, str | bytes | Path) and inside in os.fsdecode(path):
            count += 1
            act(count)

    sys.addaudithook(hook)


def forked(job: Callable[[Path], None], folder: Path, at_time=None, at_file=None) -> dict:
    """Run a job in a fork, killed after so many seconds or before so many changes.

    Returns:
        {"status": how it ended, "seconds", "changes": how many files it changed}
    """
    note = folder.with_name(folder.name + ".changes")
    note.write_text("0")
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            handle = os.open(note, os.O_WRONLY)

            def act(count):
                os.pwrite(handle, str(count).encode(), 0)
                if count == at_file:
                    os.kill(os.getpid(), signal.SIGKILL)

            watch(folder, act)
            with open(folder.with_name(folder.name + ".log"), "a") as log:
                with redirect_stdout(log), redirect_stderr(log):
                    job(folder)
            code = 0
        except SystemExit as end:
            code = end.code or 0
        finally:
            os._exit(code)
    if at_time is not None:
        time.sleep(at_time)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    seconds = time.monotonic() - start
    return {"status": status, "seconds": seconds, "changes": int(note.read_text())}


def result(folder: Path, told: tuple[str, ...] = ()) -> dict[str, str]:
    """{file: digest} of what a run has left, without what differs between any two runs.

    index/ in the cache holds only what is known of files that were there for two seconds.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.name.endswith("lock") and not name.startswith("index/"):
            data = path.read_bytes()
            if path.suffix in told:
                data = json.dumps(_timeless(json.loads(data))).encode()
            found[name] = hashlib.sha256(data).hexdigest()
    return found


def _timeless(value):
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in LEFT_OUT}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


# --- what is killed ----------------------------------------------------------------------------


def fetch(folder: Path) -> None:
    """Two corpora from a server on this machine into an empty cache."""
    from denoise_lib.data import corpora

    os.environ["DENOISE_DATA"] = str(folder)
    corpora.open_noise()
    corpora.open_read_speech()


def train(folder: Path) -> None:
    """A network of a few weights in six steps, with three validations."""
    import torch
    from small_corpus import small_corpus

    from denoise_lib import Corruption
    from denoise_lib.data.crops import CleanCrops, fixed_batch
    from denoise_lib.models import ConvAutoencoder
    from denoise_lib.training.loop import Schedule
    from denoise_lib.training.loop import train as run

    torch.manual_seed(0)
    corpus = small_corpus()
    crops = CleanCrops(corpus, corpus.split("train"), batch=2, seconds=0.3, seed=0, steps=6)
    validation = fixed_batch(corpus, corpus.split("valid"), Corruption(), seed=0, seconds=0.5)
    schedule = Schedule(6, validate_every=2)
    path = folder / "net.safetensors"
    run(ConvAutoencoder(), crops, Corruption(), validation, schedule, path)


def enhance(folder: Path) -> None:
    """A folder of three recordings of unlike lengths."""
    import soundfile
    from sounds import voice

    from denoise_lib import cli

    source = folder.with_name("recordings")
    if not source.exists():
        part = folder.with_name("recordings.part")
        part.mkdir(exist_ok=True)
        for number in range(3):
            soundfile.write(part / f"{number}.wav", voice(2 + 3 * number, seed=number), 16000)
        part.rename(source)
    words = ["enhance", source, "--out", folder, "--model", "log_mmse"]
    cli.main([str(word) for word in words])


# What takes long to import; forks then have it.
IMPORTS = ("denoise_lib.training.loop", "denoise_lib.models.baselines.log_mmse", "small_corpus")
IMPORTS += ("denoise_lib.commands.enhance", "denoise_lib.models.inference", "sounds")
JOBS = {"fetch": fetch, "train": train, "enhance": enhance}


def trial(name: str, work: Path, moments: int, seed: int) -> list[str]:
    """Kill a job at drawn moments; the faults found, one line each."""
    job, draw, faults = JOBS[name], random.Random(f"{name} {seed}"), []
    for module in IMPORTS:
        importlib.import_module(module)
    whole = work / "undisturbed"
    whole.mkdir(parents=True)
    usual = forked(job, whole)
    assert usual["status"] == 0, (work / "undisturbed.log").read_text()
    expected, killed = normal(whole), 0
    for number in range(moments):
        folder = work / f"{number:02}"
        folder.mkdir()
        if number % 2:
            moment = {"at_time": draw.uniform(0, usual["seconds"])}
        else:
            moment = {"at_file": draw.randint(1, usual["changes"])}
        killed += forked(job, folder, **moment)["status"] == signal.SIGKILL
        again = forked(job, folder)
        if again["status"]:
            log = (work / f"{number:02}.log").read_text().strip().splitlines()
            faults.append(f"{name} {moment}: the next run failed: {log[-1] if log else ''}")
            continue
        found = normal(folder)
        for file in sorted({*found, *expected}):
            if found.get(file) != expected.get(file):
                faults.append(f"{name} {moment}: {file} is {_compared(found, expected, file)}")
        shutil.rmtree(folder)
        print(f"{name} {moment}: done, {len(faults)} faults so far", flush=True)
    print(f"{name}: {killed} of {moments} killed under way, {usual['changes']} changes of files")
    return faults


def normal(folder: Path) -> dict[str, str]:
    """The result of fetch, train or enhance."""
    found = result(folder)
    for name in [*found]:
        if name.endswith(".history.json"):
            history = json.loads((folder / name).read_text())
            found[name] = json.dumps(_timeless(history))
        elif name.endswith(".safetensors"):
            found[name] = _network(folder / name)
    return found


def _network(path: Path) -> str:
    """Digest of weights and record of a checkpoint, without times."""
    from safetensors.torch import load_file

    from denoise_lib.models.checkpoints import read_record

    digest = hashlib.sha256(json.dumps(_timeless(read_record(path)), sort_keys=True).encode())
    for name, tensor in sorted(load_file(path).items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def _compared(found: dict, expected: dict, file: str) -> str:
    return "left over" if file not in expected else "missing" if file not in found else "another"


# --- the report, in processes of its own --------------------------------------------------------

HOOK = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from kills import watch
def act(count):
    handle = os.open({note!r}, os.O_WRONLY | os.O_APPEND)
    os.write(handle, b".")
    size = os.fstat(handle).st_size
    os.close(handle)
    if size == {at_file}:
        os.kill(int(os.environ["KILLS_PARENT"]), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
os.environ.setdefault("KILLS_PARENT", str(os.getpid()))
watch(Path({folder!r}), act)
"""
NOTEBOOK = "01_noise_design"


def reported(clone: Path, at_time=None, at_file=0) -> dict:
    """Run one notebook of the smoke profile in a clone, in processes of its own."""
    site, note = clone.parent / f"{clone.name}.site", clone.parent / f"{clone.name}.changes"
    site.mkdir(exist_ok=True)
    note.write_text("")
    build = clone / "report"
    hook = HOOK.format(
        tests=str(Path(__file__).parent), note=str(note), at_file=at_file, folder=str(build)
    )
    (site / "sitecustomize.py").write_text(hook)
    start = time.monotonic()
    with open(clone.parent / f"{clone.name}.log", "a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "denoise_lib.cli", "notebook", NOTEBOOK, "--profile", "smoke"],
            cwd=clone,
            env=os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{clone}"},
            stdout=log,
            stderr=log,
        )
        if at_time is not None:
            time.sleep(at_time)
            process.kill()
        status = process.wait(LIMIT)
    seconds = time.monotonic() - start
    return {"status": status, "seconds": seconds, "changes": note.stat().st_size}


def report(work: Path, moments: int, seed: int) -> list[str]:
    """Kill `denoise notebook` at drawn moments; the faults found, one line each."""
    from project_copy import copy_project

    draw, faults, killed = random.Random(f"report {seed}"), [], 0
    whole = copy_project(work / "undisturbed")
    usual = reported(whole)
    assert usual["status"] == 0, (work / "undisturbed.log").read_text()
    expected = scores(whole)
    for number in range(moments):
        clone = copy_project(work / f"{number:02}")
        if number % 2:
            moment = {"at_time": draw.uniform(0, usual["seconds"])}
        else:
            moment = {"at_file": draw.randint(1, usual["changes"])}
        killed += reported(clone, **moment)["status"] == -signal.SIGKILL
        if reported(clone)["status"]:
            log = (work / f"{number:02}.log").read_text().strip().splitlines()
            faults.append(f"report {moment}: the next run failed: {log[-1] if log else ''}")
        elif (found := scores(clone)) != expected:
            other = [k for k in {**found, **expected} if found.get(k) != expected.get(k)]
            faults.append(f"report {moment}: {', '.join(other)} differ from the undisturbed run")
        shutil.rmtree(clone)
        print(f"report {moment}: done, {len(faults)} faults so far", flush=True)
    print(f"report: {killed} of {moments} killed under way, {usual['changes']} changes of files")
    return faults


def scores(clone: Path) -> dict[str, str]:
    """What the run and the page hold, without times; names of all files."""
    build = clone / "report" / "build" / "smoke" / NOTEBOOK
    found = {
        path.relative_to(clone).as_posix(): ""
        for path in (clone / "report").rglob("*")
        if path.is_file()
    }
    for path in (build / "results.json", clone / "report" / "results.json"):
        value = json.loads(path.read_text())
        for each in value["measurements"]:
            if each["unit"] in ("s", "ms", "MiB"):
                each["value"] = each["ci95"] = None
        found[path.relative_to(clone).as_posix()] = json.dumps(_timeless(value))
    for name in ("clips.csv",):
        found[name] = (build / name).read_text()
    return found


@contextmanager
def served():
    """The packages of the user's cache on a server of this machine, as DENOISE_MIRROR."""
    from archive_server import ArchiveServer

    from denoise_lib.data import fetch as fetching

    packages = [fetching.CORPORA[name][0] for name in ("street", "read")]
    for name in ("street", "read"):
        fetching.fetch_corpus(name)
    kept = fetching.cache_folder() / "packages"
    server = ArchiveServer()
    server.files = {each.deb: (kept / each.deb).read_bytes() for each in packages}
    os.environ |= {"DENOISE_MIRROR": server.url, "no_proxy": "127.0.0.1"}
    try:
        yield
    finally:
        server.stop()
        del os.environ["DENOISE_MIRROR"]


def main() -> None:
    """Draw, kill, run again, compare; status 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", nargs="*", default=[*JOBS, "report"])
    parser.add_argument("--moments", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    faults = []
    for name in options.what:
        with tempfile.TemporaryDirectory() as folder:
            run = report if name == "report" else functools.partial(trial, name)
            if name == "fetch":
                # The server must not be forked along: it runs in a process of its own.
                with served():
                    faults += run(Path(folder), options.moments, options.seed)
            else:
                faults += run(Path(folder), options.moments, options.seed)
    print("\n".join(faults) or "every run came to the undisturbed result")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
