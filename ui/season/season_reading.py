"""Seasons of fields, read in the background, one task at a time, the one to show first."""

from __future__ import annotations

import datetime as dt
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Callable, Deque, Dict, List, Optional, Tuple, Union

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsGeometry,
)
from qgis.PyQt.QtCore import QObject, QTimer, pyqtSignal

from ...core.errors import FurrowError
from ...core.imagery.indices import Index, parse_index
from ...core.imagery.series import Series, open_series
from ...core.monitor import Monitor
from ...core.samples.seasons import FieldSeason, class_season
from ...qgis_io.texts import tr
from ..background_task import PATIENCE, BackgroundTask, sentence_of
from .season_fields import FieldPixels, Reading, place_field, read_fields

_HOVER = 150
"""Milliseconds that a field must stay before it is read."""
_KEPT = 256
"""Fields whose seasons are kept; a few kilobytes each."""
_CLASS_FIELDS = 48
"""The latest fields of a class that make its median."""
_AT_ONCE = 8
"""Fields of a class that one task reads: few, so that a field under the cursor waits little."""


@dataclass(frozen=True)
class Wanted:
    """The field to show."""

    polygon: QgsGeometry
    crs: QgsCoordinateReferenceSystem
    class_name: str
    """Of the class whose median is shown beside it; empty: none."""
    colour: str
    """Of the class, #rrggbb."""
    image_date: Optional[dt.date]
    """Of the image on which the field was clicked."""


