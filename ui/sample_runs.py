"""From accepted fields to samples: the algorithms, run with what the dock holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from qgis.core import (
    QgsApplication,
    QgsFeature,
    QgsGeometry,
    QgsMapLayer,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QObject, pyqtSignal

from ..core.errors import FurrowError, ParameterError
from ..qgis_io.compat import is_null
from ..qgis_io.texts import tr
from .background_task import PATIENCE
from .messages import Messages

GENERATE, CLEAN = "furrow:generatesamples", "furrow:cleansamples"
_INSIDE = 0.01
"""How exactly the innermost point of a field is looked for, as a share of the field's extent."""


@dataclass(frozen=True)
class SampleOrder:
    """What to make samples from."""

    series: str
    """Folder of the dated images."""
    fields: QgsVectorLayer
    class_column: str
    model: str
    """Id of the segmentation model; the dates are the algorithm's choice, since several clear ones
    outline better than the one image that is clicked on."""


def parameters_of(order: SampleOrder, algorithm: str) -> Dict[str, Any]:
    """Parameters of one of the two algorithms, layers as they are.

    :raises ParameterError: something is missing, and what.
    """
    if not order.series:
        raise ParameterError(
            tr("Samples need a series: choose the folder of dated images in the tab Season.")
        )
    if not order.class_column:
        raise ParameterError(
            tr("Samples need a class: choose the column with the class of the fields.")
        )
    if order.fields.fields().lookupField(order.class_column) < 0:
        raise ParameterError(
            tr("{} has no column {} any more; choose the column with the class.").format(
                order.fields.name(), order.class_column
            )
        )
    shared = {"SERIES": order.series, "CLASS_FIELD": order.class_column}
    if algorithm == CLEAN:
        return {**shared, "SAMPLES": order.fields, "OUTPUT": "TEMPORARY_OUTPUT"}
    points = reference_points(order.fields, order.class_column)
    more = {"REFERENCES": points, "MODEL": order.model, "OUTPUT": "TEMPORARY_OUTPUT",
            "FIELDS": "TEMPORARY_OUTPUT"}  # fmt: skip
    return {**shared, **more}


def reference_points(fields: QgsVectorLayer, class_column: str) -> QgsVectorLayer:
    """The innermost point of each field that has a class, as a layer in memory.

    :raises ParameterError: no field has a class.
    """
    layer = QgsVectorLayer("Point", tr("Reference points of the fields"), "memory")
    layer.setCrs(fields.crs())
    provider = layer.dataProvider()
    source = fields.fields()
    provider.addAttributes([source.field(class_column)])
    layer.updateFields()
    points = []
    for feature in fields.getFeatures():
        shape, label = feature.geometry(), feature[class_column]
        if shape.isEmpty() or is_null(label):
            continue
        point = QgsFeature(layer.fields())
        point.setGeometry(innermost(shape))
        point.setAttributes([label])
        points.append(point)
    if not points:
        raise ParameterError(
            tr("{} has no field with a class; click fields first.").format(fields.name())
        )
    provider.addFeatures(points)
    return layer


def innermost(shape: QgsGeometry) -> QgsGeometry:
    """The point of a polygon that is farthest from its outline."""
    box = shape.boundingBox()
    found = shape.poleOfInaccessibility(_INSIDE * max(box.width(), box.height()))
    point = found[0] if isinstance(found, tuple) else found
    return shape.pointOnSurface() if point.isEmpty() else point


