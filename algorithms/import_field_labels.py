"""furrow:importfieldlabels: labels given in LabelMe or X-AnyLabeling come back to the fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from qgis.core import (
    QgsFeatureSource,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsWkbTypes,
)

from ..core.errors import ParameterError
from ..core.fields.classification.relabelling import relabelled
from ..qgis_io.compat import plain
from ..qgis_io.label_files import ShapePlacer, read_label_files
from ..qgis_io.labelled_layers import CHANGED, MISSING, NEW, BareShapes, LabelledLayer
from ..qgis_io.monitors import monitor_of
from ..qgis_io.sinks import write_layer
from ..qgis_io.styles import apply_style, field_renderer
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm, SourceType, report_skips
from .field_parameters import add_class_field, read_field_source


class ImportFieldLabels(FurrowAlgorithm):
    """Labels from labelling programs."""

    NAME = "importfieldlabels"
    LABEL = "Import field labels"
    GROUP = "Fields"
    SUMMARY = "Classes that were changed in LabelMe or X-AnyLabeling, back in the polygon layer."
    TAGS = "labelme,x-anylabeling,label,annotation,import,field,class,json,training"
    HELP = (
        "Reads the JSON files that 'Export field crops' wrote and a person has changed, and gives "
        "each polygon its new class. A polygon is found by its id, which is the shape's group; its "
        "geometry stays as it is. Shapes that were drawn there become new polygons.\n\n"
        "The column status tells what happened: kept, changed, new, or missing where a polygon has "
        "no shape any more (its class stays).\n\nWithout FIELDS every shape becomes a polygon, "
        "also those of pictures that were labelled elsewhere.\n\n"
        "Example: LABELS the folder of the export, FIELDS the layer that was exported, "
        "CLASS_FIELD class."
    )

    def add_parameters(self) -> None:
        self.add(
            QgsProcessingParameterFile(
                "LABELS",
                tr("Folder of label files"),
                behavior=QgsProcessingParameterFile.Behavior.Folder,
            ),
            tr("Holds the JSON files, itself or in its folder pictures."),
        )
        self.add(
            QgsProcessingParameterFeatureSource(
                "FIELDS", tr("Fields"), [SourceType.TypeVectorPolygon], optional=True
            ),
            tr("The layer that was exported. Empty: all shapes become polygons."),
        )
        add_class_field(
            self,
            tr("Gets the labels. Empty: a new text field 'class' gets them."),
            optional=True,
        )
        self.add(
            QgsProcessingParameterBoolean("ADD_NEW", tr("Add new shapes"), defaultValue=True),
            tr("Shapes that belong to no polygon become polygons."),
        )
        self.add(
            QgsProcessingParameterFeatureSink(
                "OUTPUT", tr("Labelled fields"), SourceType.TypeVectorPolygon
            ),
            tr("All polygons with their classes and what happened to them."),
        )
        for name, label in (
            ("CHANGED", tr("Changed classes")),
            ("NEW", tr("New polygons")),
            ("MISSING", tr("Polygons without a shape")),
            ("SKIPPED", tr("Skipped files and shapes")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        folder = Path(self.text(parameters, "LABELS", context))
        if not folder.is_dir():
            raise ParameterError(f"LABELS: {folder} is no folder; choose the folder of the export.")
        self._source(parameters, context)

    def work(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        monitor = monitor_of(feedback)
        folder = Path(self.text(parameters, "LABELS", context))
        files = read_label_files(folder, monitor.part(0, 0.8))
        source = self._source(parameters, context)
        column = self.text(parameters, "CLASS_FIELD", context)
        layer = BareShapes(files) if source is None else LabelledLayer(source, column)
        found = relabelled(files.shapes, layer.known)
        skipped: List[Tuple[Any, str]] = list(files.skipped)
        rows = layer.rows(found, skipped)
        if source is None or self.parameterAsBoolean(parameters, "ADD_NEW", context):
            rows += layer.new_rows(files, found, ShapePlacer(layer.crs, context), skipped)
        report_skips(feedback, tr("Label"), skipped)
        monitor.check()
        output = write_layer(
            self, parameters, "OUTPUT", context, layer.fields,
            QgsWkbTypes.Type.MultiPolygon, layer.crs, rows,
        )  # fmt: skip
        place = layer.fields.lookupField(layer.column)
        classes = {plain(values[place]) for _, values in rows} - {None}
        apply_style(output, field_renderer(layer.column, sorted(classes, key=str)), context,
                    self.keep)  # fmt: skip
        statuses = [values[-1] for _, values in rows]
        counts = {
            "CHANGED": statuses.count(CHANGED),
            "NEW": statuses.count(NEW),
            "MISSING": statuses.count(MISSING),
            "SKIPPED": len(skipped),
        }
        feedback.pushInfo(
            tr("{CHANGED} changed, {NEW} new, {MISSING} without a shape.").format(**counts)
        )
        self.write_records({"OUTPUT": output}, counts, skipped)
        return {"OUTPUT": output, **counts}

    def _source(
        self, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> Optional[QgsFeatureSource]:
        if not parameters.get("FIELDS"):
            return None
        return read_field_source(self, parameters, context)
