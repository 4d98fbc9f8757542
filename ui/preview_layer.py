"""Fields in the map while they are found: a layer for each run that lasts as long as the run.

The layer is no part of the user's work, so the project is never marked as changed for it, and
the active layer stays the active one. Fields are added, and in the end taken away, a few at a time
between other events: a large scene has hundreds of thousands.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import ExitStack, contextmanager
from typing import Callable, Deque, Dict, Iterator, Optional, Tuple

from qgis.core import (
    QgsFeature,
    QgsFeatureSink,
    QgsGeometry,
    QgsMapLayer,
    QgsProject,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.gui import QgsMapCanvas
from qgis.PyQt.QtCore import QObject, Qt, QTimer

from ..qgis_io.field_preview import FieldPreview, PreviewRun
from ..qgis_io.ground import crs_of
from ..qgis_io.styles import plain_field_renderer
from ..qgis_io.texts import tr

_MARK = "furrow/preview"
"""Property of our layers, to know them again in a project that was saved amid a run."""
_SECONDS = 0.02
"""How long other events wait at most while fields are added or taken away."""
_BATCH = 100
"""Fields that are added in less than a millisecond."""
_PAUSE, _DRAW_AFTER = 20, 1000
"""Milliseconds until the next fields are added, and until added ones are drawn."""


class PreviewLayers(QObject):
    """The layers of all runs. Made with the plugin, closed with it."""

    def __init__(
        self, preview: FieldPreview, canvas: QgsMapCanvas, parent: Optional[QObject] = None
    ) -> None:
        super().__init__(parent)
        self._canvas = canvas
        self._project = QgsProject.instance()
        self._layers: Dict[PreviewRun, str] = {}
        """Ids of the layers of runs, empty before a run has found something."""
        self._waiting: Deque[Tuple[PreviewRun, Tuple[QgsGeometry, ...]]] = deque()
        self._leaving: Deque[_Emptying] = deque()
        self._working = self._timer(_PAUSE, self._work)
        self._drawing = self._timer(_DRAW_AFTER, self._draw)
        self._signals = (
            (preview.begun, self._on_begun),
            (preview.found, self._on_found),
            (preview.ended, self._on_ended),
        )
        for signal, slot in self._signals:
            # Queued even where a run shares our thread: a run must not change the project.
            signal.connect(slot, Qt.ConnectionType.QueuedConnection)
        self._project.cleared.connect(self._on_cleared)
        self._project.readProject.connect(self._on_read)

    def close(self) -> None:
        """Take back all layers; what runs still find is dropped. A second call does nothing."""
        if not self._signals:
            return
        for signal, slot in self._signals:
            signal.disconnect(slot)
        self._signals = ()
        self._project.cleared.disconnect(self._on_cleared)
        self._project.readProject.disconnect(self._on_read)
        for run in list(self._layers):
            self._take(self._layer_of(run))
            self._forget(run)
        for timer in (self._working, self._drawing):
            timer.stop()
        self._waiting.clear()
        self._leaving.clear()
        self.deleteLater()

    def _timer(self, milliseconds: int, slot: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        timer.timeout.connect(slot)
        return timer

    # --- what runs tell ---

    def _on_begun(self, run: PreviewRun) -> None:
        self._layers[run] = ""

    def _on_found(self, run: PreviewRun, shapes: Tuple[QgsGeometry, ...]) -> None:
        # Runs that began before us, or in a project that is gone, are not known.
        if run not in self._layers:
            return
        self._waiting.extend((run, shapes[k : k + _BATCH]) for k in range(0, len(shapes), _BATCH))
        _start(self._working)

    def _on_ended(self, run: PreviewRun) -> None:
        if run not in self._layers:
            return
        layer = self._layer_of(run)
        self._forget(run)
        if layer is not None:
            self._take(layer)
            self._leaving.append(_Emptying(layer))
            _start(self._working)

    def _forget(self, run: PreviewRun) -> None:
        del self._layers[run]
        run.unwanted.set()

    # --- the project ---

    def _on_cleared(self) -> None:
        """Another project: what was begun in the one before is not shown in it."""
        for run in list(self._layers):
            self._forget(run)

    def _on_read(self) -> None:
        """A project that was saved amid a run has a layer that nobody takes away any more."""
        for layer in self._project.mapLayers().values():
            if _is_preview(layer) and layer.id() not in self._layers.values():
                self._take(layer)

    def _layer_of(self, run: PreviewRun) -> Optional[QgsVectorLayer]:
        """None where there is none yet, the user removed it, or saved it: it is his own then."""
        layer = self._project.mapLayer(self._layers[run])
        return layer if _is_preview(layer) else None

    def _place(self, run: PreviewRun) -> None:
        """Give a run its layer, above all others."""
        layer = _new_layer(run)
        self._layers[run] = layer.id()
        with _unmarked(self._project):
            self._project.addMapLayer(layer, False)
            self._project.layerTreeRoot().insertLayer(0, layer)

    def _take(self, layer: Optional[QgsMapLayer]) -> None:
        """Take a layer out of the project; it lives as long as somebody holds it."""
        if layer is not None:
            with _unmarked(self._project):
                self._project.takeMapLayer(layer)

    # --- fields ---

    def _work(self) -> None:
        """Add and take away fields for a moment."""
        ending = time.perf_counter() + _SECONDS
        # While the map is drawn it holds a copy of the list of fields, and each change makes
        # another one.
        while not self._canvas.isDrawing() and time.perf_counter() < ending:
            if self._waiting:
                self._add(*self._waiting.popleft())
            elif not self._leaving:
                return
            elif self._leaving[0].step():
                self._leaving.popleft()
        self._working.start()

    def _add(self, run: PreviewRun, shapes: Tuple[QgsGeometry, ...]) -> None:
        if run not in self._layers:
            return
        if not self._layers[run]:
            self._place(run)
        layer = self._layer_of(run)
        if layer is None:
            self._forget(run)
            return
        features = [_feature(shape) for shape in shapes]
        layer.dataProvider().addFeatures(features, QgsFeatureSink.Flag.FastInsert)
        _start(self._drawing)

    def _draw(self) -> None:
        # A map that is being drawn is left to end: a slow one would never come to it.
        if self._canvas.isDrawing():
            self._drawing.start()
            return
        for run in self._layers:
            layer = self._layer_of(run)
            if layer is not None:
                layer.triggerRepaint()


class _Emptying:
    """Frees the fields of a layer a few at a time; at once it takes a second for a large scene."""

    def __init__(self, layer: QgsVectorLayer) -> None:
        self._layer = layer
        # A layer in memory counts its features from 1.
        self._next, self._end = 1, layer.featureCount() + 1

    def step(self) -> bool:
        """Free some; whether it was the last of them."""
        after = min(self._next + _BATCH, self._end)
        self._layer.dataProvider().deleteFeatures(list(range(self._next, after)))
        self._next = after
        return after == self._end


@contextmanager
def _unmarked(project: QgsProject) -> Iterator[None]:
    """Layers come or go, and the project is not marked as changed.

    QGIS marks it when the map gets its layers, which waits in the queue of events by then; so the
    end of this queues up behind it.
    """
    blocking = ExitStack()
    blocking.enter_context(QgsProject.blockDirtying(project))
    try:
        yield
    finally:
        QTimer.singleShot(0, lambda: blocking.close())  # of a bound method Qt holds nothing


def _new_layer(run: PreviewRun) -> QgsVectorLayer:
    title = tr("Fields so far: {}").format(run.image)
    layer = QgsVectorLayer("MultiPolygon", title, "memory")
    layer.setCrs(crs_of(run.grid))
    layer.setRenderer(plain_field_renderer())
    layer.setExtent(QgsRectangle(*run.grid.bounds()))  # looking through all fields takes long
    layer.setReadOnly(True)
    layer.setCustomProperty(_MARK, True)
    layer.setCustomProperty("skipMemoryLayersCheck", 1)  # else QGIS warns that it will be lost
    return layer


def _start(timer: QTimer) -> None:
    """Unless it is counting: else what comes fast would put it off again and again."""
    if not timer.isActive():
        timer.start()


def _is_preview(layer: Optional[QgsMapLayer]) -> bool:
    if not isinstance(layer, QgsVectorLayer) or layer.providerType() != "memory":
        return False
    return bool(layer.customProperty(_MARK))


def _feature(shape: QgsGeometry) -> QgsFeature:
    feature = QgsFeature()
    feature.setGeometry(shape)
    return feature
