"""Run the notebooks of the report that are out of date, in order; keep complete runs only.

A run is made in <notebook>.partial and takes the place of the previous one only when it is complete
and checked; a failed or interrupted run leaves the previous one unchanged and can be resumed.
"""

from __future__ import annotations

import datetime
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TextIO

from denoise_lib.errors import UserError
from denoise_lib.files import locked, read_json, to_disk, write_json
from denoise_lib.paths import ROOT, runs_folder
from denoise_lib.progress import say
from denoise_lib.report import provenance
from denoise_lib.report.execution import Kernels, NotebookError, execute, refresh_prose
from denoise_lib.report.parameters import (
    cell_parameters,
    declared,
    given_values,
    names,
    profile_values,
    read_notebook,
)
from denoise_lib.report.progress import RunProgress
from denoise_lib.report.together import Plan, run_all, shared_cores, threads_each

# What a run writes by itself; a resumed one begins without them.
OWN_FILES = ("results.json", "progress.jsonl")


def report(profile: str = "quick", root: Path = ROOT, jobs: int = 1) -> Path:
    """Run every numbered notebook whose results are missing or out of date, then build the page.

    Args:
        jobs: How many notebooks run at once, where they do not need each other.

    Returns:
        Path of the page.

    Raises:
        UserError: There is no such profile, a parameter is wrong, or a notebook failed; notebooks
            that came to their end before or beside it keep their finished runs.
    """
    study = Study(profile, root, jobs)
    with study.alone():
        ran = []

        def run(name: str) -> None:
            # What stands before it has been run by now, and may have come out as it was.
            if study.out_of_date(name):
                ran.append(name)
                study.run(name, plan)

        plan = study.plan(study.stale())
        run_all(plan, run, study.kernels.stop)
        count = len(study.names)
        print(f"{count - len(ran)} of {count} notebooks were up to date already")
        return study.build_page()


def notebook(
    name: str, parameters: dict[str, Any] | None = None, profile: str = "quick", root: Path = ROOT
) -> Path:
    """Run one notebook again, with other parameters if given, then rebuild the page.

    Runs that it needs are made first where they are missing; where they exist they are used as they
    are, with whatever parameters they were made.

    Args:
        name: Such as "04_dcunet".
        parameters: {name: text or value}, texts read as papermill reads them; they go before the
            profile's values.

    Returns:
        Path of the page.

    Raises:
        UserError: The notebook or a parameter is unknown, a value has the wrong type, or the run
            failed.
    """
    study = Study(profile, root)
    study.override(name, parameters or {})
    with study.alone():
        return _notebook(study, name)


def page(profile: str = "quick", root: Path = ROOT) -> Path:
    """Build the page from the runs that are finished; returns its path."""
    study = Study(profile, root)
    with study.alone():
        return study.build_page()


def _notebook(study: Study, name: str) -> Path:
    """Run one notebook with what it needs, and build the page; the lock is held."""
    for other in study.names:
        if other != name and study.record(other) and "reached" not in study.record(other):
            again = "make report"
            again += f" PROFILE={study.profile}" if study.profile != "quick" else ""
            raise UserError(f"{other} was run by an earlier version: run `{again}` first")
    todo = [other for other in study.upstream(name) if not study.record(other)] + [name]
    plan = study.plan(todo)
    run_all(plan, lambda each: study.run(each, plan), study.kernels.stop)
    return study.build_page()


