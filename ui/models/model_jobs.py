"""What the model manager does in the background: one thing at a time, with its progress."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Callable, Deque, Optional, Tuple

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QObject, QTimer, pyqtSignal

from ...core.downloads import in_words
from ...core.monitor import Monitor
from ...qgis_io.texts import tr
from ..background_task import PATIENCE, BackgroundTask

_LOOK = 200
"""Milliseconds between two looks at the progress."""
_PACE_SECONDS = 5.0
"""How far back speed is measured."""


@dataclass(frozen=True)
class Job:
    """Something to be done in the background."""

    title: str
    """What is going on, as the user reads it."""
    work: Callable[[Monitor], object]
    """Called in another thread; what it gives must not be None."""
    done: Callable[[object], None]
    """Gets what the work gave, on the main thread."""
    failed: Callable[[str], None]
    """Gets the sentence that says why it did not work."""
    bytes: int = 0
    """How much is moved; 0 where that means nothing."""


class Pace:
    """How fast bytes come, measured over the last seconds."""

    def __init__(self) -> None:
        self._seen: Deque[Tuple[float, float]] = deque()

    def add(self, seconds: float, amount: float) -> None:
        """So many bytes were there at that time; what was there at first did not come just now."""
        if amount > 0:
            self._seen.append((seconds, amount))
        while len(self._seen) > 2 and seconds - self._seen[0][0] > _PACE_SECONDS:
            self._seen.popleft()

    @property
    def speed(self) -> float:
        """Bytes a second; 0 as long as it is not known."""
        if len(self._seen) < 2 or self._seen[-1][0] <= self._seen[0][0]:
            return 0.0
        (start, before), (stop, after) = self._seen[0], self._seen[-1]
        return max(0.0, (after - before) / (stop - start))


def pace_text(done: float, total: float, speed: float) -> str:
    """How much has come, how fast, and how long the rest will take."""
    text = tr("{done} of {total}").format(done=in_words(done), total=in_words(total))
    if speed < 1:
        return text
    return tr("{text}, {speed}/s, {left} left").format(
        text=text, speed=in_words(speed), left=_duration((total - done) / speed)
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return tr("{} h {} min").format(hours, minutes)
    return tr("{} min {} s").format(minutes, rest) if minutes else tr("{} s").format(rest)


class _Progress:
    """Told by the thread that works, read by the main one."""

    def __init__(self) -> None:
        self.share, self.text = 0.0, ""

    def tell_share(self, share: float) -> None:
        self.share = share

    def tell_text(self, text: str) -> None:
        self.text = text

    def monitor(self, task: Monitor) -> Monitor:
        """The monitor of the work: QGIS' list of tasks hears of the progress too."""

        def progress(share: float) -> None:
            self.tell_share(share)
            task.progress(share)

        return Monitor(task.cancelled, progress, self.tell_text)


class ModelJobs(QObject):
    """Runs one job at a time. Lives on the main thread."""

    changed = pyqtSignal()
    """A job has begun or ended."""
    moved = pyqtSignal(float, str)
    """Share of the job that is done, 0..1, and a line about it."""
    stopped = pyqtSignal(str)
    """A job with that title was cancelled."""

    def __init__(self, parent: Optional[QObject] = None) -> None:
        super().__init__(parent)
        self._job: Optional[Job] = None
        self._task: Optional[BackgroundTask] = None
        self._progress, self._pace = _Progress(), Pace()
        self._closed = False
        self._gone = gone = threading.Event()
        self.destroyed.connect(lambda *_: gone.set())
        self._clock = QTimer(self)
        self._clock.setInterval(_LOOK)
        self._clock.timeout.connect(self._look)

    @property
    def job(self) -> Optional[Job]:
        """What is being done; None for nothing."""
        return self._job

    def start(self, job: Job) -> None:
        """Begin; while another job runs, or after `close`, nothing happens."""
        if self._job is not None or self._closed:
            return
        progress = _Progress()
        self._job, self._progress, self._pace = job, progress, Pace()
        self._task = BackgroundTask(
            tr("Furrow: {}").format(job.title),
            lambda monitor: job.work(progress.monitor(monitor)),
            self._gone,
        )
        self._task.ended.connect(self._on_ended)
        self._clock.start()
        self.changed.emit()
        QgsApplication.taskManager().addTask(self._task)

    def cancel(self) -> None:
        """Stop what is being done."""
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Cancel and wait; nothing is told or begun after this."""
        self._closed = True
        self._clock.stop()
        self._gone.set()
        task = self._task  # a task that waits for its turn ends while it is cancelled
        if task is not None:
            task.cancel()
            task.waitForFinished(PATIENCE)

    def _look(self) -> None:
        job, progress = self._job, self._progress
        if job is None:
            return
        text = progress.text
        if job.bytes:
            done = progress.share * job.bytes
            self._pace.add(time.monotonic(), done)
            amount = pace_text(done, job.bytes, self._pace.speed)
            text = f"{text} ({amount})" if text else amount
        self.moved.emit(progress.share, text)

    def _on_ended(self, task: BackgroundTask) -> None:
        if task is not self._task:
            return
        job, self._job, self._task = self._job, None, None
        self._clock.stop()
        if self._closed:
            return
        if task.trouble:
            job.failed(task.trouble)
        elif task.result is None:
            self.stopped.emit(job.title)
        else:
            job.done(task.result)
        self.changed.emit()