class SeasonReader(QObject):
    """Knows the series, the field to show and the classes, and reads what is missing."""

    changed = pyqtSignal()
    """There is something else to show."""
    failed = pyqtSignal(str)
    """What went wrong, in one sentence."""

    def __init__(self, parent: Optional[QObject] = None) -> None:
        super().__init__(parent)
        self.folder, self.index_text = "", ""
        self.series: Optional[Series] = None
        self.index: Optional[Index] = None
        self.trouble = ""
        """Why the series cannot be used; empty where it can."""
        self.wanted: Optional[Wanted] = None
        self.pixels: Union[FieldPixels, str, None] = None
        """Of the field to show, or why there are none; None as long as there is no grid."""
        self._classes: Dict[str, Deque[Tuple[QgsGeometry, QgsCoordinateReferenceSystem]]] = {}
        self._placed: Dict[str, List[FieldPixels]] = {}
        self._cache: OrderedDict[FieldPixels, Union[Reading, str]] = OrderedDict()
        self._class_of: List[FieldSeason] = []
        self._class_season: Optional[FieldSeason] = None
        self._task: Optional[BackgroundTask] = None
        self._take: Callable[[BackgroundTask], None] = lambda task: None
        self._awake = self._interrupted = self._closed = False
        self._gone = gone = threading.Event()
        self.destroyed.connect(lambda *_: gone.set())
        self._hover = QTimer(self)
        self._hover.setSingleShot(True)
        self._hover.timeout.connect(self._on_hover)

    @property
    def busy(self) -> bool:
        """Whether a task runs or is about to start."""
        return self._task is not None or self._hover.isActive()

    @property
    def reading(self) -> Union[Reading, str, None]:
        """Of the field to show, or why it cannot be read; None where there is none yet."""
        if not isinstance(self.pixels, FieldPixels) or self.pixels not in self._cache:
            return None
        self._cache.move_to_end(self.pixels)
        return self._cache[self.pixels]

    @property
    def class_season(self) -> Optional[FieldSeason]:
        """Of the class to show, over the fields that are read; None without any."""
        known = [self._cache.get(pixels) for pixels in self._class_pixels()]
        seasons = [found.season for found in known if isinstance(found, Reading)]
        if seasons != self._class_of:
            self._class_of, self._class_season = seasons, class_season(seasons)
        return self._class_season

    def use(self, folder: str, index: str) -> None:
        """Read another folder or another index; the same again tries again what failed."""
        if (folder, index) == (self.folder, self.index_text) and not self.trouble:
            return
        self.folder, self.index_text = folder, index
        self.series, self.index, self.pixels, self.trouble = None, None, None, ""
        self._cache.clear()
        self._placed.clear()
        self._interrupt()
        try:
            self.index = parse_index(index)
        except FurrowError as error:
            self._fail(sentence_of(error))
        self._advance()

    def wake(self) -> None:
        """Somebody looks: from now on a series is opened as soon as it is chosen."""
        self._awake = True
        self._advance()

    def look_at(self, wanted: Optional[Wanted]) -> None:
        """Show another field, or none; it is read if it stays for a moment."""
        self._hover.stop()
        self.wanted = wanted
        self._place()
        if self._needs_reading():
            self._hover.start(_HOVER)
        self._advance()

    def add_to_class(
        self, class_name: str, polygon: QgsGeometry, crs: QgsCoordinateReferenceSystem
    ) -> None:
        """Count a field among those that make the median of its class."""
        fields = self._classes.setdefault(class_name, deque(maxlen=_CLASS_FIELDS))
        fields.append((QgsGeometry(polygon), crs))
        self._placed.pop(class_name, None)
        self._advance()

    def forget_classes(self) -> None:
        """No class has fields any more."""
        self._classes.clear()
        self._placed.clear()

    def close(self) -> None:
        """Cancel and wait; nothing is read after this."""
        self._closed = True
        self._hover.stop()
        self._gone.set()
        if self._task is not None:
            self._task.cancel()
            self._task.waitForFinished(PATIENCE)

    def _place(self) -> None:
        wanted, self.pixels = self.wanted, None
        if wanted is not None and self.series is not None:
            self.pixels = place_field(wanted.polygon, wanted.crs, self.series.grid)

    def _class_pixels(self) -> List[FieldPixels]:
        """The fields that make the median of the class to show."""
        if self.wanted is None or self.series is None:
            return []
        name = self.wanted.class_name
        if name not in self._placed:
            grid = self.series.grid
            placed = [place_field(*field, grid) for field in self._classes.get(name, ())]
            self._placed[name] = [pixels for pixels in placed if isinstance(pixels, FieldPixels)]
        return self._placed[name]

    def _needs_reading(self) -> bool:
        return isinstance(self.pixels, FieldPixels) and self.pixels not in self._cache

    def _on_hover(self) -> None:
        """The cursor has stayed on a field: whatever else is read can wait."""
        if self.series is not None:
            self._interrupt()
        self._advance()

    def _interrupt(self) -> None:
        if self._task is not None:
            self._interrupted = True
            self._task.cancel()

    def _advance(self) -> None:
        """Start the next task, if there is something to do and none runs."""
        if self._task is not None or self._closed or self.trouble or not self.folder:
            return
        if self.series is None:
            if self._awake or self.wanted is not None:
                self._open()
        elif self._needs_reading():
            if not self._hover.isActive():
                self._read([self.pixels])
        else:
            missing = [pixels for pixels in self._class_pixels() if pixels not in self._cache]
            if missing:
                self._read(missing[:_AT_ONCE])

    def _open(self) -> None:
        folder, roles = self.folder, sorted(self.index.roles)
        self._start(
            tr("Furrow: opening the series"),
            lambda monitor: open_series(folder, roles),
            self._on_opened,
        )

    def _read(self, fields: List[FieldPixels]) -> None:
        series, index = self.series, self.index
        self._start(
            tr("Furrow: reading the season"),
            lambda monitor: read_fields(series, index, fields, monitor),
            lambda task: self._on_read(task, fields),
        )

    def _start(
        self, title: str, work: Callable[[Monitor], object], take: Callable[[BackgroundTask], None]
    ) -> None:
        task = BackgroundTask(title, work, self._gone)
        task.ended.connect(self._on_ended)
        self._task, self._take, self._interrupted = task, take, False
        QgsApplication.taskManager().addTask(task)

    def _on_ended(self, task: BackgroundTask) -> None:
        if task is not self._task:
            return
        self._task = None
        if self._closed:
            return
        if not self._interrupted:  # else for another field, or for another series or index
            self._take(task)
        self._advance()
        self.changed.emit()

    def _on_opened(self, task: BackgroundTask) -> None:
        self.series = task.result
        if self.series is None:
            self._fail(task.trouble or tr("Opening the series was cancelled."))
        self._place()

    def _on_read(self, task: BackgroundTask, fields: List[FieldPixels]) -> None:
        if task.result is None:
            trouble = task.trouble or tr("Reading the season was cancelled.")
            self._cache.update((pixels, trouble) for pixels in fields)
            self.failed.emit(trouble)
        else:
            self._cache.update(task.result)
        while len(self._cache) > _KEPT:
            self._cache.popitem(last=False)

    def _fail(self, sentence: str) -> None:
        self.trouble = sentence
        self.failed.emit(sentence)
