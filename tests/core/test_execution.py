"""The executor: results as they come, errors, cancelling."""

from __future__ import annotations

import threading
import time
from typing import Any, Iterator

import pytest

from furrow.core.errors import Cancelled, ParameterError, RasterError
from furrow.core.execution import WorkerKind, Workers, parse_workers, run
from furrow.core.monitor import SILENT, Monitor

SERIAL, THREADS = Workers(WorkerKind.SERIAL), Workers(WorkerKind.THREADS, 3)


def squared(job: int, monitor: Monitor) -> int:
    monitor.progress(0.5)
    time.sleep(0.02 * (5 - job % 5))
    return job * job


@pytest.mark.parametrize(
    ("text", "kind", "count", "address"),
    [
        ("1", WorkerKind.SERIAL, 1, ""),
        ("", WorkerKind.SERIAL, 1, ""),
        (" 4 ", WorkerKind.PROCESSES, 4, ""),
        ("threads:3", WorkerKind.THREADS, 3, ""),
        ("tcp://host:8786", WorkerKind.CLUSTER, 1, "tcp://host:8786"),
    ],
)
def test_workers_are_read(text: str, kind: WorkerKind, count: int, address: str) -> None:
    assert parse_workers(text) == Workers(kind, count, address)


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "many", "threads:", "threads:0", "9999"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="WORKERS: .*tcp://host:8786"):
        parse_workers(text)


@pytest.mark.parametrize("workers", [SERIAL, THREADS])
def test_every_job_gives_its_result_once(workers: Workers) -> None:
    shares: list[float] = []
    monitor = Monitor(progress=shares.append)
    found = dict(run(squared, range(10), workers, monitor, 10))
    assert found == {k: k * k for k in range(10)}
    assert shares == sorted(shares) and shares[-1] == 1


def test_one_at_a_time_keeps_the_order() -> None:
    assert [place for place, _ in run(squared, range(4), SERIAL, SILENT, 4)] == [0, 1, 2, 3]


def test_jobs_are_taken_when_there_is_room() -> None:
    taken: list[int] = []

    def jobs() -> Iterator[int]:
        for k in range(20):
            taken.append(k)
            yield k

    results = run(squared, jobs(), THREADS, SILENT, 20)
    next(results)
    assert len(taken) <= 4
    results.close()


def test_an_error_ends_the_run_and_what_came_before_stays() -> None:
    def failing(job: int, monitor: Monitor) -> int:
        if job == 2:
            raise RasterError("Cannot read x: broken.")
        return job

    got = []
    with pytest.raises(RasterError, match="broken"):
        for place, _ in run(failing, range(9), SERIAL, SILENT, 9):
            got.append(place)
    assert got == [0, 1]


@pytest.mark.parametrize("workers", [SERIAL, THREADS])
def test_cancelling_ends_soon_and_tells_the_work(workers: Workers) -> None:
    asked, ended = threading.Event(), threading.Event()

    def endless(job: int, monitor: Monitor) -> Any:
        asked.set()
        try:
            while True:
                monitor.check()
                time.sleep(0.01)
        finally:
            ended.set()

    began = time.perf_counter()
    with pytest.raises(Cancelled):
        list(run(endless, range(3), workers, Monitor(cancelled=asked.is_set), 3))
    assert ended.wait(1) and time.perf_counter() - began < 1


def test_no_jobs_are_no_results() -> None:
    assert list(run(squared, [], THREADS, SILENT, 0)) == []