class Study:
    """The notebooks of one clone under one profile, and their runs.

    Args:
        profile: Name of a file in notebooks/profiles.
        root: Folder of the clone.
        jobs: How many notebooks run at once; they share the cores.
        build: Folder of the runs; that of the profile in the clone when left out.
        stream: Where progress is shown, standard output when left out.

    Raises:
        UserError: There is no such profile, or something is wrong with a notebook or the profile.
    """

    def __init__(
        self,
        profile: str,
        root: Path = ROOT,
        jobs: int = 1,
        build: Path | None = None,
        stream: TextIO | None = None,
    ) -> None:
        if jobs < 1:
            raise UserError(f"--jobs must be 1 or more, got {jobs}")
        self.root, self.profile, self.jobs = Path(root), profile, jobs
        self.kernels = Kernels(shared_cores(jobs))
        self.folder = self.root / "notebooks"
        self.build, self.stream = build or runs_folder(profile, self.root), stream
        self.names = names(self.folder)
        self.notebooks = {name: read_notebook(self.folder, name) for name in self.names}
        self.known = {name: cell_parameters(node, name) for name, node in self.notebooks.items()}
        self.values = profile_values(self.folder, profile, self.known)
        self.sources = provenance.sources(self.root)
        self.damaged: set[str] = set()  # notebooks whose finished run cannot be read
        for index, name in enumerate(self.names):
            for other in self.needs(name):
                if other not in self.names[:index]:
                    raise UserError(f"{name} needs {other!r}, which is no notebook before it")

    def alone(self) -> AbstractContextManager[None]:
        """The lock of this clone's runs and page; another command on them waits until it is free.

        One for all profiles, since they share one page.
        """
        return locked(self.build.parent / ".lock", "making a report in this clone")

    def needs(self, name: str) -> list[str]:
        """Notebooks whose runs this one reads, from its metadata."""
        return declared(self.notebooks[name], "needs", [])

    def upstream(self, name: str) -> list[str]:
        """Every notebook that `name` needs, directly or not, in order."""
        found = set(self.needs(name)).union(*(self.upstream(other) for other in self.needs(name)))
        return [other for other in self.names if other in found]

    def override(self, name: str, texts: dict[str, Any]) -> None:
        """Set parameters of one notebook from {name: text or value}."""
        if name not in self.known:
            raise UserError(f"there is no notebook {name!r}; there are {', '.join(self.names)}")
        self.values.setdefault(name, {}).update(given_values(texts, self.known[name], name))

    def parameters(self, name: str) -> dict[str, Any]:
        """Effective values: the notebook's, then the profile's, then the reader's; never `out`."""
        own = {key: parameter.default for key, parameter in self.known[name].items()}
        values = {**own, **self.values.get(name, {}), "profile": self.profile}
        values.pop("out", None)
        return values

    def record(self, name: str) -> dict[str, Any]:
        """run.json of the finished run; {} where there is none, or where it is damaged."""
        path = self.build / name / "run.json"
        if not path.exists():
            return {}
        try:
            record, _ = (_read_dict(each) for each in (path, path.with_name("results.json")))
        except UserError as error:
            if name not in self.damaged:
                say(f"{error}; {name} has to run again")
            self.damaged.add(name)
            return {}
        return record

    def fingerprint(
        self,
        name: str,
        upstream: dict[str, str | None],
        reached: Iterable[str],
        sources: dict[str, str] | None = None,
    ) -> str:
        """The fingerprint of a run of `name` now.

        Args:
            upstream: Fingerprints of the runs that it needs, and perhaps of others.
            reached: The sources that count.
            sources: Their digests; those of when this study was made when left out.
        """
        values = self.parameters(name)
        needs = {other: upstream[other] for other in self.needs(name)}
        corpora = provenance.corpora_digests(values)
        return provenance.fingerprint(
            self.notebooks[name], values, sources or self.sources, reached, corpora, needs
        )

    def out_of_date(self, name: str, upstream: dict[str, str | None] | None = None) -> bool:
        """Whether a run of `name` now would depend on something else than its last one did.

        Args:
            upstream: Fingerprints of the runs before it; those of the finished ones when left out.
        """
        record = self.record(name)
        if upstream is None:
            upstream = {other: self.record(other).get("fingerprint") for other in self.needs(name)}
        if "reached" not in record:  # no run, or one of an earlier version
            return True
        return record["fingerprint"] != self.fingerprint(name, upstream, record["reached"])

    def stale(self) -> list[str]:
        """Notebooks to run, in order: those out of date, or that would be after the ones before."""
        now: dict[str, str | None] = {}
        found = []
        for name in self.names:
            if self.out_of_date(name, now):
                found.append(name)
            reached = self.record(name).get("reached")
            now[name] = self.fingerprint(name, now, reached) if reached else None
        return found

    def plan(self, todo: list[str]) -> Plan:
        """The order of these notebooks, which are to be run."""
        needs = {name: [each for each in self.upstream(name) if each in todo] for name in todo}
        return Plan(needs, {name: self.seconds(name) for name in todo}, self.jobs)

    def run(self, name: str, plan: Plan) -> None:
        """Run one notebook, whose needs have been run, and put the run in its place.

        Args:
            plan: Knows what else is to be run, for the time left.

        Raises:
            UserError: The notebook failed; its executed part is kept as <name>.failed.ipynb.
            KeyboardInterrupt: The kernels have been stopped.
        """
        values = self.parameters(name)
        # Everything is recorded as it is before the run: edits meanwhile belong to the next one.
        sources = self.sources = provenance.sources(self.root)
        upstream = {other: self.record(other)["fingerprint"] for other in self.needs(name)}
        record = {
            "notebook": name,
            "profile": self.profile,
            "parameters": values,
            "corpora": provenance.corpora_digests(values),
            "needs": upstream,
        }
        record["commit"], record["dirty"] = provenance.commit(self.root)
        partial, final = self.build / f"{name}.partial", self.build / name
        # What it will reach is not known yet: only with everything alike it is the same run again.
        threads = threads_each(self.jobs)
        _prepare(partial, f"{self.fingerprint(name, upstream, sources, sources)} {threads}")
        target = partial / "executed.ipynb"
        # Relative, since the executed notebook is published and need not tell of this machine.
        out = Path(os.path.relpath(partial, self.folder)).as_posix()
        attempts = _Attempts(partial)
        progress = RunProgress(name, self.names, partial / "progress.jsonl", plan.left, self.stream)
        try:
            with progress:
                execute(self.folder / f"{name}.ipynb", target, {**values, "out": out}, self.kernels)
            written = read_json(partial / "results.json")
            reached = provenance.reached(written)
            record |= {
                "fingerprint": self.fingerprint(name, upstream, reached, sources),
                "reached": reached,
                "corpora": provenance.corpora_read(record["corpora"], written),
                "precisions": written.get("precisions", []),
                "seconds": round(attempts.seconds(), 1),
                "finished": datetime.datetime.now().astimezone().isoformat("T", "seconds"),
                "peak_memory_mib": written["peak_memory_mib"],
                "threads": written["threads"],
                "machine": provenance.machine(),
                "versions": provenance.versions(),
            }
            write_json(partial / "run.json", record)
            # The worst a crash between these two lines can do is to make this notebook run again.
            for written_file in partial.rglob("*"):
                to_disk(written_file)
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
            to_disk(self.build)
        except NotebookError as error:
            if self.kernels.stopped.is_set():
                raise KeyboardInterrupt from error
            failed = final / f"{name}.failed.ipynb"
            failed.parent.mkdir(exist_ok=True)
            target.replace(failed)
            raise UserError(f"{name} failed: {error}; see {os.path.relpath(failed)}") from error

    def seconds(self, name: str) -> float | None:
        """Seconds a notebook took with the same parameters, here or where docs/ was made.

        None when that is unknown.
        """
        published = self.root / "docs" / "results.json"
        past = read_json(published)["provenance"] if published.exists() else {}
        record, values = self.record(name), self.parameters(name)
        if record.get("parameters") == values:
            return record["seconds"]
        same = past.get("parameters", {}).get(name) == values
        return past["seconds"][name] if same else None

    def build_page(self) -> Path:
        """Bring the prose of finished runs up to date and build the page; returns its path."""
        from denoise_lib.report import page  # only here: nbconvert takes its time to load

        for name in self.names:
            if self.record(name):
                refresh_prose(self.build / name / "executed.ipynb", self.notebooks[name])
        return page.build(self.profile, root=self.root)


