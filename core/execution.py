"""The one executor of loops over parts of a scene: here, in threads, in processes, on a cluster.

Work is a function of one job. Results come as they are finished, with the position of their job;
whoever needs an order sorts by it. What fails ends the run with one sentence, and what has been
given out until then stays given out.
"""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import Enum
from typing import Callable, Dict, Iterable, Iterator, Set, Tuple, TypeVar

from .errors import ParameterError
from .monitor import Monitor

Job = TypeVar("Job")
Result = TypeVar("Result")
Work = Callable[[Job, Monitor], Result]
"""Called with a job; asks its monitor often whether to go on, from a thread of its own."""

_POLL_SECONDS = 0.1
_MOST_WORKERS = 256
_THREADS = "threads:"


class WorkerKind(Enum):
    """Where work runs."""

    SERIAL = "serial"
    """One job after the other."""
    THREADS = "threads"
    """Several in this process."""
    PROCESSES = "processes"
    """Several, each in a process of its own; the work itself asks the processes."""
    CLUSTER = "cluster"
    """On the machines of a Dask scheduler."""


@dataclass(frozen=True)
class Workers:
    """Who does the work."""

    kind: WorkerKind
    count: int = 1
    """Jobs at a time; a cluster knows its own number."""
    address: str = ""
    """Of the Dask scheduler."""


def parse_workers(text: str) -> Workers:
    """Read "1", "4", "threads:4" or the address of a scheduler such as "tcp://host:8786".

    :raises ParameterError: it is none of these.
    """
    given = text.strip()
    if "://" in given:
        return Workers(WorkerKind.CLUSTER, address=given)
    kind = WorkerKind.THREADS if given.startswith(_THREADS) else WorkerKind.PROCESSES
    number = given[len(_THREADS) :] if kind is WorkerKind.THREADS else given or "1"
    if not number.isdecimal() or not 1 <= int(number) <= _MOST_WORKERS:
        raise ParameterError(
            f"WORKERS: '{text}' is no number from 1 to {_MOST_WORKERS} and no address; write 4, "
            "threads:4 or the address of a Dask scheduler like tcp://host:8786."
        )
    count = int(number)
    return Workers(WorkerKind.SERIAL if count == 1 else kind, count)


def run(
    work: Work, jobs: Iterable[Job], workers: Workers, monitor: Monitor, total: int
) -> Iterator[Tuple[int, Result]]:
    """Do all jobs; each result with the position of its job, as soon as it is there.

    :param work: on a cluster it is sent there, so it must be a function that the machines can
        import, or functools.partial of one.
    :param jobs: taken one by one when there is room, so they may be made on the way.
    :param monitor: told the share done; what it prints comes from this thread.
    :param total: how many jobs there are.
    :raises Cancelled: within a fraction of a second after the user asked.
    :raises WorkerError: the scheduler or its workers cannot be reached any more.
    """
    if workers.kind is WorkerKind.CLUSTER:
        from .execution_cluster import run_on_cluster

        return run_on_cluster(work, jobs, workers.address, monitor, total)
    return _run_in_threads(work, jobs, workers.count, monitor, total)


class Shares:
    """How far jobs are that run side by side; safe for several threads."""

    def __init__(self, total: int) -> None:
        self._total = max(total, 1)
        self._lock = threading.Lock()
        self._done = 0
        self._open: Dict[int, float] = {}

    def set(self, place: int, share: float) -> None:
        """A job has come so far, 0..1."""
        with self._lock:
            self._open[place] = share

    def finish(self, place: int) -> None:
        """A job is done."""
        with self._lock:
            self._open.pop(place, None)
            self._done += 1

    @property
    def share(self) -> float:
        """Of all the work, 0..1."""
        with self._lock:
            return min(1.0, (self._done + sum(self._open.values())) / self._total)


def _run_in_threads(
    work: Work, jobs: Iterable[Job], count: int, monitor: Monitor, total: int
) -> Iterator[Tuple[int, Result]]:
    """Threads also where one job runs at a time: this one stays free to notice a cancel."""
    shares, given_up = Shares(total), threading.Event()

    def one(place: int, job: Job) -> Result:
        inner = Monitor(
            lambda: given_up.is_set() or monitor.cancelled(),
            lambda share: shares.set(place, share),
        )
        return work(job, inner)

    left = enumerate(jobs)
    running: Dict[Future, int] = {}
    pool = ThreadPoolExecutor(count, thread_name_prefix="furrow tile")
    try:
        while True:
            for place, job in _next(left, count - len(running)):
                running[pool.submit(one, place, job)] = place
            if not running:
                return
            for future in _finished(running, monitor, shares):
                place = running.pop(future)
                shares.finish(place)
                yield place, future.result()
            monitor.progress(shares.share)
    finally:
        given_up.set()
        pool.shutdown(wait=False)


def _next(jobs: Iterator[Tuple[int, Job]], count: int) -> Iterator[Tuple[int, Job]]:
    for _ in range(count):
        pair = next(jobs, None)
        if pair is None:
            return
        yield pair


def _finished(running: Dict[Future, int], monitor: Monitor, shares: Shares) -> Set[Future]:
    """Wait until a job is done.

    :raises Cancelled:
    """
    while True:
        done, _ = wait(running, _POLL_SECONDS, FIRST_COMPLETED)
        monitor.check()
        if done:
            return done
        monitor.progress(shares.share)
