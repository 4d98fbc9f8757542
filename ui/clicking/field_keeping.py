"""Accepted fields and the layer they go into: between the dock and the editor."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Dict, Iterator, Optional, Sequence

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsFeatureRequest,
    QgsGeometry,
    QgsProject,
    QgsVectorLayer,
    QgsVectorLayerFeatureSource,
)
from qgis.PyQt.QtCore import QObject, QTimer, pyqtSignal

from ...core.errors import FurrowError
from ...core.monitor import Monitor
from ...qgis_io.field_journal import FieldJournal
from ...qgis_io.field_layers import (
    FieldValues,
    class_totals,
    new_geopackage_layer,
    style_by_class,
)
from ...qgis_io.journal_files import JournalEntry
from ...qgis_io.texts import tr
from ..background_task import PATIENCE, BackgroundTask
from ..crop_classes import CropClass, CropClasses
from ..dock import FurrowDock
from ..messages import Messages
from .field_editing import FieldEditor, Mode
from .labelling import ShownField

_SETTLE = 200
"""Milliseconds without an edit before the totals are counted again."""
_FEW = 1000
"""So many fields are counted at once, in less than a tenth of a second; more in the background."""
_MADE = "furrow/made"
"""Marks layers that Furrow made: only those get the colours of the classes."""


class FieldKeeping(QObject):
    """Keeps fields, tells the dock what there is."""

    kept = pyqtSignal(object)
    """A ShownField that is a new field now."""
    target_changed = pyqtSignal()
    """Fields go into another layer."""

    def __init__(
        self,
        dock: FurrowDock,
        classes: CropClasses,
        journal: FieldJournal,
        messages: Messages,
        parent: Optional[QObject] = None,
    ) -> None:
        super().__init__(parent)
        self._dock, self._classes, self._messages = dock, classes, messages
        self._project, self._journal = QgsProject.instance(), journal
        self.into_geopackage = False
        """Whether the first field without a target goes into a new GeoPackage, not into memory."""
        self.editor = FieldEditor(self._project, journal, self)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SETTLE)
        self._timer.timeout.connect(self._count)
        self._counting: Optional[BackgroundTask] = None
        self._outdated = False
        self._gone = threading.Event()
        dock.target_changed.connect(self.set_target)
        dock.mapping_changed.connect(self.set_mapping)
        dock.new_geopackage_wanted.connect(self._new_geopackage)
        dock.mode_changed.connect(self._set_mode)
        dock.share_edges_changed.connect(self._set_share_edges)
        classes.changed.connect(self._style)
        self.editor.target_made.connect(self._take_up)
        self.editor.changed.connect(self._timer.start)

    @property
    def target(self) -> Optional[QgsVectorLayer]:
        """The layer that fields go into; None: one is made for the first."""
        return self.editor.target

    @property
    def mapping(self) -> Dict[str, str]:
        """Which columns take class and code, as the project keeps it."""
        mapping = self.editor.mapping
        return {"class": mapping.class_name, "code": mapping.code}

    @property
    def class_column(self) -> str:
        """Where the class is written; empty where it is not."""
        return self.editor.mapping.class_name

    def keep(self, field: ShownField, crop: CropClass, model: str) -> bool:
        """Do with an accepted field what the mode says; False where nothing could be done."""
        new = self.editor.mode is Mode.NEW
        if new and not self._has_place():
            return False
        try:
            self.editor.keep(field, _values(field, crop, model))
        except FurrowError as error:
            self._messages.warn(str(error))
            return False
        if self._journal.trouble:
            self._messages.warn(self._journal.trouble)
        if new:
            self.kept.emit(field)
        return True

    def keep_parts(
        self,
        field: ShownField,
        shapes: Sequence[QgsGeometry],
        crs: QgsCoordinateReferenceSystem,
        crop: CropClass,
        model: str,
    ) -> bool:
        """Keep the parts of a field as fields of their own."""
        if not self._has_place():
            return False
        try:
            for shape in shapes:
                self.editor.add_shape(shape, crs, _values(field, crop, model))
        except FurrowError as error:
            self._messages.warn(str(error))
            return False
        return True

    def set_target(self, layer: Optional[QgsVectorLayer]) -> None:
        """Have fields go into a layer; one that cannot take them is refused with a message."""
        try:
            self.editor.set_target(layer)
        except FurrowError as error:
            self._messages.warn(str(error))
            self._dock.set_target(self.target)
            return
        mapping = self.editor.mapping
        self._dock.set_mapping(mapping.class_name, mapping.code)
        self._timer.start()
        self.target_changed.emit()

    def set_mapping(self, class_column: str, code_column: str) -> None:
        """Write class and code to these columns."""
        mapping = self.editor.mapping
        self.editor.mapping = replace(mapping, class_name=class_column, code=code_column)
        self._dock.set_mapping(class_column, code_column)
        self._timer.start()
        self.target_changed.emit()

    def offer_recovery(self) -> None:
        """Tell of the fields that were not saved when QGIS ended unexpectedly."""
        for entry in self._journal.recoverable():
            text = tr("{} unsaved field(s) of {} can be recovered.").format(
                len(entry.rows), entry.layer_name
            )
            self._messages.ask(text, [
                (tr("Recover"), lambda entry=entry: self.recover(entry)),
                (tr("Discard"), lambda entry=entry: self._journal.forget(entry)),
            ])  # fmt: skip

    def recover(self, entry: JournalEntry) -> None:
        """Bring unsaved fields back as a layer in memory, which is the target from now on."""
        try:
            layer = self._journal.recovered_layer(entry)
        except FurrowError as error:
            self._messages.warn(str(error))
            return
        self._project.addMapLayer(layer)
        self._take_up(layer)
        if self.target is layer and not self._journal.trouble:  # else they are nowhere else
            self._journal.forget(entry)

    def close(self) -> None:
        """No target, no timer, no count that goes on."""
        self._timer.stop()
        self._gone.set()
        if self._counting is not None:
            self._counting.cancel()
            self._counting.waitForFinished(PATIENCE)
        self.editor.forget_target()

    def _take_up(self, layer: QgsVectorLayer) -> None:
        """Use a layer that Furrow made."""
        layer.setCustomProperty(_MADE, True)
        self._dock.set_target(layer)
        self.set_target(layer)
        self._style()

    def _has_place(self) -> bool:
        """Whether a new field has a layer: where it goes into a GeoPackage the user names one."""
        if self.target is not None or not self.into_geopackage:
            return True
        path = self._dock.ask_geopackage()
        if path:
            self._new_geopackage(path)
        return self.target is not None

    def _new_geopackage(self, path: str) -> None:
        image = self._dock.image()
        crs = image.crs() if image is not None else self._project.crs()
        try:
            layer = new_geopackage_layer(Path(path), crs, tr("Fields"))
        except FurrowError as error:
            self._messages.warn(str(error))
            return
        self._project.addMapLayer(layer)
        self._take_up(layer)

    def _style(self) -> None:
        layer = self.target
        if layer is not None and layer.customProperty(_MADE):
            colours = [(crop.name, crop.colour) for crop in self._classes.all()]
            style_by_class(layer, self.editor.mapping, colours)
            layer.triggerRepaint()

    def _set_mode(self, name: str) -> None:
        self.editor.mode = Mode(name)

    def _set_share_edges(self, share: bool) -> None:
        self.editor.share_edges = share

    def _count(self) -> None:
        """Count the fields of each class; those of a large layer in the background."""
        layer, mapping = self.target, self.editor.mapping
        context = self._project.transformContext()
        if self._counting is not None:
            self._outdated = True
        elif layer is None:
            self._dock.set_totals({})
        elif 0 <= layer.featureCount() <= _FEW:
            self._dock.set_totals(class_totals(layer, mapping, context))
        else:
            source = QgsVectorLayerFeatureSource(layer)
            self._counting = BackgroundTask(
                tr("Furrow: counting fields"),
                lambda monitor: class_totals(_Stoppable(source, monitor), mapping, context),
                self._gone,
            )
            self._counting.ended.connect(self._on_counted)
            QgsApplication.taskManager().addTask(self._counting)

    def _on_counted(self, task: BackgroundTask) -> None:
        self._counting = None
        if self._gone.is_set():
            return
        if self._outdated:
            self._outdated = False
            self._timer.start()
        elif task.result is not None:
            self._dock.set_totals(task.result)


class _Stoppable:
    """A snapshot of a layer, uncommitted edits included, that any thread may read and stop."""

    def __init__(self, source: QgsVectorLayerFeatureSource, monitor: Monitor) -> None:
        self.fields, self.crs = source.fields, source.crs
        self._source, self._monitor = source, monitor

    def getFeatures(self, request: QgsFeatureRequest) -> Iterator[QgsFeature]:
        """:raises Cancelled: nobody waits any more."""
        for feature in self._source.getFeatures(request):
            self._monitor.check()
            yield feature


def _values(field: ShownField, crop: CropClass, model: str) -> FieldValues:
    mask = field.mask
    return FieldValues(
        crop.name, crop.code, mask.score, mask.date, model, mask.image, field.marks
    )
