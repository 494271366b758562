"""Execute one notebook with papermill and tell a complete run from one that only came to an end."""

import logging
import re
from pathlib import Path

import nbformat
import papermill
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from traitlets import default

from denoise_lib.files import atomic
from denoise_lib.progress import COMPLETE

# Papermill's own account of a failure would repeat ours, in thirty lines.
logging.getLogger("papermill").setLevel(logging.CRITICAL)


class NotebookFailed(Exception):
    """A notebook raised, lost its kernel, or did not come to its proper end; one line says why."""


def this_python(log):
    """Kernel manager class that knows one kernel, the running interpreter.

    A kernel "python3" installed elsewhere on the machine would otherwise win and run the notebooks
    with other packages.

    Args:
        log: open file for what the kernel process itself has to say (crashes, notes at its start
            and end); what a notebook prints goes another way.
    """

    class ThisPython(AsyncKernelManager):
        @default("kernel_spec_manager")
        def _only_the_native_kernel(self):
            return KernelSpecManager(kernel_dirs=[])

        async def start_kernel(self, **options):
            return await super().start_kernel(stderr=log, **options)

    return ThisPython


def execute(source, target, name, parameters, progress):
    """Run a notebook from its own folder and check that it is a complete run.

    Args:
        source: path of the notebook.
        target: path for the executed copy, written cell by cell and kept when the run fails.
        name: of the notebook, as its completion mark says it.
        parameters: {name: value} to inject.
        progress: file-like, takes what the notebook prints.

    Returns:
        The executed notebook.

    Raises:
        NotebookFailed: with the last line of what went wrong.
    """
    source, target = Path(source).resolve(), Path(target).resolve()
    try:
        # The time limits are for a kernel on a busy machine, not for the work: cells have none.
        with open(target.with_name("kernel.log"), "wb") as log:
            papermill.execute_notebook(
                source,
                target,
                parameters,
                kernel_name="python3",
                kernel_manager_class=this_python(log),
                cwd=source.parent,
                progress_bar=False,
                stdout_file=progress,
                start_timeout=120,
                iopub_timeout=60,
            )
    except papermill.PapermillExecutionError as error:
        raise NotebookFailed(f"{error.ename}: {_last_line(error.evalue)}") from None
    except RuntimeError as error:  # DeadKernelError and its kin
        raise NotebookFailed(_last_line(error) or type(error).__name__) from None
    executed = nbformat.read(target, as_version=4)
    check(executed, name)
    return executed


def check(executed, name):
    """Raise NotebookFailed unless an executed notebook is a complete run.

    It may hold no error and no exception mark of papermill, and its last cell must have printed the
    mark of `Run.finish()`: a notebook can stop early without failing, by `sys.exit(0)` for one.
    """
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    errors = [output for output in outputs if output.output_type == "error"]
    if errors:
        raise NotebookFailed(f"{errors[0].ename}: {_last_line(errors[0].evalue)}")
    if executed.metadata.get("papermill", {}).get("exception"):
        raise NotebookFailed("papermill noted an exception")
    mark = COMPLETE.format(name=name)
    if mark not in _last_output(executed).splitlines():
        raise NotebookFailed(f"its last cell did not print {mark!r}")


def peak_memory(executed):
    """Peak resident memory in MiB that `Run.finish()` printed, or None."""
    found = re.search(r"peak memory: (\d+) MiB", _last_output(executed))
    return int(found[1]) if found else None


def refresh_prose(path, notebook):
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


def _tagged(cell, tag):
    return tag in cell.metadata.get("tags", [])


def _last_output(executed):
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    return "".join(output.text for output in code[-1].outputs if output.output_type == "stream")


def _last_line(text):
    lines = str(text).strip().splitlines()
    return lines[-1] if lines else ""
