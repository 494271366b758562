"""asteroid's DCUNet beside ours, in an environment of its own, since it needs older packages."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torchaudio

from denoise_lib.environment import remove_cuda_extension
from denoise_lib.errors import UserError

# The version compared with, what it forgets to name, and the torch that the others run on.
PACKAGES = ("asteroid==0.7.0", "requests")


def environment(folder: Path) -> Path:
    """The Python of the environment, which is made where it is missing; some 2 GB.

    Raises:
        UserError: It cannot be made: no network, no wheel for this machine.
    """
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    ready = folder / ".ready"
    if ready.exists():
        return python
    print(f"installing {PACKAGES[0]} into {folder} (a few minutes, once)", flush=True)
    same = [f"{each.__name__}=={each.__version__.split('+')[0]}" for each in (torch, torchaudio)]
    try:
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(str(python), "-m", "pip", "install", "-q", *PACKAGES, *same)
        (package,) = folder.glob("[Ll]ib/**/site-packages/torchaudio")
        remove_cuda_extension(package, torch.version.cuda)
        _run(str(python), "-c", "import asteroid.models")
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise UserError(
            f"{PACKAGES[0]} cannot be installed: {said.strip().splitlines()[-1]}"
        ) from None
    ready.touch()
    return python


def _run(*command: str) -> None:
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run(command, check=True, text=True, capture_output=True, env=own)


@contextmanager
def steps(python: Path, batch: int, samples: int) -> Iterator[Callable[[], float]]:
    """A call that makes one training step there and gives its seconds of the processor."""
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    worker = subprocess.Popen(
        [str(python), str(Path(__file__).with_name("asteroid_worker.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=own,
    )

    def ask(line: str) -> float:
        worker.stdin.write(line + "\n")
        worker.stdin.flush()
        answer = worker.stdout.readline()
        if not answer:
            raise UserError("asteroid's DCUNet has ended without an answer")
        return float(answer)

    try:
        ask(f"{batch} {samples}")
        yield lambda: ask("step")
    finally:
        worker.stdin.close()
        worker.wait()
