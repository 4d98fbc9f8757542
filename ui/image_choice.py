"""Which image is looked at, how, and by which engine."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

from qgis.core import (
    QgsCoordinateTransform,
    QgsCsException,
    QgsPointXY,
    QgsProject,
    QgsRasterLayer,
)
from qgis.gui import QgsMapCanvas
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QObject, pyqtSignal

from ..core.errors import FurrowError, ModelError
from ..models.segmenters.registry import Registry
from ..qgis_io.layer_pictures import LayerLook, LayerPictures, Look, is_web, looks_of
from ..qgis_io.places import places
from ..qgis_io.texts import tr
from .clicking.encoding import View
from .engines import Engine


class ImageChoice(QObject):
    """The choice that makes a `View`."""

    changed = pyqtSignal()
    """The image, its look or the engine is another one."""
    warned = pyqtSignal(str)
    """Why there is no view."""

    def __init__(self, canvas: QgsMapCanvas, parent: Optional[QObject] = None) -> None:
        super().__init__(parent)
        self.web_metres = 10.0
        self._canvas = canvas
        self._layer: Optional[QgsRasterLayer] = None
        self._look: Optional[LayerLook] = None
        self._engine = Engine(_default_id())

    @property
    def layer(self) -> Optional[QgsRasterLayer]:
        """The image; None where none is chosen."""
        return self._layer

    @property
    def look(self) -> Optional[LayerLook]:
        """How it is looked at; None without an image."""
        return self._look

    @property
    def engine(self) -> Engine:
        """Who segments."""
        return self._engine

    @property
    def ready(self) -> bool:
        """Whether the engine can run here."""
        return not self.advice

    @property
    def advice(self) -> str:
        """A sentence: what to do before the engine can run here; empty where it can."""
        try:
            return Registry(places()).model(self._engine.id).advice
        except ModelError as error:
            return str(error)

    def offered(self) -> List[Tuple[str, str]]:
        """Ids and titles of the looks that the image can offer, the best one first."""
        if self._layer is None:
            return []
        return [(look.value, _title(look)) for look in looks_of(self._layer)]

    def set_layer(self, layer: Optional[QgsRasterLayer]) -> None:
        """Look at another image, or at none, as it looks best."""
        before, self._layer, self._look = self._layer, layer, None
        if before is not None and not sip.isdeleted(before):
            for signal in _changes(before):
                signal.disconnect(self.changed)
        if layer is not None:
            self._look = LayerLook(looks_of(layer)[0])
            for signal in _changes(layer):
                signal.connect(self.changed)
        self.changed.emit()

    def set_look(self, name: str, bands: Optional[Sequence[int]] = None) -> None:
        """Look at the image in another way; what it cannot offer is passed over."""
        if self._layer is None or Look(name) not in looks_of(self._layer):
            return
        self._look = LayerLook(Look(name), tuple(bands) if bands else None)
        self.changed.emit()

    def set_model(self, model_id: str) -> None:
        """Have another model segment; the empty id is the default."""
        wanted = model_id or _default_id()
        if wanted != self._engine.id:
            self._engine = Engine(wanted)
            self.changed.emit()

    def view(self) -> Optional[View]:
        """What to encode; None where something is missing, which is said where it is an error."""
        if self._layer is None or not self.ready:
            return None
        centre = self._centre() if is_web(self._layer) else None
        try:
            pictures = LayerPictures(self._layer, self._look, self.web_metres, centre)
        except FurrowError as error:
            self.warned.emit(str(error))
            return None
        return View(pictures, self._engine)

    def _centre(self) -> Optional[QgsPointXY]:
        """The middle of the canvas in the reference system of the image."""
        here = self._canvas.mapSettings().destinationCrs()
        move = QgsCoordinateTransform(here, self._layer.crs(), QgsProject.instance())
        try:
            return move.transform(self._canvas.center())
        except QgsCsException:
            return None


def _changes(layer: QgsRasterLayer) -> Tuple[Any, ...]:
    """The signals of a layer whose view is out of date."""
    return layer.crsChanged, layer.dataSourceChanged


def _default_id() -> str:
    return Registry(places()).ids()[0]


def _title(look: Look) -> str:
    return {
        Look.FALSE_COLOUR: tr("False colour (near infrared)"),
        Look.TRUE_COLOUR: tr("True colour"),
        Look.BANDS: tr("Chosen bands"),
        Look.STYLED: tr("As the layer is styled"),
    }[look]
