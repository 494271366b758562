"""Write the locks with the hashes of the versions they pin.

    python tools/lock.py

A version is changed by hand in requirements.lock or requirements-build.lock, and then this is run.
It needs `uv` on the path. Hashes are those of all files that PyPI has of a version: one lock serves
every platform and Python. What a torch built for CUDA needs on Linux, which torch pins itself, goes
into requirements-cuda.lock. The version and hashes of requirements-cpu.lock are changed by hand:
they are those of torch's index.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = (
    *("uv", "pip", "compile", "--universal", "--python-version=3.11", "--generate-hashes"),
    *("--no-config", "--no-header", "--no-annotate", "--quiet"),
)
CUDA = re.compile(r"(cuda|nvidia|triton)\b")


def compiled(pins: str, *options: str) -> list[str]:
    """One entry for each package, its lines joined, of what these pins come to."""
    told = subprocess.run(
        [*UV, *options, "-"], input=pins, check=True, capture_output=True, text=True
    ).stdout
    return re.findall(r"^[^#\s](?:.*\\\n)*.*\n", told, re.MULTILINE)


def pins(name: str) -> str:
    """The versions that a lock pins, one a line, without their hashes."""
    lines = (ROOT / name).read_text().splitlines()
    kept = [line.rstrip(" \\") for line in lines if "==" in line and not line.startswith("#")]
    return "\n".join(kept)


def write(name: str, entries: list[str]) -> None:
    """Write a lock under the comment that it has."""
    path = ROOT / name
    comment = [line for line in path.read_text().splitlines(True) if line.startswith("#")]
    path.write_text("".join([*comment, *entries]))


if __name__ == "__main__":
    for name in ("requirements.lock", "requirements-build.lock"):
        write(name, compiled(pins(name), "--no-deps"))
    brought = compiled(pins("requirements.lock"))
    write("requirements-cuda.lock", [each for each in brought if CUDA.match(each)])
