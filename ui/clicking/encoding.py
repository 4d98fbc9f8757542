"""Windows of an image are encoded in the background, the one under the cursor first."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence

from qgis.core import QgsApplication, QgsRasterBlockFeedback, QgsTask
from qgis.PyQt.QtCore import QObject, pyqtSignal

from ...core.errors import Cancelled, FurrowError
from ...core.fields.answering import EncodedWindow, encode
from ...core.imagery.grid import Window
from ...models.segmenters.embeddings.embedding_store import EmbeddingStore, place_key
from ...models.segmenters.embeddings.stored_segmenter import StoredSegmenter
from ...qgis_io.layer_pictures import LayerPictures
from ...qgis_io.texts import tr
from ..background_task import PATIENCE
from ..engines import Engine


@dataclass(frozen=True)
class View:
    """What is encoded: an image as it is looked at, and the engine."""

    pictures: LayerPictures
    engine: Engine


class _Queue:
    """Windows that wait, the most wanted first. Used from two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: List[Window] = []

    def replace(self, windows: Sequence[Window]) -> None:
        with self._lock:
            self._windows = list(windows)

    def pop(self) -> Optional[Window]:
        with self._lock:
            return self._windows.pop(0) if self._windows else None

    def __len__(self) -> int:
        return len(self._windows)


class EncodeTask(QgsTask):
    """Encodes the windows of a queue until it is empty."""

    encoded = pyqtSignal(object)
    """A window that can be asked now."""
    failed = pyqtSignal(object, str)
    """A window that cannot be encoded, and why."""

    def __init__(self, view: View, queue: _Queue, store: EmbeddingStore) -> None:
        super().__init__(tr("Furrow: preparing the image"), QgsTask.Flag.CanCancel)
        self._view, self._queue, self._store = view, queue, store
        self._done = 0
        self._feedback = QgsRasterBlockFeedback()

    def cancel(self) -> None:
        """Stop; a read from the web ends too."""
        self._feedback.cancel()
        super().cancel()

    def run(self) -> bool:
        """Called by QGIS in a thread of its own; no exception may leave it."""
        try:
            self._view.engine.start()
        except FurrowError as error:
            self._queue.replace([])
            self.failed.emit(None, str(error))
            return False
        while not self.isCanceled():
            window = self._queue.pop()
            if window is None:
                return True
            self._work(window)
            self._done += 1
            self.setProgress(100 * self._done / (self._done + len(self._queue)))
        return False

    def _work(self, window: Window) -> None:
        try:
            self._encode(window)
        except Cancelled:
            return
        except (FurrowError, OSError, ValueError, RuntimeError, MemoryError) as error:
            self.failed.emit(window, str(error))
        else:
            self.encoded.emit(window)

    def _encode(self, window: Window) -> None:
        view, store = self._view, self._store
        key = key_of(view, window)
        if store.in_memory(key) is not None:
            return
        picture = view.pictures.read(window, self._feedback)
        if self.isCanceled():
            return
        segmenter = StoredSegmenter(view.engine.start(), store, view.engine.fingerprint)
        store.remember(key, encode(segmenter, picture, window))


def key_of(view: View, window: Window) -> str:
    """The key of a window in memory; only once the engine has started."""
    return place_key(view.pictures.key, view.engine.fingerprint, window)


class WindowEncoder(QObject):
    """Hands out encoded windows and has missing ones encoded. Lives on the main thread."""

    encoded = pyqtSignal(object)
    """A window that can be asked now."""
    failed = pyqtSignal(object, str)
    """A window (None: the engine itself) that cannot be encoded, and why."""
    cancelled = pyqtSignal()
    """The windows that were waited for are not coming."""
    working = pyqtSignal(int)
    """How many windows wait; 0 when all is done."""

    def __init__(self, store: EmbeddingStore, parent: Optional[QObject] = None) -> None:
        super().__init__(parent)
        self.store = store
        self._view: Optional[View] = None
        self._queue = _Queue()
        self._task: Optional[EncodeTask] = None
        self._retired: Dict[int, EncodeTask] = {}
        self._broken: Dict[Window, str] = {}
        self._dead = ""

    @property
    def busy(self) -> bool:
        """Whether a task runs."""
        return self._task is not None

    def look_at(self, view: Optional[View]) -> None:
        """Work on another image or with another engine from now on."""
        self.cancel()
        self._view = view
        self._broken.clear()
        self._dead = ""

    def get(self, window: Window) -> Optional[EncodedWindow]:
        """A window that is in memory; None where it is not. Never waits."""
        view = self._view
        if view is None or view.engine.started is None:
            return None
        return self.store.in_memory(key_of(view, window))

    def trouble(self, window: Window) -> str:
        """Why a window could not be encoded; empty where nothing is known against it."""
        return self._broken.get(window, self._dead)

    def want(self, windows: Sequence[Window]) -> None:
        """Encode these windows next, the first one first; what waited before is dropped."""
        missing = [w for w in windows if not self.trouble(w) and self.get(w) is None]
        self._queue.replace(missing)
        if missing and self._view is not None:
            self._start()
            self.working.emit(len(missing))

    def cancel(self) -> None:
        """Stop as soon as the window in work is done, whose result is kept in the store."""
        self._queue.replace([])
        if self._task is not None:
            task, self._task = self._task, None
            self._retired[id(task)] = task  # QGIS needs the Python object until it has ended
            task.cancel()
            self.working.emit(0)
            self.cancelled.emit()

    def close(self) -> None:
        """Cancel and wait, so that no task outlives the plugin."""
        self.cancel()
        self._view = None
        for task in list(self._retired.values()):
            task.waitForFinished(PATIENCE)

    def _start(self) -> None:
        if self._task is not None:
            return
        task = EncodeTask(self._view, self._queue, self.store)
        task.encoded.connect(self._on_encoded)
        task.failed.connect(self._on_task_failed)
        task.taskCompleted.connect(lambda: self._on_end(task))
        task.taskTerminated.connect(lambda: self._on_stop(task))
        self._task = task
        QgsApplication.taskManager().addTask(task)

    def _on_encoded(self, window: Window) -> None:
        if self.sender() is not self._task:
            return
        self.working.emit(len(self._queue))
        if self.get(window) is None:
            self._on_failed(window, tr("The window does not fit into the memory that Furrow may "
                                       "use; allow more in the settings."))  # fmt: skip
            return
        self.encoded.emit(window)

    def _on_task_failed(self, window: Optional[Window], reason: str) -> None:
        if self.sender() is self._task:
            self._on_failed(window, reason)

    def _on_failed(self, window: Optional[Window], reason: str) -> None:
        if window is None:
            self._dead = reason
        else:
            self._broken[window] = reason
        self.failed.emit(window, reason)

    def _on_stop(self, task: EncodeTask) -> None:
        """The task was cancelled, by us or in QGIS' list of tasks, or the engine cannot start."""
        own = task is self._task
        if own:
            self._queue.replace([])
        self._on_end(task)
        if own:
            self.cancelled.emit()

    def _on_end(self, task: EncodeTask) -> None:
        self._retired.pop(id(task), None)
        if task is not self._task:
            return
        self._task = None
        if len(self._queue):  # wanted after the task had looked for the last time
            self._start()
        else:
            self.working.emit(0)
