"""A sweep: the cells that are not finished run on a cluster, then all are compared."""

from __future__ import annotations

import io
import shlex
import time
from pathlib import Path
from typing import Any

from denoise_lib.errors import UserError
from denoise_lib.files import locked, write_json
from denoise_lib.paths import ROOT
from denoise_lib.report.runner import Study
from denoise_lib.sweep import cluster
from denoise_lib.sweep.cells import Job, link_needs, outcome, run_cell
from denoise_lib.sweep.compare import comparison
from denoise_lib.sweep.grid import Cell, grid, with_values


def sweep(
    notebook: str,
    given: dict[str, list[Any]],
    seeds: int = 1,
    profile: str = "quick",
    out: Path | None = None,
    jobs: int = 0,
    scheduler: str = "",
    slurm: bool = False,
    root: Path = ROOT,
) -> Path:
    """Run a notebook at every point of a grid from every seed, and compare.

    Args:
        notebook: Its name, such as "04_dcunet".
        given: {parameter: values, or texts as papermill reads them}.
        seeds: How many runs of each point.
        profile: Where the other parameters come from.
        out: Folder of the sweep; report/sweeps/<profile>/<notebook> when left out.
        jobs: How many run at once; 0 for one for each core and 2 GiB of memory.
        scheduler: Address of a running Dask scheduler; a cluster on this machine when empty.
        slurm: Start the processes as jobs of SLURM.
        root: Folder of the clone.

    Returns:
        Path of the page; results.json lies beside it.

    Raises:
        UserError: A parameter is wrong, the cluster cannot be had, or runs failed; what is finished
            is kept and compared all the same.
    """
    jobs = jobs or cluster.usual_jobs()
    study = Study(profile, root, jobs, stream=io.StringIO())
    cells = grid(study, notebook, given, seeds)
    out = Path(out or Path(root) / "report" / "sweeps" / profile / notebook).resolve()
    with locked(out / ".lock", f"sweeping in {out}"):
        todo = [cell for cell in cells if _to_do(study, notebook, cell, out)]
        print(f"{len(cells)} runs of {notebook}, {len(cells) - len(todo)} of them finished already")
        errors: dict[str, str] = {}
        try:
            if todo:
                errors = _run(study, notebook, todo, out, jobs, scheduler, slurm)
        finally:
            results = _collect(study, notebook, cells, out, errors)
            results["command"] = _command(notebook, given, seeds, profile)
            write_json(out / "results.json", results)
    return _finish(results, out, errors)


def _to_do(study: Study, notebook: str, cell: Cell, out: Path) -> bool:
    """Whether a cell has to run; the report's runs that it reads are shown to it."""
    own = with_values(study, notebook, cell.values, out / "cells" / cell.folder)
    link_needs(own, study.build, notebook)
    return own.out_of_date(notebook)


def _run(
    study: Study, notebook: str, todo: list[Cell], out: Path, jobs: int, scheduler: str, slurm: bool
) -> dict[str, str]:
    """Run cells on a cluster, a line for each that ends; {cell: what went wrong} of those that did.

    On a cluster of other machines each process has a machine, or what SLURM gives it, to itself.
    """
    alone = bool(scheduler or slurm)
    work = {
        cell.name: Job(
            root=str(study.root.resolve()),
            profile=study.profile,
            notebook=notebook,
            values=cell.values,
            folder=str(out / "cells" / cell.folder),
            jobs=1 if alone else jobs,
        )
        for cell in todo
    }
    errors: dict[str, str] = {}
    began = time.monotonic()
    with cluster.connected(min(jobs, len(todo)), scheduler, slurm) as client:
        for count, (name, error) in enumerate(cluster.results(client, run_cell, work), 1):
            if error:
                errors[name] = error
            left = (time.monotonic() - began) / count * (len(todo) - count) / 60
            end = f", about {left:.0f} min left" if count < len(todo) else ""
            print(f"[{count}/{len(todo)}] {name}  {error or 'done'}{end}", flush=True)
    return errors


def _collect(
    study: Study, notebook: str, cells: list[Cell], out: Path, errors: dict[str, str]
) -> dict[str, Any]:
    """What results.json of a sweep holds; a run that is missing or out of date says so."""
    found = []
    for cell in cells:
        left = {}
        if cell.name not in errors and not _to_do(study, notebook, cell, out):
            left = outcome(out / "cells" / cell.folder, notebook)
        entry = {"name": cell.name, "point": cell.point, "seed": cell.seed}
        entry["folder"] = f"cells/{cell.folder}/{notebook}"
        entry["status"] = "finished" if left else "failed" if cell.name in errors else "missing"
        found.append(entry | {"error": errors.get(cell.name, "")} | left)
    done = [cell for cell in found if cell["status"] == "finished"]
    return {
        "notebook": notebook,
        "profile": study.profile,
        "grid": list(cells[0].point),
        "cells": found,
        "comparison": comparison(done),
    }


def _finish(results: dict[str, Any], out: Path, errors: dict[str, str]) -> Path:
    from denoise_lib.sweep import page  # only here: nbconvert takes its time to load

    path = page.build(results, out / "index.html")
    if errors:
        name, error = next(iter(errors.items()))
        raise UserError(
            f"{len(errors)} of {len(results['cells'])} runs failed, the first: {name}: {error}; "
            f"{path} compares the others"
        )
    return path


def _command(notebook: str, given: dict[str, list[Any]], seeds: int, profile: str) -> str:
    """The command that makes this sweep, as one would type it."""
    command = ["denoise", "sweep", notebook]
    for name, values in given.items():
        command += ["-p", name, *(str(each) for each in values)]
    command += ["--seeds", str(seeds)] if seeds != 1 else []
    command += ["--profile", profile] if profile != "quick" else []
    return shlex.join(command)
