"""One child process that answers frames, and the threads that listen to it.

The child is started in the thread that then reads what it says, because Linux ends the child with
the thread that started it (models/worker/start.py), and threads of tasks come and go.
"""

from __future__ import annotations

import io
import logging
import subprocess  # nosec B404
import threading
import time
from collections import deque
from contextlib import suppress
from itertools import count
from queue import Empty, SimpleQueue
from typing import IO, Deque, Dict, Optional, Sequence

from ....core.errors import WorkerError
from ....core.monitor import Monitor
from ...dependencies.processes import HIDDEN, clean_variables
from ...worker.framing import CutShortError, Frame, FramingError, read_frame, write_frame

ANSWER_SECONDS = 1800.0
"""The largest model takes a minute on an old computer; this is for one that hangs."""
POLL_SECONDS = 0.1
"""How soon a wait notices that it is not wanted any more."""
_TELL_SECONDS = 5.0
"""How often a wait that takes long is told of."""
_END_SECONDS = 2.0
_TAIL_LINES = 20
_LONGEST_LINE = 4096
_KILLED = -9
"""The exit code of a process that got SIGKILL."""

EXITING = threading.Event()
"""Set when Python begins to end."""

_log = logging.getLogger("furrow.worker")


class ChildEndedError(Exception):
    """The child is gone; the text says how, to follow "the process that runs ..."."""


class ChildSilentError(ChildEndedError):
    """The child took longer than may be and was ended: it is not asked again."""


_Replies = SimpleQueue  # of Frames; None: the child is gone


