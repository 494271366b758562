"""Make two reports in two bare clones of the last commit, and compare their numbers.

Each clone sets up its own environment, as `make report` does from a bare checkout; with --shared
both use this one's packages with their own code. Scores are computed anew in each clone; packages
and corpora are those of the cache. What is compared stays in report/verify; the clones go, unless
something failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from denoise_lib import cli
from denoise_lib.paths import ROOT, cache_folder

KEPT = ROOT / "report" / "verify"
SCORES = "scores"  # the part of the cache that would give the second report the first one's numbers


def main() -> None:
    """Make both reports, and end with the status of `denoise verify`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--profile", default="quick", help="smoke, quick or full")
    parser.add_argument("--tolerance", type=float, default=0.0, help="of `denoise verify`")
    parser.add_argument("--shared", action="store_true", help="use this environment's packages")
    parser.add_argument("notebooks", nargs="*", help="run these alone; all when there are none")
    options = parser.parse_args()
    if _git("status", "--porcelain", "--", "denoise_lib", "notebooks", "requirements.lock"):
        print("verify: what is not committed is left out", file=sys.stderr)
    work = Path(tempfile.mkdtemp(prefix="denoise-verify-"))
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    clones = [work / name for name in ("one", "two")]
    for clone in clones:  # both at once: of the same commit, whatever is committed meanwhile
        _git("clone", "--quiet", str(ROOT), str(clone))
    for clone in clones:
        name = clone.name
        environment = os.environ | {
            "DENOISE_DATA": str(cache_without_scores(work / f"data {name}"))
        }
        for command in commands(clone, options):
            if subprocess.run(
                command, cwd=clone, env=environment | own_code(clone, options)
            ).returncode:
                sys.exit(f"verify: {' '.join(command)} failed in {clone}, which is kept")
        shutil.copyfile(clone / "report" / "results.json", KEPT / f"{name}.json")
    shutil.rmtree(work)
    files = [str(KEPT / f"{name}.json") for name in ("one", "two")]
    cli.main(["verify", *files, "--tolerance", str(options.tolerance)])


def commands(clone: Path, options: argparse.Namespace) -> list[list[str]]:
    """What makes the report in a clone."""
    denoise = [sys.executable, "-m", "denoise_lib.cli"]
    profile = ["--profile", options.profile]
    if not options.shared:
        denoise = [str(clone / ".venv" / "bin" / "denoise")]
    made = [[*denoise, "notebook", name, *profile] for name in options.notebooks]
    if options.shared:
        return made or [[*denoise, "report", *profile]]
    base = getattr(sys, "_base_executable", sys.executable)
    make = ["make", f"PYTHON={base}", f"PROFILE={options.profile}"]
    return [[*make, ".venv/.ready"], *made] if made else [[*make, "report"]]


def own_code(clone: Path, options: argparse.Namespace) -> dict[str, str]:
    """The variable that puts a clone's code before that of the shared environment."""
    return {"PYTHONPATH": str(clone)} if options.shared else {}


def cache_without_scores(folder: Path) -> Path:
    """A cache folder with all of the user's cache, by links, but with no scores in it."""
    folder.mkdir()
    for each in cache_folder().glob("*"):
        if each.is_dir() and each.name != SCORES:
            (folder / each.name).symlink_to(each)
    return folder


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(ROOT), *arguments], check=True, text=True, capture_output=True
    ).stdout


if __name__ == "__main__":
    main()
