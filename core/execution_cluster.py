"""Work on the machines of a Dask scheduler; dask.distributed is imported only here, when asked for.
"""

from __future__ import annotations

import concurrent.futures
import importlib
import importlib.util
import time
from asyncio import CancelledError
from contextlib import suppress
from typing import Any, Callable, Dict, Iterable, Iterator, List, Tuple

from .errors import DependencyError, FurrowError, WorkerError
from .monitor import SILENT, Monitor

PACKAGE = "distributed"
_CONNECT_SECONDS = 5
_CLOSE_SECONDS = 1
_WORKER_SECONDS = 30.0
"""How long a scheduler may be without workers."""
_ASKED_SECONDS = 2.0
"""How often it is asked how many there are."""
_POLL_SECONDS = 0.1
_LOST = (OSError, TimeoutError, CancelledError, concurrent.futures.CancelledError)
"""What a client raises whose scheduler is gone."""
_JOBS_EACH = 2
"""So many jobs a worker has at a time, so that it never waits for the next."""


def require_distributed() -> None:
    """:raises DependencyError: dask.distributed is not installed here."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise DependencyError(
            "WORKERS: an address needs the Python package distributed (Dask), which is not "
            "installed; install it in QGIS' Python or give a number of workers."
        )


def run_on_cluster(
    work: Callable[[Any, Monitor], Any],
    jobs: Iterable[Any],
    address: str,
    monitor: Monitor,
    total: int,
) -> Iterator[Tuple[int, Any]]:
    """Do all jobs on the workers of a scheduler, see :func:`.execution.run`.

    :raises DependencyError: dask.distributed is not installed.
    :raises WorkerError: scheduler or workers cannot be reached, or cannot do the work.
    :raises Cancelled:
    """
    require_distributed()
    cluster = _Cluster(address, monitor)
    try:
        yield from _results(cluster, work, jobs, monitor, total)
    finally:
        cluster.close()


def _results(
    cluster: _Cluster,
    work: Callable[[Any, Monitor], Any],
    jobs: Iterable[Any],
    monitor: Monitor,
    total: int,
) -> Iterator[Tuple[int, Any]]:
    left, done = enumerate(jobs), 0
    running: Dict[int, Any] = {}
    while done < total:
        while len(running) < _JOBS_EACH * max(1, cluster.threads):
            place, job = next(left, (-1, None))
            if place < 0:
                break
            running[place] = cluster.submit(work, job)
        if not running:
            return
        for place in cluster.finished(running, monitor):
            yield place, cluster.result(running.pop(place))
            done += 1
        monitor.progress(done / total)


class _Cluster:
    """A client of a scheduler that never waits longer than a moment."""

    def __init__(self, address: str, monitor: Monitor) -> None:
        """Connect and wait for a worker.

        :raises WorkerError: there is no scheduler, or it has no worker.
        :raises Cancelled:
        """
        self._address = address
        self._distributed = importlib.import_module(PACKAGE)
        try:
            self._client = self._distributed.Client(
                address, timeout=_CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, ValueError, TimeoutError) as error:
            raise WorkerError(
                f"WORKERS: no Dask scheduler answers at {address}; start one or give a number of "
                "workers."
            ) from error
        self.threads = 0
        """Jobs that all workers can do at a time."""
        self._asked = self._seen = time.monotonic()
        self._count()
        while not self.threads:
            monitor.check()
            time.sleep(_POLL_SECONDS)
            self._look()

    def submit(self, work: Callable[[Any, Monitor], Any], job: Any) -> Any:
        """Hand a job to the scheduler."""
        return self._client.submit(_without_monitor, work, job, pure=False, retries=0)

    def finished(self, running: Dict[int, Any], monitor: Monitor) -> List[int]:
        """Wait until jobs are done; their places.

        :raises WorkerError: scheduler or workers are gone.
        :raises Cancelled:
        """
        while True:
            monitor.check()
            self._look()
            done = [place for place, future in running.items() if future.done()]
            if done:
                return done
            time.sleep(_POLL_SECONDS)

    def result(self, future: Any) -> Any:
        """What a job gave.

        :raises FurrowError: it failed.
        """
        if future.status == "finished":
            try:
                return future.result(timeout=_CONNECT_SECONDS)
            except _LOST as error:
                raise self._gone() from error
        if future.status != "error":
            raise self._gone()
        try:
            failure = future.exception(timeout=_CONNECT_SECONDS)
        except _LOST as error:
            raise self._gone() from error
        if isinstance(failure, FurrowError):
            raise failure
        if isinstance(failure, ImportError):
            raise WorkerError(
                f"WORKERS: the workers of {self._address} lack a package ({failure}); install "
                "numpy, scipy, onnxruntime and rasterio there and put the folder that holds the "
                "plugin on their PYTHONPATH."
            )
        raise WorkerError(
            f"WORKERS: a worker of {self._address} failed with "
            f"{type(failure).__name__}: {_first_line(failure)}; run again to go on from the tiles "
            "that are done."
        )

    def close(self) -> None:
        """Take back what is not done and leave."""
        with suppress(*_LOST):
            if self._client.status == "running":
                self._client.cancel(list(self._client.futures), asynchronous=False)
            self._client.close(timeout=_CLOSE_SECONDS)

    def _look(self) -> None:
        """:raises WorkerError: the scheduler is gone, or has had no worker for long."""
        if self._client.status != "running":
            raise self._gone()
        now = time.monotonic()
        if now - self._asked > _ASKED_SECONDS:
            self._count()
        if now - self._seen > _WORKER_SECONDS:
            raise WorkerError(
                f"WORKERS: the Dask scheduler at {self._address} has no workers; start some and "
                "run again to go on from the tiles that are done."
            )

    def _count(self) -> None:
        """:raises WorkerError: the scheduler is gone."""
        self._asked = time.monotonic()
        try:
            self.threads = sum(self._client.nthreads().values())
        except _LOST as error:
            raise self._gone() from error
        if self.threads:
            self._seen = self._asked

    def _gone(self) -> WorkerError:
        return WorkerError(
            f"WORKERS: the Dask scheduler at {self._address} does not answer any more; run again "
            "when it is back, to go on from the tiles that are done."
        )


def _without_monitor(work: Callable[[Any, Monitor], Any], job: Any) -> Any:
    """What a worker runs; nobody there listens to progress."""
    return work(job, SILENT)


def _first_line(failure: BaseException) -> str:
    lines = str(failure).strip().splitlines()
    return (lines[0] if lines else "")[:200].rstrip(".")