class Child:
    """One child process, and the threads that listen to it; may be asked from several threads."""

    def __init__(self, command: Sequence[str], title: str) -> None:
        """Nothing is started yet, see :meth:`begin`."""
        self.pid: Optional[int] = None
        self._command, self._title = command, title
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._hello: _Replies = SimpleQueue()
        self._waiting: Dict[Optional[int], _Replies] = {None: self._hello}
        """By number of the request; the child says that it is ready without one."""
        self._numbers = count(1)
        self._tail: Deque[str] = deque(maxlen=_TAIL_LINES)
        """What it said last on stderr."""
        self._writing = threading.Lock()
        self._gone = threading.Event()
        self._how = "was lost"
        self._unwanted = False

    @property
    def ended(self) -> bool:
        """Whether the child is gone, or will be."""
        return self._unwanted or self._gone.is_set()

    @property
    def busy(self) -> bool:
        """Whether somebody waits for it."""
        return bool(self._waiting)

    def begin(self, seconds: float, monitor: Monitor) -> Frame:
        """Start the process; what it says when it is ready.

        :param seconds: after which it is given up.
        :raises ChildEndedError:
        :raises Cancelled:
        """
        threading.Thread(target=self._attend, name="furrow worker", daemon=True).start()
        try:
            return self._reply(self._hello, seconds, monitor)
        finally:
            del self._waiting[None]

    def ask(self, request: Frame, monitor: Monitor) -> Frame:
        """The answer to a request.

        :raises ChildEndedError:
        :raises Cancelled: the child goes on with it, and its answer will be dropped.
        """
        number, replies = next(self._numbers), SimpleQueue()
        self._waiting[number] = replies
        try:
            # Whoever ends the child looks for those who wait after it has said so.
            if self._gone.is_set():
                raise ChildEndedError(self._how)
            self._send(Frame({**request.header, "request": number}, request.arrays))
            return self._reply(replies, ANSWER_SECONDS, monitor)
        finally:
            del self._waiting[number]

    def end(self) -> None:
        """End the child; one that nobody waits for is told to."""
        if not self.ended and not self.busy:
            self._send(Frame({"kind": "bye"}))
            self._gone.wait(_END_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the child whatever it does."""
        self._unwanted = True
        if self._process is not None:
            with suppress(OSError):
                self._process.kill()
            self._gone.wait(_END_SECONDS)

    def _reply(self, replies: _Replies, seconds: float, monitor: Monitor) -> Frame:
        """:raises ChildEndedError:
        :raises Cancelled:
        """
        began = told = time.monotonic()
        while True:
            with suppress(Empty):
                reply = replies.get(timeout=POLL_SECONDS)
                if reply is None:
                    raise ChildEndedError(self._how)
                return reply
            now = time.monotonic()
            self._check(now - began, seconds, monitor)
            if now > told + _TELL_SECONDS:
                told = now
                monitor.message(f"Waiting for {self._title}, {now - began:.0f} s so far.")

    def _check(self, waited: float, seconds: float, monitor: Monitor) -> None:
        """:raises ChildSilentError: it has been waited for longer than may be.
        :raises WorkerError: Python is ending.
        """
        monitor.check()
        refuse_at_exit()
        if waited > seconds:
            self.kill()
            raise ChildSilentError(f"gave no answer for {seconds:.0f} s")

    def _send(self, frame: Frame) -> None:
        """A child that does not take it is ended, and the reply says so."""
        sent = False
        try:
            with suppress(OSError), self._writing:
                if self._process is not None and not self._process.stdin.closed:
                    write_frame(self._process.stdin, frame)
                sent = True
        finally:
            # There may be a part of a frame in the pipe.
            if not sent:
                self.kill()

    def _attend(self) -> None:
        """Start the child, listen until it ends, and clean up."""
        try:
            process = _popen(self._command)
            self._process, self.pid = process, process.pid
            self._follow(process)
        except OSError as error:
            self._how = f"cannot be started with {self._command[0]} ({error.strerror or error})"
        finally:
            # Also where something unforeseen has happened: nobody is left waiting.
            self._gone.set()
            for replies in list(self._waiting.values()):
                replies.put(None)

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        # kill() sets this before it looks for the process.
        if self._unwanted:
            process.kill()
        draining = threading.Thread(target=self._drain, args=(process.stderr,), daemon=True)
        draining.start()
        rubbish = self._listen(process.stdout)
        code = _code(process, rubbish)
        draining.join(_END_SECONDS)
        self._how = rubbish or _how(code, self._tail)
        process.stdout.close()
        # Whoever is writing now is told that the pipe is broken.
        with self._writing, suppress(OSError):
            process.stdin.close()

    def _listen(self, stream: IO[bytes]) -> str:
        """Hand on what the child says; why nothing more can be understood, where that is so."""
        try:
            frame = read_frame(stream)
            while frame is not None:
                replies = self._waiting.get(frame.header.get("request"))
                if replies is not None:  # else the call was given up
                    replies.put(frame)
                frame = read_frame(stream)
        except CutShortError:
            return ""
        except FramingError as error:
            return f"answered with what is no answer ({error})"
        except MemoryError:
            return "answered with more than there is memory for"
        except OSError as error:
            return f"cannot be listened to ({error.strerror or error})"
        return ""

    def _drain(self, stream: IO[bytes]) -> None:
        """Keep and log what the child's libraries print, so that its pipe never fills up."""
        with io.BufferedReader(stream) as lines:
            for line in iter(lambda: lines.readline(_LONGEST_LINE), b""):
                text = line.decode("utf-8", "replace").rstrip()
                if text:
                    self._tail.append(text)
                    _log.info("%s", text)


def refuse_at_exit() -> None:
    """:raises WorkerError: Python is ending."""
    if EXITING.is_set():
        raise WorkerError("MODEL: Python is ending, so no model is asked any more.")


def _popen(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """:raises OSError:"""
    return subprocess.Popen(  # nosec B603
        command,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_variables(),
        **HIDDEN,
    )


def _code(process: subprocess.Popen[bytes], rubbish: str) -> int:
    """The exit code of a process that has nothing more to say."""
    try:
        return process.wait(0 if rubbish else _END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _how(code: int, tail: Sequence[str]) -> str:
    """How a child ended: "ended with exit code 1 (ImportError: ...)"."""
    said = f" ({tail[-1]})" if tail else ""
    if code >= 0:
        return f"ended with exit code {code}{said}"
    if code == _KILLED:
        return "was ended by the system or a user, often for lack of memory"
    return f"was ended by signal {-code}{said}"
