"""Notebooks that do not need each other, run at once: which begins next, how long is left."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from joblib.externals import loky

from denoise_lib.errors import UserError
from denoise_lib.progress import say


def threads_each(jobs: int) -> int | None:
    """Threads that each of `jobs` notebooks computes with, None for what torch takes by itself.

    The cores are divided among the notebooks. OMP_NUM_THREADS, where it is set, counts for each of
    them. It does not depend on how many run at the moment: the last bits of a sum depend on it.
    """
    own = os.environ.get("OMP_NUM_THREADS", "")
    if own.isdigit() and int(own):
        return int(own)
    return None if jobs == 1 else max(1, loky.cpu_count(only_physical_cores=True) // jobs)


def shared_cores(jobs: int) -> dict[str, str]:
    """Variables that hand each of `jobs` notebooks its share of the cores."""
    if jobs == 1:
        return {}
    cores = loky.cpu_count(only_physical_cores=True)
    # The second is for what hears and scores several clips at once. It is twice the share, since
    # the other notebooks seldom do the same at the time, and the last one is alone.
    at_once = max(1, min(cores, 2 * cores // jobs))
    return {"OMP_NUM_THREADS": str(threads_each(jobs)), "LOKY_MAX_CPU_COUNT": str(at_once)}


class Plan:
    """What is to be run, in which order, and what has been done.

    Args:
        needs: {notebook: those among the others that must be done before it}, in order.
        seconds: {notebook: what it took last time}; None when unknown.
        jobs: How many run at once.
        clock: Function of no argument, seconds.
    """

    def __init__(
        self,
        needs: dict[str, list[str]],
        seconds: dict[str, float | None],
        jobs: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.needs, self.seconds, self.jobs, self.clock = needs, seconds, jobs, clock
        self.began: dict[str, float] = {}
        self.done: set[str] = set()
        known = [each for each in seconds.values() if each is not None]
        self.usual = max(sum(known) / len(known), 1.0) if known else 1.0

    def ready(self) -> list[str]:
        """What may begin now, in the order in which it should."""
        return self._ready(set(self.began), self.done)

    def left(self) -> float | None:
        """Seconds until all is done if each takes what it took last time; None when unknown."""
        if any(self.seconds[name] is None for name in self.needs if name not in self.done):
            return None
        began, done, now = set(self.began), set(self.done), 0.0
        ends = {
            name: max(0.0, self.seconds[name] - (self.clock() - self.began[name]))
            for name in began - done
        }
        while True:
            for name in self._ready(began, done)[: max(0, self.jobs - len(ends))]:
                began.add(name)
                ends[name] = now + self.seconds[name]
            if not ends:
                return now
            first = min(ends, key=ends.get)
            now = ends.pop(first)
            done.add(first)

    def _ready(self, began: set[str], done: set[str]) -> list[str]:
        free = [
            name for name, needs in self.needs.items() if name not in began and done >= set(needs)
        ]
        # One at a time, they keep their order; at once, what most waits for goes first.
        return free if self.jobs == 1 else sorted(free, key=self._chain, reverse=True)

    def _chain(self, name: str) -> float:
        """Seconds of the longest chain of notebooks that begins with this one."""
        after = [self._chain(each) for each, needs in self.needs.items() if name in needs]
        return (self.seconds[name] or self.usual) + max(after, default=0.0)


def run_all(plan: Plan, run: Callable[[str], None], stop: Callable[[], None]) -> None:
    """Run what a plan holds, each in a thread of its own.

    When one has failed, no other begins, and those that run come to their end first.

    Args:
        run: Runs one notebook.
        stop: Ends those that run, from another thread; called when this one is interrupted.

    Raises:
        UserError: What each of those that failed has said.
        KeyboardInterrupt: Nothing runs any more, and what was done can be resumed.
    """
    running: dict[Future[None], str] = {}
    failures: dict[str, str] = {}
    pool = ThreadPoolExecutor(plan.jobs, thread_name_prefix="notebook")
    try:
        while True:
            for name in [] if failures else plan.ready()[: plan.jobs - len(running)]:
                plan.began[name] = plan.clock()
                running[pool.submit(run, name)] = name
            if not running:
                break
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                name = running.pop(future)
                try:
                    future.result()
                except UserError as error:
                    failures[name] = str(error)
                    if running:
                        say(f"{error}; still running: {', '.join(running.values())}")
                plan.done.add(name)
    except BaseException:
        stop()
        wait(running)
        raise
    finally:
        pool.shutdown()
    if failures:
        raise UserError("; ".join(failures[name] for name in plan.needs if name in failures))
