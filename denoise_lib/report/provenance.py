"""Where numbers come from: what a run depends on, what it ran on, and the record of all runs."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from denoise_lib.environment import fastest_precision
from denoise_lib.errors import UserError
from denoise_lib.files import read_json, sha256
from denoise_lib.report.parameters import declared, read_notebook, syntax_tree

PACKAGES = (
    "torch",
    "torchaudio",
    "numpy",
    "librosa",
    "torchmetrics",
    "pesq",
    "pystoi",
    "speechmos",
    "onnxruntime",
    "lightning-fabric",
    "papermill",
    "scipy",
    "soxr",
    "soundfile",
    "av",
    "noisereduce",
    "pyrnnoise",
    "webrtc-noise-gain",
)


def sources(root: Path) -> dict[str, str]:
    """Digests of all that a run of a notebook may depend on in a clone.

    Modules of the library count as syntax trees without docstrings: a better comment retrains no
    network. Beside them stand the shipped networks and their histories, and the locked packages.

    Returns:
        {"denoise_lib.models.dcunet": digest, ..., "pretrained/unet.safetensors": digest, ...,
        "requirements.lock": digest}
    """
    package, found = root / "denoise_lib", {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        tree = _without_docstrings(syntax_tree(path.read_text(encoding="utf-8")))
        found[name] = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    for path in sorted((package / "pretrained").glob("*")):
        if path.suffix in (".safetensors", ".json"):  # and nothing that an editor leaves there
            found[f"pretrained/{path.name}"] = sha256(path)
    lock = root / "requirements.lock"
    found[lock.name] = sha256(lock) if lock.exists() else ""
    return found


def _without_docstrings(tree: ast.AST) -> ast.AST:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return tree


def reached(written: dict[str, Any]) -> list[str]:
    """The sources that a run has reached: what it loaded and read, and the locked packages.

    Args:
        written: What the notebook left in its results.json.
    """
    shipped = [f"pretrained/{name}" for name in written["shipped"]]
    return [*written["modules"], *shipped, "requirements.lock"]


def corpora_digests(parameters: dict[str, Any]) -> dict[str, str]:
    """Digests of the corpora a notebook reads by its parameters, {"speech": ..., "noise": ...}.

    The wide corpora are told by the code that lists their packages.
    """
    kinds = [kind for kind in ("speech", "noise") if kind in parameters]
    found = {kind: corpus_digest(kind, parameters[kind]) for kind in kinds}
    if pairs := parameters.get("pairs"):
        found["pairs"] = corpus_digest("speech", pairs)
    return found


@functools.cache
def corpus_digest(kind: str, source: str) -> str:
    """Digest of the "speech" or "noise" corpus `source`; asked for many times, opened once."""
    from denoise_lib.data import corpora  # only here: torch takes seconds to load

    return getattr(corpora, f"open_{kind}")(source).digest


def fingerprint(
    notebook: NotebookNode,
    parameters: dict[str, Any],
    found: dict[str, str],
    names: Iterable[str],
    corpora: dict[str, str],
    needs: dict[str, str | None],
) -> str:
    """Digest of everything the results of a notebook depend on; prose and time stamps do not count.

    Args:
        notebook: As it is in the clone.
        parameters: Effective values by name, without `out`.
        found: What :func:`sources` gave.
        names: Which of them count, see :func:`reached`.
        corpora: What :func:`corpora_digests` gave.
        needs: {notebook: fingerprint} of the runs it reads.
    """
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    library = {name: found.get(name) for name in names}
    parts = json.dumps([code, parameters, library, corpora, needs, installed()], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()


@functools.cache
def installed() -> dict[str, str]:
    """What decides how a run here would round: packages, Python, and what "auto" precision is."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {**versions(), "python": python, "precision": fastest_precision()}


def corpora_read(told: dict[str, str], written: dict[str, Any]) -> dict[str, str]:
    """Digests of all corpora that a run has read, those that no parameter names among them.

    Args:
        told: What :func:`corpora_digests` gave.
        written: What the notebook left in its results.json.
    """
    others = written.get("corpora", {})
    return told | {name: each for name, each in others.items() if each not in told.values()}


