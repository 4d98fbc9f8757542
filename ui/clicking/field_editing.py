"""What becomes of a field that the user keeps: added, joined, cut, merged; always undoable."""

from __future__ import annotations

from enum import Enum
from typing import Any, List, Optional, Tuple

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCoordinateTransformContext,
    QgsFeatureRequest,
    QgsGeometry,
    QgsProject,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QObject, pyqtSignal

from ...core.errors import OutputError
from ...qgis_io.field_journal import FieldJournal
from ...qgis_io.field_layers import (
    FieldMapping,
    FieldValues,
    add_field,
    change_shape,
    check_target,
    merge_fields,
    new_memory_layer,
)
from ...qgis_io.polygons import clean_polygons, moved_by
from ...qgis_io.shared_edges import fitted
from ...qgis_io.texts import tr
from .labelling import ShownField

_SHARED_PIXELS = 1.0
"""Outlines nearer to each other than this become one edge."""
_MERGED_SHARE = 0.02
"""A field is merged where the sketch covers at least this share of the smaller of the two."""


class Mode(str, Enum):
    """What happens to a field that is accepted."""

    NEW = "new"
    ADD = "add"
    CUT = "cut"
    MERGE = "merge"


class FieldEditor(QObject):
    """Puts accepted fields into the target layer, as edits that QGIS can undo."""

    target_made = pyqtSignal(object)
    """A layer in memory that was made because there was none."""
    changed = pyqtSignal()
    """Fields of the target were added, changed or deleted, by whomever."""

    def __init__(
        self, project: QgsProject, journal: FieldJournal, parent: Optional[QObject] = None
    ) -> None:
        super().__init__(parent)
        self.mode = Mode.NEW
        self.share_edges = True
        self.mapping = FieldMapping()
        self._project, self._journal = project, journal
        self._target: Optional[QgsVectorLayer] = None

    @property
    def target(self) -> Optional[QgsVectorLayer]:
        """The layer that fields go into."""
        return self._target

    def set_target(self, layer: Optional[QgsVectorLayer]) -> None:
        """Use a layer from now on.

        :raises OutputError: fields cannot go into it; the target before it stays.
        """
        if layer is self._target:
            return
        if layer is not None:
            check_target(layer)
        self.forget_target()
        self._target = layer
        if layer is not None:
            self.mapping = FieldMapping.guess(layer)
            self._journal.watch(layer)
            layer.willBeDeleted.connect(self.forget_target)
            for signal in _edits(layer):
                signal.connect(self.changed)

    def forget_target(self) -> None:
        """Have no target; called too when the layer is about to go."""
        layer, self._target = self._target, None
        if layer is None:
            return
        self._journal.unwatch()
        if not sip.isdeleted(layer):  # as it is where Python made it
            layer.willBeDeleted.disconnect(self.forget_target)
            for signal in _edits(layer):
                signal.disconnect(self.changed)

    def keep(self, field: ShownField, values: FieldValues) -> None:
        """Do with an accepted field what the mode says.

        :raises FurrowError: it cannot be done; nothing has changed.
        """
        if self.mode is Mode.NEW:
            self._add(self._target or self._new_target(field.crs), field, values)
        elif self._target is None:
            raise OutputError(
                tr("There are no fields to change yet; set the mode to new, or choose their layer.")
            )
        elif self.mode is Mode.MERGE:
            self._merge(self._target, field)
        else:
            self._reshape(self._target, field)

    def add_shape(
        self, shape: QgsGeometry, crs: QgsCoordinateReferenceSystem, values: FieldValues
    ) -> None:
        """Add a polygon as it is."""
        layer = self._target or self._new_target(crs)
        add_field(layer, shape, crs, values, self.mapping, self._context)

    def _add(self, layer: QgsVectorLayer, field: ShownField, values: FieldValues) -> None:
        shape = field.shape
        if self.share_edges:
            tolerance = _SHARED_PIXELS * field.pixel
            shape = fitted(shape, layer, field.crs, self._context, tolerance)
            if shape.isEmpty():
                raise OutputError(
                    tr("This field lies in others already; click elsewhere or share no edges.")
                )
        add_field(layer, shape, field.crs, values, self.mapping, self._context)

    def _reshape(self, layer: QgsVectorLayer, field: ShownField) -> None:
        """Add the sketch to the field it shares most with, or cut it from there."""
        shape = self._in_layer(field, layer)
        near = self._touched(layer, shape)
        if not near:
            raise OutputError(tr("No accepted field is there; click where one is."))
        fid, own = near[0]
        adding = self.mode is Mode.ADD
        if adding and self.share_edges:
            tolerance = _SHARED_PIXELS * field.pixel
            fitting = fitted(field.shape, layer, field.crs, self._context, tolerance, fid)
            shape = self._moved(fitting, field.crs, layer)
        new = _joined(own, shape, layer) if adding else own.difference(shape)
        if new.isNull():  # which would delete the field
            raise OutputError(
                tr("The field that is there has a broken outline ({reason}); mend its layer with "
                   "Fix geometries.").format(reason=new.lastError() or tr("unknown reason"))
            )  # fmt: skip
        text = tr("Add to field") if adding else tr("Cut from field")
        change_shape(layer, fid, new, layer.crs(), text, self._context, self.mapping)

    def _merge(self, layer: QgsVectorLayer, field: ShownField) -> None:
        near = self._touched(layer, self._in_layer(field, layer), _MERGED_SHARE)
        if len(near) < 2:
            raise OutputError(
                tr("Merging takes two fields: mark a piece that covers parts of both.")
            )
        merge_fields(layer, [fid for fid, _ in near], self._context, self.mapping)

    def _touched(self, layer: QgsVectorLayer, shape: QgsGeometry, share: float = 0.0) -> List:
        """Ids and shapes of the fields under a shape, the one that shares most with it first."""
        found = []
        request = QgsFeatureRequest().setFilterRect(shape.boundingBox())
        for feature in layer.getFeatures(request):
            own = clean_polygons(feature.geometry())
            shared = own.intersection(shape).area()
            if shared > share * min(own.area(), shape.area()):
                found.append((shared, feature.id(), QgsGeometry(own)))
        found.sort(key=lambda entry: -entry[0])
        return [(fid, own) for _, fid, own in found]

    def _in_layer(self, field: ShownField, layer: QgsVectorLayer) -> QgsGeometry:
        return self._moved(field.shape, field.crs, layer)

    def _moved(
        self, shape: QgsGeometry, crs: QgsCoordinateReferenceSystem, layer: QgsVectorLayer
    ) -> QgsGeometry:
        """A copy in the reference system of a layer."""
        return moved_by(shape, QgsCoordinateTransform(crs, layer.crs(), self._context))

    def _new_target(self, crs: QgsCoordinateReferenceSystem) -> QgsVectorLayer:
        if not crs.isValid():
            raise OutputError(
                tr("The image has no reference system; set it in its layer's properties, or choose "
                   "a layer for the fields.")
            )  # fmt: skip
        layer = new_memory_layer(crs, tr("Fields"))
        self._project.addMapLayer(layer)
        self.set_target(layer)
        self.target_made.emit(layer)
        return layer

    @property
    def _context(self) -> QgsCoordinateTransformContext:
        return self._project.transformContext()


def _edits(layer: QgsVectorLayer) -> Tuple[Any, ...]:
    """The signals of a layer whose fields change."""
    return (layer.featureAdded, layer.featureDeleted, layer.geometryChanged,
            layer.attributeValueChanged)  # fmt: skip


def _joined(own: QgsGeometry, shape: QgsGeometry, layer: QgsVectorLayer) -> QgsGeometry:
    """A field and what is added to it.

    :raises OutputError: there is nothing to add, or the layer cannot hold both.
    """
    if shape.isEmpty():
        raise OutputError(
            tr("What is marked lies in other fields already; mark more, or share no edges.")
        )
    both = own.combine(shape)
    if clean_polygons(both).isMultipart() and QgsWkbTypes.isSingleType(layer.wkbType()):
        raise OutputError(
            tr("What is marked lies apart from the field, and {} holds single polygons; mark what "
               "touches it.").format(layer.name())
        )  # fmt: skip
    return both