def _read_dict(path: Path) -> dict[str, Any]:
    """A JSON file that holds a dict; raises UserError otherwise."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise UserError(f"{path} is not what a run leaves")
    return found


class _Attempts:
    """How long a run has taken, with its attempts that were interrupted.

    How long a killed one took is told by the last file that it wrote.

    Args:
        partial: Folder of the run.
    """

    def __init__(self, partial: Path) -> None:
        path = partial / "attempts.json"
        try:
            past = read_json(path)
            written = [each.stat().st_mtime for each in partial.rglob("*") if each != path]
            self.before = past["seconds"] + max(0.0, max(written) - past["began"])
        except (UserError, OSError, KeyError, TypeError, ValueError):  # the first, or damaged
            self.before = 0.0
        self.start = time.monotonic()
        write_json(path, {"seconds": self.before, "began": time.time()})

    def seconds(self) -> float:
        """Seconds of all attempts until now."""
        return self.before + time.monotonic() - self.start


def _prepare(partial: Path, fingerprint: str) -> None:
    """Make the folder of a run; what an interrupted run left is kept if this is the same run again.

    Trainings then go on from their checkpoints, which gives what an uninterrupted one gives: with
    another number of threads it would not, to the last bit, so it counts too.
    """
    mark = partial / "fingerprint"
    if not (mark.exists() and mark.read_text(encoding="utf-8") == fingerprint):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        mark.write_text(fingerprint, encoding="utf-8")
    for name in OWN_FILES:
        (partial / name).unlink(missing_ok=True)
