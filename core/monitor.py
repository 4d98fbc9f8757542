"""How long work tells its caller where it is, and is told to stop."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, TimeoutError
from dataclasses import dataclass
from typing import Callable, TypeVar

from .errors import Cancelled

Result = TypeVar("Result")
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Monitor:
    """Progress and cancelling, without knowing who listens."""

    cancelled: Callable[[], bool] = lambda: False
    """Asked often, from any thread."""
    progress: Callable[[float], None] = lambda share: None
    """Told the share done, 0..1, from the calling thread."""
    message: Callable[[str], None] = lambda text: None
    """Told a line for the log."""

    def check(self) -> None:
        """Stop here if the user asked to.

        :raises Cancelled:
        """
        if self.cancelled():
            raise Cancelled

    def part(self, start: float, stop: float) -> Monitor:
        """A monitor for the part of the work between two shares."""
        return Monitor(
            self.cancelled,
            lambda share: self.progress(start + share * (stop - start)),
            self.message,
        )


SILENT = Monitor()


def watched(work: Callable[[], Result], monitor: Monitor) -> Result:
    """Run a call that cannot be interrupted, and stop waiting for it when the user cancels.

    The call then ends on its own in the background and its result is dropped.

    :raises Cancelled:
    """
    pool = ThreadPoolExecutor(1)
    job = pool.submit(work)
    try:
        while True:
            monitor.check()
            try:
                return job.result(timeout=_POLL_SECONDS)
            except TimeoutError:
                continue
    finally:
        pool.shutdown(wait=False)
