"""The code is formatted and linted by the rules that pyproject.toml states."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("arguments", [["format", "--check"], ["check"]])
def test_ruff_has_nothing_to_say(arguments):
    command = [sys.executable, "-m", "ruff", *arguments, "--no-cache", "--quiet", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_kept_from_the_formatter():
    mark = "fmt: " + "skip"
    marked = [
        path.relative_to(ROOT)
        for folder in ("denoise_lib", "tests", "tools", "pics")
        for path in (ROOT / folder).rglob("*.py")
        if mark in path.read_text(encoding="utf-8")
    ]
    assert marked == []
