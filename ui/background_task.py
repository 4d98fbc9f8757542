"""Work of plain data on a thread of QGIS' own; whatever goes wrong becomes one sentence."""

from __future__ import annotations

import re
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

from qgis.core import Qgis, QgsApplication, QgsTask
from qgis.PyQt.QtCore import pyqtSignal

from ..core.errors import Cancelled, FurrowError
from ..core.monitor import Monitor
from ..qgis_io.texts import tr

PATIENCE = 10_000
"""Milliseconds to wait for a task when the plugin is unloaded."""
_TAG = "Furrow"
_PARAMETER = re.compile(r"^[A-Z_]+: ")
"""What errors begin with that name a parameter of an algorithm."""


class BackgroundTask(QgsTask):
    """Runs a function of plain data in the background."""

    ended = pyqtSignal(object)
    """Itself, on the main thread, however it ended."""

    def __init__(
        self, title: str, work: Callable[[Monitor], object], gone: threading.Event
    ) -> None:
        """:param gone: set when nobody waits for the result any more."""
        super().__init__(title, QgsTask.Flag.CanCancel)
        self._work, self._gone = work, gone
        self.result: object = None
        """What the function returned; None where it was cancelled or failed."""
        self.trouble = ""
        """One sentence where it failed."""

    def run(self) -> bool:
        """Called by QGIS in a thread of its own; no exception may leave it."""
        monitor = Monitor(self._stopped, lambda share: self.setProgress(100 * share))
        with ThreadPoolExecutor(1) as pool:  # the future keeps whatever is raised
            job = pool.submit(self._work, monitor)
            error = job.exception()
        if error is None:
            self.result = job.result()
        elif not isinstance(error, Cancelled):
            self.trouble = sentence_of(error)
        return error is None

    def finished(self, result: bool) -> None:
        """Called by QGIS on the main thread."""
        self.ended.emit(self)

    def _stopped(self) -> bool:
        return self.isCanceled() or self._gone.is_set()


def sentence_of(error: BaseException) -> str:
    """An error as one sentence; of one that should not be, the log gets all."""
    if isinstance(error, FurrowError):
        text = _PARAMETER.sub("", str(error))
        return text[:1].upper() + text[1:]
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    QgsApplication.messageLog().logMessage("".join(lines), _TAG, Qgis.MessageLevel.Critical)
    return tr("Something went wrong that should not ({}); the log of messages says more.").format(
        type(error).__name__
    )