class SampleRun(QObject):
    """One algorithm running in the background, whose layers are loaded when it is done."""

    finished = pyqtSignal(bool, str)
    """Whether it worked, and what to tell the user."""

    def __init__(
        self, algorithm: str, parameters: Dict[str, Any], project: QgsProject, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._algorithm = QgsApplication.processingRegistry().algorithmById(algorithm).create()
        self._parameters = parameters
        self._context = QgsProcessingContext()
        self._context.setProject(project)
        self._feedback = QgsProcessingFeedback(False)
        self._task: Optional[QgsProcessingAlgRunnerTask] = None

    def start(self) -> None:
        """Check the parameters and start.

        :raises ParameterError: what the algorithm has against them.
        """
        for definition in self._algorithm.destinationParameterDefinitions():
            name = definition.name()
            if self._parameters.get(name) == "TEMPORARY_OUTPUT":
                self._parameters[name] = _loaded(name, definition.description(), self._context)
        fine, why = self._algorithm.checkParameterValues(self._parameters, self._context)
        if not fine:
            raise ParameterError(why)
        self._task = QgsProcessingAlgRunnerTask(
            self._algorithm, self._parameters, self._context, self._feedback
        )
        self._task.executed.connect(self._on_executed)
        QgsApplication.taskManager().addTask(self._task)

    def cancel(self) -> None:
        """Stop within a second; nothing is loaded."""
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Cancel and wait; nothing is told after this."""
        task, self._task = self._task, None
        if task is None:
            return
        task.executed.disconnect(self._on_executed)
        # Where waiting is not enough the task, which goes on, keeps alive what it works with.
        task.kept = self._context, self._feedback, self._parameters
        task.cancel()
        task.waitForFinished(PATIENCE)

    def _on_executed(self, worked: bool, results: Dict[str, Any]) -> None:
        self._task = None
        if not worked:
            said = self._feedback.textLog().strip().splitlines()
            self.finished.emit(False, said[-1] if said else tr("The run was cancelled."))
            return
        # Processing's own way: it adds the layers where the algorithm asked, with their style.
        from processing.gui.Postprocessing import handleAlgorithmResults

        handleAlgorithmResults(self._algorithm, self._context, self._feedback)
        self.finished.emit(True, _summary(results))


def _loaded(name: str, title: str, context: QgsProcessingContext) -> Any:
    """A layer in memory that is added to the project when the run is done."""
    output = QgsProcessingOutputLayerDefinition("TEMPORARY_OUTPUT", context.project())
    output.destinationName = title
    return output


def _summary(results: Dict[str, Any]) -> str:
    kept = results.get("KEPT")
    return tr("Samples are ready.") if kept is None else tr("{} samples were kept.").format(kept)


def open_dialog(algorithm: str, parameters: Dict[str, Any], project: QgsProject) -> None:
    """Show the same call as the dialog of the algorithm, which takes layers of the project."""
    from qgis import processing

    shown = {}
    for name, value in parameters.items():
        if isinstance(value, QgsMapLayer):
            project.addMapLayer(value)
            value = value.id()
        shown[name] = value
    processing.execAlgorithmDialog(algorithm, shown)


class SampleRuns(QObject):
    """Starts runs and tells how they went."""

    def __init__(self, messages: Messages, parent: Optional[QObject] = None) -> None:
        super().__init__(parent)
        self._messages = messages
        self._project = QgsProject.instance()
        self._running: List[SampleRun] = []

    def make(self, kind: str, order: SampleOrder) -> None:
        """Make samples.

        :param kind: `generate`, `clean`, or `dialog` for the dialog of generatesamples.
        """
        algorithm = CLEAN if kind == "clean" else GENERATE
        try:
            parameters = parameters_of(order, algorithm)
            if kind == "dialog":
                open_dialog(algorithm, parameters, self._project)
                return
            run = SampleRun(algorithm, parameters, self._project, self)
            run.start()
        except FurrowError as error:
            self._messages.warn(str(error))
            return
        self._running.append(run)
        run.finished.connect(lambda worked, text: self._on_end(run, worked, text))

    def cancel(self) -> None:
        """Stop all runs."""
        for run in self._running:
            run.cancel()

    def close(self) -> None:
        """Stop all runs and wait until they have."""
        for run in self._running:
            run.close()
        self._running.clear()

    def _on_end(self, run: SampleRun, worked: bool, text: str) -> None:
        self._running.remove(run)
        run.deleteLater()
        tell = self._messages.success if worked else self._messages.warn
        tell(text)
