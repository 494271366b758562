"""What is killed and run again comes to the undisturbed result; kills.py draws more moments."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parent


@pytest.mark.parametrize("what", ["fetch", "train", "enhance"])
def test_killed_and_run_again(what, street):
    """In a process of its own: forks of one with threads could hang."""
    done = subprocess.run(
        [sys.executable, TESTS / "kills.py", what, "--moments", "4", "--seed", "1"],
        env=os.environ | {"PYTHONPATH": str(TESTS.parent), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{what}: 0 of" not in done.stdout
