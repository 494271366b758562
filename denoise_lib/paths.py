"""Where things lie: the folders of a clone, of a run, and of the user's cache."""

import os
from pathlib import Path

import platformdirs

ROOT = Path(__file__).resolve().parents[1]  # the clone that this library belongs to
PRETRAINED = Path(__file__).resolve().parent / "pretrained"
NOTEBOOKS = ROOT / "notebooks"
TEMPLATE = ROOT / "report" / "template"


def runs_folder(profile: str, root: Path = ROOT) -> Path:
    """Folder that holds the runs of one profile, one sub-folder for each notebook."""
    return Path(root) / "report" / "build" / profile


def run_folder(notebook: str, profile: str, out: str = "") -> Path:
    """Folder of a notebook's run: ``out`` if given, else report/build/<profile>/<notebook>."""
    return Path(out) if out else runs_folder(profile) / notebook


def cache_folder() -> Path:
    """Where packages, decoded corpora and scores are kept: DENOISE_DATA, else the user's cache."""
    own = os.environ.get("DENOISE_DATA")
    return Path(own).expanduser() if own else Path(platformdirs.user_cache_dir("denoise_lib"))
