"""Work that must not share a thread with other work."""

from __future__ import annotations

import queue
from threading import Event
from types import TracebackType
from typing import Callable, Generic, Optional, Type, TypeVar

from qgis.PyQt.QtCore import QThread

from ..core.monitor import Monitor

_POLL_MILLISECONDS = 100

Result = TypeVar("Result")


def in_own_thread(work: Callable[[Monitor], Result], monitor: Monitor) -> Result:
    """Do network work in a thread that ends with it.

    QGIS makes a network manager for each thread and keeps it as long as the thread lives, with the
    proxy of that day: a thread of the task pool would not see what the user has changed since. And
    in threads that Qt has not made, timers do not run.
    """
    stop, said = Event(), queue.SimpleQueue()
    inner = Monitor(
        lambda: stop.is_set() or monitor.cancelled(),
        lambda share: said.put((monitor.progress, share)),
        lambda text: said.put((monitor.message, text)),
    )
    thread = _Thread(lambda: work(inner))
    thread.start()
    try:
        while not thread.wait(_POLL_MILLISECONDS):
            _pass_on(said)
        _pass_on(said)
    finally:
        stop.set()
        thread.wait()
    return thread.outcome.get()


def _pass_on(said: queue.SimpleQueue) -> None:
    """The monitor is told in the thread that it belongs to."""
    while not said.empty():
        tell, what = said.get()
        tell(what)


class _Outcome(Generic[Result]):
    """What came of a call in another thread, an error as well."""

    result: Result
    error: Optional[BaseException] = None

    def __enter__(self) -> _Outcome[Result]:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> bool:
        # Nothing is swallowed: it is raised again in the thread that waits.
        self.error = error
        return True

    def get(self) -> Result:
        if self.error is not None:
            raise self.error
        return self.result


class _Thread(QThread):
    """A call in a thread of its own."""

    def __init__(self, work: Callable[[], Result]) -> None:
        super().__init__()
        self._work = work
        self.outcome: _Outcome[Result] = _Outcome()

    def run(self) -> None:
        with self.outcome:
            self.outcome.result = self._work()
