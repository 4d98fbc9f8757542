"""Processes that run networks which need torch: started on demand, asked, and ended with QGIS.

A `Worker` belongs to one checkpoint on one device, see :func:`shared_worker`; algorithms and docks
ask the same one. It encodes one image at a time and answers prompts meanwhile. `worker_child.py`
looks after the process itself.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional, Sequence, Tuple

from ....core.errors import ModelError, WorkerError
from ....core.monitor import SILENT, Monitor
from ...worker.framing import Frame
from ...worker.messages import OTHER_FAULT
from .worker_child import (
    EXITING,
    POLL_SECONDS,
    Child,
    ChildEndedError,
    ChildSilentError,
    refuse_at_exit,
)

START = Path(__file__).resolve().parents[2] / "worker" / "start.py"
START_SECONDS = 300.0
"""Torch and several gigabytes of weights may come from a slow disk."""
_MOST_WORKERS = 2
"""Children are large: one that was asked for longest ago ends when a third is asked for."""
_REMEDY = "try again, repair its Python environment or choose another model"

_log = logging.getLogger("furrow.worker")


@dataclass(frozen=True)
class About:
    """What a child says of its network once it is ready."""

    family: str
    """"segment-anything", "mobile-sam", "segment-anything-2", "segment-anything-2.1", ..."""
    side: int
    """Of the square that it looks at, in pixels."""
    parameters: int
    device: str
    """As torch calls it."""
    seconds: float
    """From starting the process until it was ready."""
    memory: Optional[int]
    """Bytes of the process then; None where the system does not tell."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of Python and its libraries."""


class Worker:
    """A child process that is started when it is first asked; safe to use from several threads."""

    def __init__(
        self, command: Sequence[str], title: str, start_seconds: float = START_SECONDS
    ) -> None:
        """Nothing is started yet.

        :param command: the interpreter, its options and what it runs.
        :param title: of the model, for messages.
        :param start_seconds: after which a child that is not ready is given up.
        """
        self.title = title
        self._command = tuple(command)
        self._start_seconds = start_seconds
        self._lock = threading.Lock()
        """Held by the call that looks for a child that runs, or starts one."""
        self._child: Optional[Child] = None
        self._about: Optional[About] = None
        self._stops = 0

    @property
    def pid(self) -> Optional[int]:
        """Of the child that runs; None where none does."""
        child = self._child
        return None if child is None or child.ended else child.pid

    @property
    def about(self) -> Optional[About]:
        """What the child runs; None before one has been started."""
        return self._about

    def start(self, monitor: Monitor = SILENT) -> About:
        """Start the child where none runs.

        :param monitor: told how the start goes.
        :raises ModelError: the model cannot be opened.
        :raises WorkerError: the child ended or was not ready in time.
        :raises Cancelled:
        """
        return self._running(self._stops, monitor)[1]

    def ask(self, request: Frame, monitor: Monitor = SILENT) -> Frame:
        """The answer to a request; asked once more of a new child where the child has ended.

        :raises ModelError: what the network cannot do, or not enough memory.
        :raises WorkerError: the child failed, ended twice or was stopped.
        :raises Cancelled: the child goes on with the request, and its answer is dropped.
        """
        stops = self._stops
        try:
            try:
                return self._asked(request, stops, monitor)
            except ChildSilentError:
                raise
            except ChildEndedError as ended:
                _log.warning("The process that runs %s %s.", self.title, ended)
                return self._asked(request, stops, monitor)
        except ChildEndedError as ended:
            self._refuse_stopped(stops)
            raise self._error(str(ended)) from ended

    def memory(self) -> Dict[str, Optional[int]]:
        """Bytes at most so far: "memory" of the process, "device_memory" of a graphics card.

        None where that is not known; a child is started where none runs.

        :raises ModelError: as :meth:`ask`.
        """
        answer = self.ask(Frame({"kind": "memory"})).header
        return {name: answer[name] for name in ("memory", "device_memory")}

    def stop(self) -> None:
        """End the child; calls that wait for it raise WorkerError, later ones start a new one."""
        self._stops += 1
        if self._child is not None:
            self._child.end()

    def rest(self) -> None:
        """End the child unless somebody waits for it; the next call starts a new one."""
        child = self._child
        if child is not None and not child.busy:
            child.end()

    @contextmanager
    def _turn(self, monitor: Monitor) -> Iterator[None]:
        """Wait until no other call looks for a child.

        :raises Cancelled:
        """
        while not self._lock.acquire(timeout=POLL_SECONDS):
            monitor.check()
        try:
            refuse_at_exit()
            yield
        finally:
            self._lock.release()

    def _asked(self, request: Frame, stops: int, monitor: Monitor) -> Frame:
        """:raises ChildEndedError: and what :meth:`ask` raises."""
        child, _ = self._running(stops, monitor)
        return self._checked(child.ask(request, monitor))

    def _running(self, stops: int, monitor: Monitor) -> Tuple[Child, About]:
        """A child that is ready, and what it runs.

        :param stops: how many there had been when the call began.
        :raises ModelError:
        :raises Cancelled:
        """
        with self._turn(monitor):
            if self._child is None or self._about is None or self._child.ended:
                self._refuse_stopped(stops)
                self._child = Child(self._command, self.title)
                self._about = self._started(self._child, stops, monitor)
            self._refuse_stopped(stops)
            return self._child, self._about

    def _started(self, child: Child, stops: int, monitor: Monitor) -> About:
        """:raises ModelError:
        :raises Cancelled:
        """
        began, ready = time.monotonic(), False
        monitor.message(f"Starting the process that runs {self.title}.")
        try:
            hello = self._checked(child.begin(self._start_seconds, monitor)).header
            about = _about(hello, time.monotonic() - began)
            ready = True
        except ChildEndedError as ended:
            self._refuse_stopped(stops)
            raise self._error(f"{ended} when it was started") from ended
        finally:
            if not ready:
                child.kill()
        text = f"{self.title} is ready on {about.device} after {about.seconds:.1f} s."
        monitor.message(text)
        _log.info("%s %s", text, about)
        return about

    def _refuse_stopped(self, stops: int) -> None:
        """:raises WorkerError:"""
        if self._stops != stops:
            raise WorkerError(f"MODEL: the process that runs {self.title} was stopped; try again.")

    def _checked(self, answer: Frame) -> Frame:
        """:raises ModelError: the answer is an error."""
        if answer.header.get("kind") != "error":
            return answer
        text = str(answer.header.get("text"))
        if answer.header.get("what") == OTHER_FAULT:
            raise self._error(f"failed with {text}")
        raise ModelError(text)

    def _error(self, what: str) -> WorkerError:
        what = what.rstrip(".")
        return WorkerError(f"MODEL: the process that runs {self.title} {what}; {_REMEDY}.")


