"""A copy of the project in a folder of its own, and its command line there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ["denoise_lib", "notebooks", "pics", "report/template", "requirements.lock"]


def copy_project(folder: Path) -> Path:
    """Copy what the report is built from into a folder."""
    for part in PARTS:
        source, target = ROOT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copyfile(source, target)
    return folder


def denoise(clone: Path, *arguments: str, fails: bool = False) -> str:
    """Run the command in a clone; returns what it printed (on stderr, where it fails)."""
    done = subprocess.run(
        [sys.executable, "-m", "denoise_lib.cli", *arguments],
        cwd=clone,
        env=os.environ | {"PYTHONPATH": str(clone)},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert (done.returncode == 1) == fails and done.returncode in (0, 1), done.stderr
    return done.stderr if fails else done.stdout
