"""A canvas with the click tool on it, as the dock uses them, for bench_clicking.py."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Callable, List

import numpy as np
from osgeo import gdal
from qgis.core import QgsCoordinateReferenceSystem, QgsPointXY, QgsRasterLayer
from qgis.gui import QgsMapCanvas
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QApplication

from furrow.models.segmenters.embeddings.embedding_store import EmbeddingStore
from furrow.qgis_io.layer_pictures import LayerLook, LayerPictures, looks_of
from furrow.ui.clicking.encoding import View, WindowEncoder
from furrow.ui.clicking.field_tool import FieldTool
from furrow.ui.clicking.labelling import Labelling
from furrow.ui.engines import Engine

WINDOW = 200
MEGABYTE = 2**20
BEAT = 5
"""Milliseconds between two beats of the heart."""


def memory() -> float:
    """Resident memory of this process in megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / MEGABYTE


class Heart:
    """Beats on the main thread; remembers the longest pause."""

    def __init__(self) -> None:
        self.pauses: List[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._timer.start(BEAT)

    def _beat(self) -> None:
        now = time.perf_counter()
        self.pauses.append(1000 * (now - self._last) - BEAT)
        self._last = now

    def stop(self) -> None:
        self._timer.stop()


class Clicking:
    """The tool on a canvas that shows one image."""

    def __init__(self, path: Path, engine: Engine, store: Path) -> None:
        self.layer = QgsRasterLayer(str(path), path.stem)
        if not self.layer.isValid():
            raise SystemExit(f"{path} cannot be opened")
        self.canvas = QgsMapCanvas()
        self.canvas.resize(800, 800)
        self.canvas.setDestinationCrs(self.layer.crs())
        self.canvas.setExtent(self.layer.extent())
        self.encoder = WindowEncoder(EmbeddingStore(store, 256 * MEGABYTE, 2048 * MEGABYTE))
        self.labelling = Labelling(self.canvas, self.encoder)
        self.tool = FieldTool(self.canvas, self.labelling)
        self.canvas.setMapTool(self.tool)
        self.warnings: List[str] = []
        self.labelling.warned.connect(self.warnings.append)
        self.pictures = LayerPictures(self.layer, LayerLook(looks_of(self.layer)[0]))
        self.labelling.look_at(View(self.pictures, engine), WINDOW)

    def place(self, x: float, y: float) -> QgsPointXY:
        """The place on the map of a point in pixels."""
        mx, my = self.pictures.grid.to_map(x, y)
        return QgsPointXY(float(mx), float(my))

    def click(self, x: float, y: float, foreground: bool = True) -> float:
        """Click, and wait until the answer is drawn; milliseconds."""
        start = time.perf_counter()
        self.labelling.click(self.place(x, y), foreground)
        wait_until(lambda: self.labelling._offer.missing is None)
        return 1000 * (time.perf_counter() - start)

    def hover(self, x: float, y: float) -> float:
        """One preview of the field under the cursor; milliseconds."""
        self.labelling._cursor = self.place(x, y)
        start = time.perf_counter()
        self.labelling._preview()
        return 1000 * (time.perf_counter() - start)

    def settle(self) -> None:
        """Wait until nothing is encoded any more."""
        wait_until(lambda: not self.encoder.busy)

    def mask(self) -> np.ndarray:
        """(H, W) bool: the field that is drawn; empty where there is none."""
        grid = self.pictures.grid
        field = self.labelling._offer.field
        if field is None:
            return np.zeros((grid.height, grid.width), bool)
        return field.within(grid.whole)

    def close(self) -> None:
        self.canvas.unsetMapTool(self.tool)
        self.labelling.close()
        self.encoder.close()
        self.canvas.close()


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Let Qt run until something is so."""
    end = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > end:
            raise SystemExit("waited in vain")
        QApplication.processEvents()
        time.sleep(0.0005)


def write_large(path: Path, side: int, pattern: np.ndarray) -> None:
    """A tiled uint16 GeoTIFF of side x side pixels, a pattern (3, h, w) repeated all over."""
    driver = gdal.GetDriverByName("GTiff")
    options = ["TILED=YES", "COMPRESS=DEFLATE", "ZLEVEL=1", "BIGTIFF=IF_SAFER"]
    dataset = driver.Create(str(path), side, side, 3, gdal.GDT_UInt16, options)
    dataset.SetGeoTransform((300000.0, 10.0, 0.0, 6200000.0, 0.0, -10.0))
    dataset.SetProjection(QgsCoordinateReferenceSystem("EPSG:32632").toWkt())
    height, width = pattern.shape[1:]
    row_of = np.tile(pattern, (1, 1, -(-side // width)))[:, :, :side]
    for row in range(0, side, height):
        stop = min(height, side - row)
        dataset.WriteArray(np.ascontiguousarray(row_of[:, :stop]), 0, row)
    dataset.FlushCache()
