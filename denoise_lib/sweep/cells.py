"""Run one cell of a sweep, wherever a process of the cluster does it."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from denoise_lib.errors import UserError
from denoise_lib.files import locked, read_json
from denoise_lib.report.runner import Study


@dataclass(frozen=True)
class Job:
    """What a process needs to know to run one cell; all of it is plain, to be sent.

    Args:
        root: Folder of the clone, as that process sees it.
        profile: Name of the profile.
        notebook: Its name.
        values: {parameter: value} that go before the profile's.
        folder: Folder of the cell: the run is made in folder/<notebook>.
        jobs: How many run at once on one machine, for its share of the cores.
    """

    root: str
    profile: str
    notebook: str
    values: dict[str, Any]
    folder: str
    jobs: int


def run_cell(job: Job) -> None:
    """Run a cell, unless its finished run is up to date; take up one that was interrupted.

    Only one process at a time: where one was given up that still lives, the next waits for it.

    Raises:
        UserError: The notebook failed.
    """
    folder = Path(job.folder)
    with locked(folder / ".lock", f"running {folder.name}"):
        study = Study(job.profile, Path(job.root), job.jobs, folder, io.StringIO())
        study.override(job.notebook, job.values)
        link_needs(study, runs=Study(job.profile, Path(job.root)).build, notebook=job.notebook)
        if study.out_of_date(job.notebook):
            study.run(job.notebook, study.plan([job.notebook]))


def link_needs(study: Study, runs: Path, notebook: str) -> None:
    """Show a cell the report's finished runs that its notebook reads.

    Raises:
        UserError: One of them is missing.
    """
    for other in study.upstream(notebook):
        if not (runs / other / "run.json").exists():
            raise UserError(
                f"{notebook} needs a run of {other}: "
                f"`denoise notebook {other} --profile {study.profile}` makes one"
            )
        link = study.build / other
        if not link.exists():
            link.unlink(missing_ok=True)  # one that points nowhere any more
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(runs / other, link.parent), target_is_directory=True)


def outcome(folder: Path, notebook: str) -> dict[str, Any]:
    """What a finished cell has left: its record and its rows, {} where there is none."""
    run = folder / notebook
    if not (run / "run.json").exists():
        return {}
    record, written = read_json(run / "run.json"), read_json(run / "results.json")
    kept = ("fingerprint", "commit", "dirty", "seconds", "threads", "finished", "machine")
    return {
        **{key: record.get(key) for key in kept},
        "versions": record["versions"],
        "results": written["rows"],
        "measurements": written["measurements"],
    }
