"""Where the cells of a sweep run: processes of this machine, a Dask scheduler, or SLURM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denoise_lib.errors import UserError
from denoise_lib.report.provenance import machine

if TYPE_CHECKING:
    from distributed import Client

LOCAL = "127.0.0.1"
DIED = 3  # workers that a cell may take with it before it counts as failed
ANSWERS = "30s"  # how long a scheduler of the user's may take to answer


@contextmanager
def connected(jobs: int, scheduler: str = "", slurm: bool = False) -> Iterator[Client]:
    """A client of the cluster, for as long as a ``with`` block lasts.

    The local cluster listens on the loopback interface alone, and takes in only its own processes
    and this one, by certificates that are made for it.

    Args:
        jobs: Processes to start: on this machine, or as jobs of SLURM.
        scheduler: Address of a running Dask scheduler, such as tcp://10.0.0.1:8786.
        slurm: Start the processes with sbatch, as dask-jobqueue's own settings say.

    Raises:
        UserError: A package is missing, or the cluster cannot be reached or started.
    """
    if scheduler and slurm:
        raise UserError("give --scheduler or --slurm, not both")
    dask, distributed = _packages()
    # A process that is killed, for want of memory, say, takes its cell with it a few times at most.
    # A busy machine may take a minute until its processes have begun.
    patient = {f"distributed.comm.timeouts.{each}": "120s" for each in ("connect", "tcp")}
    with dask.config.set({"distributed.scheduler.allowed-failures": DIED, **patient}):
        if scheduler:
            with _client(distributed, scheduler) as client:
                yield client
            return
        with _slurm(dask, jobs) if slurm else _local(distributed, jobs) as cluster:
            with _client(distributed, cluster) as client:
                yield client


def results(
    client: Client, work: Callable[[Any], None], jobs: dict[str, Any]
) -> Iterator[tuple[str, str]]:
    """Do work on the cluster; give (name, what went wrong or "") as each comes to its end.

    Where a process dies, its work is begun again on another one.

    Args:
        work: Takes one of the jobs.
        jobs: {name: job}.
    """
    import distributed

    futures = {client.submit(work, job, pure=False): name for name, job in jobs.items()}
    try:
        for future in distributed.as_completed(futures):
            error = future.exception() if future.status == "error" else None
            if isinstance(error, distributed.KilledWorker):
                error = f"{DIED + 1} processes died that ran it, perhaps for want of memory"
            yield futures[future], str(error or "") or type(error).__name__ * bool(error)
    finally:
        client.cancel(list(futures))


def _packages() -> tuple[Any, Any]:
    try:
        import dask
        import distributed
    except ImportError:
        raise UserError("a sweep needs Dask: pip install 'denoise_lib[sweep]'") from None
    return dask, distributed


def _client(distributed: Any, address: Any) -> Client:
    try:
        return distributed.Client(address, timeout=ANSWERS if isinstance(address, str) else "120s")
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"--scheduler {address}: cannot be reached: {error}") from None


def _local(distributed: Any, jobs: int) -> Any:
    # Each process answers HTTP somewhere, with a dashboard or without: on loopback, at a free port.
    return distributed.LocalCluster(
        n_workers=jobs,
        threads_per_worker=1,
        processes=True,
        host=LOCAL,
        dashboard_address=f"{LOCAL}:0",
        worker_dashboard_address=f"{LOCAL}:0",
        security=True,
        memory_limit=0,  # the notebooks' kernels are processes of their own, which it cannot see
        silence_logs="CRITICAL",  # what went wrong in a run is said once, by `results`
    )


def _slurm(dask: Any, jobs: int) -> Any:
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise UserError("--slurm needs dask-jobqueue: pip install 'denoise_lib[sweep]'") from None
    own = "jobqueue.slurm."
    options = {"dashboard_address": f"{LOCAL}:0"}
    try:
        # A worker runs one cell at a time and has the job's cores to itself; where the scheduler
        # must listen beyond loopback, it takes in only those that have its certificates.
        cluster = SLURMCluster(
            processes=1,
            worker_extra_args=[*dask.config.get(own + "worker-extra-args", []), "--nthreads", "1"],
            scheduler_options={
                **(dask.config.get(own + "scheduler-options", None) or {}),
                **options,
            },
            security=True,
            shared_temp_directory=str(Path.cwd()),  # of the certificates, while it runs
        )
    except ValueError as error:
        said = str(error).splitlines()[0].rstrip(", :")
        raise UserError(
            f"--slurm: {said}; set cores, memory, queue and walltime under jobqueue.slurm in "
            "~/.config/dask/jobqueue.yaml"
        ) from None
    cluster.scale(jobs=jobs)
    return cluster


def usual_jobs() -> int:
    """Processes of the local cluster when no number is given: one for each core and 2 GiB."""
    here = machine()
    return max(1, min(here["cores"] or 1, int((here["memory_gib"] or 2) // 2)))
