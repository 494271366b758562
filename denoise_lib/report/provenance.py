"""Where numbers come from: what a run depends on, what it ran on, and the record of all runs."""

import ast
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path

from denoise_lib.files import read_json

# Networks that a published report leaves behind: name for load_pretrained() -> checkpoint of the runs.
PRETRAINED = {
    "dcunet-stft": "04_dcunet/both.safetensors",
    "dcunet-street": "05_street_noise/street.safetensors",
}

# Rooms and modules that no number, figure or sound in a notebook depends on: they run the notebooks,
# set the page around them, or are the listening room, which is not part of the page.
PAGE_ONLY = {"cli", "commands", "environment", "listening_room", "report"}
PACKAGES = [
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
]


def library_digest(root):
    """Digest of the library sources that the numbers depend on, and of the locked packages.

    Sources count as syntax trees without docstrings: a better comment retrains no network. Shipped
    networks count, but for those that a published report leaves behind.
    """
    digest = hashlib.sha256()
    lock = root / "requirements.lock"
    digest.update(lock.read_bytes() if lock.exists() else b"")
    package = root / "denoise_lib"
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).with_suffix("").as_posix()
        if name.partition("/")[0] not in PAGE_ONLY:
            tree = _without_docstrings(ast.parse(path.read_text(encoding="utf-8")))
            digest.update(f"{name}\0{ast.dump(tree)}\0".encode())
    for path in sorted((package / "pretrained").glob("*")):
        if path.suffix in (".safetensors", ".json") and path.stem not in PRETRAINED:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _without_docstrings(tree):
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
    return tree


def corpora_digests(parameters):
    """Digests of the corpora a notebook reads by its parameters, {"speech": ..., "noise": ...}."""
    kinds = [kind for kind in ("speech", "noise") if kind in parameters]
    return {kind: corpus_digest(kind, parameters[kind]) for kind in kinds}


@functools.cache
def corpus_digest(kind, source):
    """Digest of the "speech" or "noise" corpus `source`; asked for many times, opened once."""
    from denoise_lib.data import corpora  # only when needed: opening one may fetch it

    return getattr(corpora, f"open_{kind}")(source).digest


def fingerprint(notebook, parameters, library, corpora, needs):
    """Digest of everything the results of a notebook depend on; prose and time stamps do not count.

    Args:
        notebook: nbformat node.
        parameters: effective values by name, without `out`.
        library: `library_digest()`.
        corpora: `corpora_digests()`.
        needs: {notebook: fingerprint} of the runs it reads.
    """
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    parts = json.dumps([code, parameters, library, corpora, needs], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()


def commit(root):
    """(commit, dirty) of a clone; (None, True) outside git.

    Dirty means that something the numbers depend on differs from the commit: changes to README or
    page do not count.
    """
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(
            root, "status", "--porcelain", "--", "denoise_lib", "notebooks", "requirements.lock"
        )
    except (OSError, subprocess.CalledProcessError):
        return None, True
    return head, bool(changed)


def _git(root, *arguments):
    return subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, text=True, capture_output=True
    ).stdout.strip()


def machine():
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


def versions():
    """Installed versions of the packages that decide the numbers."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def collect(build, names):
    """Merge the runs of one profile into the object that the page's results.json holds.

    Args:
        build: folder of one profile, report/build/<profile>.
        names: notebooks in order; those without a finished run are left out.

    Returns:
        {"profile", "provenance", "results", "differences"}: all runs' rows, and all differences
        between systems. Where runs differ in commit, "commit" is
        None; "commits" gives it by notebook, so that a mixed page can be announced as such.
    """
    build = Path(build)
    runs = {
        name: read_json(build / name / "run.json")
        for name in names
        if (build / name / "run.json").exists()
    }
    written = [read_json(build / name / "results.json") for name in runs]
    commits = {name: run["commit"] for name, run in runs.items()}
    seeds = {run["parameters"].get("seed") for run in runs.values()}
    last = max(runs.values(), key=lambda run: run["finished"], default={})
    return {
        "profile": build.name,
        "provenance": {
            "commit": last.get("commit") if len(set(commits.values())) == 1 else None,
            "commits": commits,
            "dirty": any(run["dirty"] for run in runs.values()),
            "seed": seeds.pop() if len(seeds) == 1 else None,
            "parameters": {name: run["parameters"] for name, run in runs.items()},
            "versions": last.get("versions", {}),
            "corpora": {
                key: digest for run in runs.values() for key, digest in run["corpora"].items()
            },
            "machine": last.get("machine", {}),
            "seconds": {name: run["seconds"] for name, run in runs.items()},
            "peak_memory_mib": {name: run["peak_memory_mib"] for name, run in runs.items()},
            "finished": last.get("finished"),
        },
        "results": [row for run in written for row in run["rows"]],
        "differences": [row for run in written for row in run.get("differences", [])],
    }
