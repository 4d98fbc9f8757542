"""The fields that a run has found so far, on their way to whoever shows them.

A run works in a thread of its own and knows of no window. What it has found goes through the
signals of an object that the Processing provider owns and the window listens to; Qt carries them
from one thread to the other. Where nobody listens nothing is drawn.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Callable, Iterator, Tuple

from qgis.core import QgsGeometry
from qgis.PyQt.QtCore import QObject, pyqtSignal

from ..core.fields.coverage.planar import planar_fields
from ..core.fields.delineation.tile_records import TileRecord
from ..core.fields.delineation.tiling import Tile
from ..core.imagery.grid import Grid
from .planar_polygons import geometry_of

TileTold = Callable[[Tile, TileRecord], None]
"""Called with each tile that is done, and what was found on it."""


@dataclass(frozen=True, eq=False)
class PreviewRun:
    """A run that tells of its fields. Two runs are never equal: the object is its own id."""

    image: str
    """Name of the image, for users."""
    grid: Grid
    """Of the image: its extent and the reference system of all polygons of the run."""
    unwanted: Event = field(default_factory=Event)
    """Set, in any thread, when nobody looks any more."""


class FieldPreview(QObject):
    """Tells of fields while they are found; made and listened to on the main thread."""

    begun = pyqtSignal(object)
    """A PreviewRun."""
    found = pyqtSignal(object, object)
    """A PreviewRun and a tuple of QgsGeometry: the fields of one tile."""
    ended = pyqtSignal(object)
    """A PreviewRun, however it ended."""

    @property
    def listening(self) -> bool:
        """Whether anybody wants to know; to be asked from any thread."""
        return self.receivers(self.found) > 0

    @contextmanager
    def run(self, image: str, grid: Grid) -> Iterator[TileTold]:
        """A run begins, and ends with the context; what it gives is to be told of each tile.

        :param image: its name, for users.
        """
        run = PreviewRun(image, grid)
        self.begun.emit(run)
        try:
            yield partial(self._tell, run)
        finally:
            self.ended.emit(run)

    def _tell(self, run: PreviewRun, tile: Tile, record: TileRecord) -> None:
        if not run.unwanted.is_set():
            self.found.emit(run, core_polygons(tile, record, run.grid))


def core_polygons(tile: Tile, record: TileRecord, grid: Grid) -> Tuple[QgsGeometry, ...]:
    """The fields of a tile as multipolygons in map coordinates, cut off where its core ends.

    They follow the edges of pixels, which is more than twice as fast as smooth outlines.

    :param grid: of the scene.
    """
    core = tile.core
    part = Grid(core.width, core.height, grid.window_transform(core), grid.crs)
    fields = planar_fields(record.labels[tile.core_in_area])
    return tuple(geometry_of(each, part) for each in fields)
