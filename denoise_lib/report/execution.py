"""Execute one notebook with papermill, and check that its run is complete."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import nbformat
import papermill
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbformat import NotebookNode
from traitlets import default

from denoise_lib.files import atomic

# Papermill's own account of a failure would repeat ours, in thirty lines.
logging.getLogger("papermill").setLevel(logging.CRITICAL)

# Bytes: a Unix socket's path has 107 at most, of which some are for its name in the folder.
LONGEST_SOCKET_FOLDER = 80


class NotebookError(Exception):
    """A notebook raised, lost its kernel, or did not come to its proper end; one line says why."""


class Kernels:
    """Starts the kernels of notebooks, and ends those that run, from any thread.

    Args:
        environment: Variables that they get beside those of this process.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        self.environment = environment or {}
        self.stopped = threading.Event()
        self.running: set[AsyncKernelManager] = set()

    def stop(self) -> None:
        """Kill every kernel, and let none begin."""
        self.stopped.set()
        for manager in list(self.running):
            self._kill(manager)

    def manager(self, log: BinaryIO, folder: Path, private: Path) -> type[AsyncKernelManager]:
        """Kernel manager class that knows one kernel, the running interpreter.

        A kernel "python3" installed elsewhere on the machine would otherwise win and run the
        notebooks with other packages.

        It is spoken to through Unix sockets, where there are any. Of TCP ports, Jupyter picks free
        ones which the kernel takes a second later: where another process has taken one meanwhile,
        the kernel never answers.

        Args:
            log: Open file for what the kernel process itself has to say (crashes, notes at its
                start and end); what a notebook prints goes another way.
            folder: Where the kernel works. Papermill would change the folder of this process,
                which all threads share.
            private: Empty folder that only this user can enter, for the sockets.
        """
        kernels = self
        unix = hasattr(socket, "AF_UNIX") and len(os.fsencode(private)) <= LONGEST_SOCKET_FOLDER

        class ThisPython(AsyncKernelManager):
            @default("kernel_spec_manager")
            def _only_the_native_kernel(self) -> KernelSpecManager:
                return KernelSpecManager(kernel_dirs=[])

            @default("transport")
            def _sockets_or_ports(self) -> str:
                return "ipc" if unix else "tcp"

            @default("connection_file")
            def _beside_the_sockets(self) -> str:
                return str(private / "kernel.json")

            async def start_kernel(self, **options: Any) -> None:
                if kernels.stopped.is_set():
                    raise RuntimeError("stopped")
                own = _without_settings(os.environ, Path(log.name).parent) | kernels.environment
                options |= {"stderr": log, "cwd": str(folder), "env": own}
                await super().start_kernel(**options)
                kernels.running.add(self)
                if kernels.stopped.is_set():  # meanwhile
                    kernels._kill(self)

        return ThisPython

    def _kill(self, manager: AsyncKernelManager) -> None:
        process = getattr(manager.provisioner, "process", None)
        if process is not None and process.poll() is None:
            process.kill()


def _without_settings(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """An environment without what the user has set for Python, IPython and matplotlib.

    Start-up files would run in the notebooks, and another style of figures would be on the page.

    Args:
        folder: Where IPython may keep what it likes.
    """
    theirs = ("PYTHONSTARTUP", "MPLBACKEND", "MATPLOTLIBRC", "IPYTHONDIR")
    own = {name: value for name, value in environment.items() if name not in theirs}
    data = Path(importlib.util.find_spec("matplotlib").origin).parent / "mpl-data"
    return own | {
        "IPYTHONDIR": str(folder / ".ipython"),
        "MATPLOTLIBRC": str(data / "matplotlibrc"),  # the one that matplotlib comes with
    }


def execute(
    source: Path, target: Path, parameters: dict[str, Any], kernels: Kernels | None = None
) -> None:
    """Run a notebook from its own folder and check that it is a complete run.

    Args:
        source: Path of the notebook.
        target: Path for the executed copy, in the folder of the run; written cell by cell and kept
            when the run fails.
        parameters: {name: value} to inject.
        kernels: Starts its kernel; for others to end it.

    Raises:
        NotebookError: With the last line of what went wrong.
    """
    source, target, kernels = Path(source).resolve(), Path(target).resolve(), kernels or Kernels()
    try:
        # The time limits are for a kernel on a busy machine, not for the work: cells have none.
        with (
            open(target.with_name("kernel.log"), "wb") as log,
            tempfile.TemporaryDirectory(prefix="kernel-", ignore_cleanup_errors=True) as private,
        ):
            papermill.execute_notebook(
                source,
                target,
                parameters,
                kernel_name="python3",
                kernel_manager_class=kernels.manager(log, source.parent, Path(private)),
                progress_bar=False,
                start_timeout=120,
                iopub_timeout=60,
            )
    except papermill.PapermillExecutionError as error:
        raise NotebookError(f"{error.ename}: {_last_line(error.evalue)}") from None
    except RuntimeError as error:  # DeadKernelError and its kin
        raise NotebookError(_last_line(error) or type(error).__name__) from None
    finally:
        shutil.rmtree(target.parent / ".ipython", ignore_errors=True)
    check(nbformat.read(target, as_version=4), target.parent)


def check(executed: NotebookNode, folder: Path) -> None:
    """Raise NotebookError unless an executed notebook is a complete run.

    It may hold no error and no exception mark of papermill, and its last cell must have written
    the run's results: a notebook can stop early without failing, by `sys.exit(0)` for one.
    """
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    errors = [output for output in outputs if output.output_type == "error"]
    if errors:
        raise NotebookError(f"{errors[0].ename}: {_last_line(errors[0].evalue)}")
    if executed.metadata.get("papermill", {}).get("exception"):
        raise NotebookError("papermill noted an exception")
    if not (folder / "results.json").exists():
        raise NotebookError("it ended without results: its last cell must be `run.finish()`")


def refresh_prose(path: Path, notebook: NotebookNode) -> None:
    """Take the prose of an executed notebook from the notebook as it is now, outputs from the run.

    Prose does not count for the fingerprint, so it may have changed since the run. Where the code
    has changed too, the executed notebook stays as it was: it shows what was run.
    """
    executed = nbformat.read(path, as_version=4)
    injected = [cell for cell in executed.cells if _tagged(cell, "injected-parameters")]
    done = [cell for cell in executed.cells if cell.cell_type == "code" and cell not in injected]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [cell.source for cell in code] != [cell.source for cell in done]:
        return
    cells = []
    for cell in notebook.cells:
        cells.append(done.pop(0) if cell.cell_type == "code" else cell)
        if _tagged(cell, "parameters"):
            cells += injected
    if [cell.source for cell in cells] != [cell.source for cell in executed.cells]:
        executed.cells = cells
        with atomic(path) as temporary:
            nbformat.write(executed, temporary)


def _tagged(cell: NotebookNode, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def _last_line(text: object) -> str:
    lines = str(text).strip().splitlines()
    return lines[-1] if lines else ""