class _Pool:
    """The workers that are shared, by what they run; the one asked for last is at the end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workers: OrderedDict[Tuple[object, ...], Worker] = OrderedDict()

    def worker(self, key: Tuple[object, ...], command: Sequence[str], title: str) -> Worker:
        with self._lock:
            worker = self._workers.setdefault(key, Worker(command, title))
            self._workers.move_to_end(key)
            others = list(self._workers.values())[:-_MOST_WORKERS]
        for other in others:
            other.rest()
        return worker

    def stop_all(self) -> None:
        with self._lock:
            workers = list(self._workers.values())
        for worker in workers:
            worker.stop()


_POOL = _Pool()


def shared_worker(interpreter: Path, checkpoint: Path, device: str = "auto") -> Worker:
    """The worker of a checkpoint on a device; nothing is started until it is asked.

    :param interpreter: of the environment that has torch.
    :raises ModelError: one of the two files is missing.
    """
    try:
        status = checkpoint.stat()
    except OSError as error:
        raise ModelError(
            f"MODEL: the checkpoint {checkpoint} cannot be read ({error.strerror or error}); "
            "choose another file or download the model again."
        ) from error
    if not interpreter.is_file():
        raise ModelError(
            f"MODEL: {checkpoint.name} runs in a Python environment with PyTorch, and there is no "
            f"{interpreter}; install that environment or choose another model."
        )
    options = ("-I", "-X", "utf8", str(START), "--device", device, "--")
    command = (str(interpreter), *options, str(checkpoint.absolute()))
    # A file that was replaced is another model.
    key = (*command, status.st_size, status.st_mtime_ns)
    return _POOL.worker(key, command, checkpoint.name)


def stop_all() -> None:
    """End all shared children; calls that wait for one raise WorkerError."""
    _POOL.stop_all()


def _exit() -> None:
    EXITING.set()
    stop_all()


# Python waits for the threads of pools before it calls `atexit`, and those may wait for a worker:
# what concurrent.futures uses itself comes first, and has no public name.
getattr(threading, "_register_atexit", atexit.register)(_exit)


def _about(hello: Mapping[str, Any], seconds: float) -> About:
    """:raises ChildEndedError: what the child says first is not what it should be."""
    try:
        return About(
            str(hello["family"]),
            int(hello["side"]),
            int(hello["parameters"]),
            str(hello["device"]),
            seconds,
            hello["memory"],
            dict(hello["versions"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ChildEndedError("did not say what it runs") from error