def commit(root: Path) -> tuple[str | None, bool]:
    """(commit, dirty) of a clone; (None, True) outside git.

    Dirty means that something the numbers depend on differs from the commit: changes to README or
    page do not count.
    """
    try:
        return _git(root, "rev-parse", "HEAD"), bool(uncommitted(root))
    except (OSError, subprocess.CalledProcessError):
        return None, True


def uncommitted(root: Path) -> list[str]:
    """Files that the numbers depend on and that differ from the commit; empty outside git."""
    own = ("denoise_lib", "notebooks", "requirements.lock")
    try:
        lines = _git(root, "status", "--porcelain", "--", *own).splitlines()
    except (OSError, subprocess.CalledProcessError):
        return []
    return [line.split(maxsplit=1)[1] for line in lines]


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, text=True, capture_output=True
    ).stdout.strip()


def machine() -> dict[str, Any]:
    """What the run ran on: processor, usable cores, memory in GiB, accelerators, system, Python."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line.split(":", 1)[1].strip()
            for line in cpuinfo.read_text().splitlines()
            if line.startswith("model name")
        ]
        processor = models[0] if models else processor
    memory = None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    accelerators = [
        line.split(":", 1)[1].strip()
        for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        for line in path.read_text().splitlines()
        if line.startswith("Model")
    ]
    return {
        "processor": processor,
        "cores": cores,
        "memory_gib": memory,
        "accelerators": accelerators,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Installed versions of the packages that decide the numbers."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def elapsed(runs: Iterable[dict[str, Any]]) -> float:
    """Seconds in which at least one notebook ran: less than their sum where several ran at once.

    A run that was interrupted counts as if it had gone on without a break until it was finished.

    Args:
        runs: Records with "seconds" and "finished".
    """
    ended = [(datetime.fromisoformat(run["finished"]).timestamp(), run["seconds"]) for run in runs]
    total, reached = 0.0, -math.inf
    for begin, end in sorted((end - seconds, end) for end, seconds in ended):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def collect(build: Path, folder: Path, names: list[str]) -> dict[str, Any]:
    """Merge the runs of one profile into the object that the page's results.json holds.

    Args:
        build: Folder of one profile's runs, report/build/<profile>.
        folder: The notebooks' folder.
        names: Notebooks in order; those without a finished run are left out.

    Returns:
        {"profile", "provenance", "headline", "results", "measurements", "differences"}: all runs'
        lines. Where runs differ in commit, "commit" is None; "commits" gives it by notebook, so
        that a mixed page can be announced as such. "headline" says in which lines of the head
        table an experiment stands, as its notebook declares.

    Raises:
        UserError: A run was made by an earlier version of the library.
    """
    build = Path(build)
    runs = {
        name: read_json(build / name / "run.json")
        for name in names
        if (build / name / "run.json").exists()
    }
    written = [read_json(build / name / "results.json") for name in runs]
    for name, run in runs.items():
        if "reached" not in run:
            raise UserError(f"{name} was run by an earlier version: `make report` runs it again")
    commits = {name: run["commit"] for name, run in runs.items()}
    seeds = {run["parameters"].get("seed") for run in runs.values()}
    last = max(runs.values(), key=lambda run: run["finished"], default={})
    headline: dict[str, list[str]] = {}
    for name in runs:
        headline |= declared(read_notebook(folder, name), "headline", {})
    return {
        "profile": build.name,
        "provenance": {
            "commit": last.get("commit") if len(set(commits.values())) == 1 else None,
            "commits": commits,
            "dirty": any(run["dirty"] for run in runs.values()),
            "seed": seeds.pop() if len(seeds) == 1 else None,
            "parameters": {name: run["parameters"] for name, run in runs.items()},
            "versions": last.get("versions", {}),
            "precisions": {name: run.get("precisions", []) for name, run in runs.items()},
            "corpora": {
                key: digest for run in runs.values() for key, digest in run["corpora"].items()
            },
            "machine": last.get("machine", {}),
            "seconds": {name: run["seconds"] for name, run in runs.items()},
            "elapsed": round(elapsed(runs.values()), 1),
            "peak_memory_mib": {name: run["peak_memory_mib"] for name, run in runs.items()},
            "threads": {name: run.get("threads") for name, run in runs.items()},
            "finished": last.get("finished"),
        },
        "headline": headline,
        "results": [row for run in written for row in run["rows"]],
        "measurements": [line for run in written for line in run["measurements"]],
        "differences": [line for run in written for line in run["differences"]],
    }
