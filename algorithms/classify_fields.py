"""furrow:classifyfields: what kind of field is each polygon, by a trained classifier?"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from qgis.core import (
    QgsFields,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterFile,
)

from ..core.errors import ParameterError
from ..core.fields.classification.model_folder import (
    STATISTICS,
    ClassifierSettings,
    Label,
    read_forest,
    read_settings,
    sha256_of,
)
from ..core.monitor import Monitor
from ..qgis_io.compat import INTEGER, REAL, TEXT, make_field, renamed
from ..qgis_io.field_features import feature_table, picture_bands
from ..qgis_io.field_views import PlacedField, PlacedFields
from ..qgis_io.monitors import monitor_of
from ..qgis_io.sinks import write_layer
from ..qgis_io.styles import apply_style, field_renderer
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm, SourceType, report_skips
from .field_parameters import (
    add_fields,
    add_more_images,
    image_paths,
    read_field_source,
    read_fields,
)
from .image_parameters import add_image
from .network_answers import check_network_model, network_answers

_CLASS, _CHANCE = "class", "probability"
_LONGEST_NAME = 60
_DECIMALS = 4


class ClassifyFields(FurrowAlgorithm):
    """Classes of fields."""

    NAME = "classifyfields"
    LABEL = "Classify fields"
    GROUP = "Fields"
    SUMMARY = "The class of each polygon, such as field or no field, with its probability."
    TAGS = "classify,predict,field,parcel,non-field,random forest,cnn,probability,land use"
    HELP = (
        "Looks at each polygon on the image and tells its class, by a model that 'Train a field "
        "classifier' has made. Only windows around the polygons are read, so the image may be of "
        "any size; the layers may have different reference systems.\n\nPolygons beside the image, "
        "without geometry or with too few pixels are left out and listed in REJECTED.\n\n"
        "Example: polygons from 'Delineate', MODEL trained on some hundred of them; then filter "
        "OUTPUT by class = 'field'."
    )

    def add_parameters(self) -> None:
        add_image(self)
        add_fields(self, tr("Polygons to be classified."))
        self.add(
            QgsProcessingParameterFile(
                "MODEL",
                tr("Folder of the model"),
                behavior=QgsProcessingParameterFile.Behavior.Folder,
            ),
            tr("What 'Train a field classifier' wrote: a folder with model.json."),
        )
        add_more_images(self)
        self.add(
            QgsProcessingParameterBoolean(
                "PROBABILITIES", tr("Probability of each class"), defaultValue=True
            ),
            tr("Write a column p_CLASS for every class, beside that of the most likely one."),
            advanced=True,
        )
        self.add(
            QgsProcessingParameterFeatureSink(
                "OUTPUT", tr("Classified fields"), SourceType.TypeVectorPolygon
            ),
            tr("The polygons with all their attributes, class and probability."),
        )
        self.add(
            QgsProcessingParameterFeatureSink(
                "REJECTED", tr("Fields left out"), optional=True, createByDefault=False
            ),
            tr("The others with the reason."),
        )
        self.addOutput(QgsProcessingOutputNumber("CLASSIFIED", tr("Classified fields")))
        self.addOutput(QgsProcessingOutputNumber("SKIPPED", tr("Skipped fields")))

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        read_field_source(self, parameters, context)
        image_paths(self, parameters, context)
        folder = self._folder(parameters, context)
        settings = read_settings(folder)
        if settings.kind != STATISTICS:
            check_network_model(folder, settings)

    def work(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        folder = self._folder(parameters, context)
        settings = read_settings(folder)
        placed = read_fields(self, parameters, context)
        picture_bands(placed, settings.bands)
        monitor = monitor_of(feedback)
        fields, chances, unread = _answers(folder, settings, placed, context, monitor)
        skipped = [*placed.skipped, *unread]
        report_skips(feedback, tr("Field"), skipped)
        monitor.check()
        outputs = self._write(parameters, context, settings, fields, chances, skipped)
        counts = {"CLASSIFIED": len(fields), "SKIPPED": len(skipped)}
        best = chances.argmax(axis=1) if len(fields) else np.zeros(0, np.int64)
        by_class = np.bincount(best, minlength=len(settings.classes)).tolist()
        said = ", ".join(f"{label}: {count}" for label, count in zip(settings.classes, by_class))
        feedback.pushInfo(tr("{} fields classified ({}).").format(len(fields), said))
        model = {"id": folder.name, "sha256": sha256_of(folder, settings.kind)}
        found = {f"CLASS {label}": count for label, count in zip(settings.classes, by_class)}
        self.write_records(outputs, {**counts, **found}, skipped, model=model)
        return {**{k: v for k, v in outputs.items() if v}, **counts}

    def _folder(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Path:
        text = self.text(parameters, "MODEL", context)
        if not text:
            raise ParameterError("MODEL: choose the folder of a trained field classifier.")
        return Path(text)

    def _write(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        settings: ClassifierSettings,
        fields: Sequence[PlacedField],
        chances: np.ndarray,
        skipped: Sequence[Tuple[int, str]],
    ) -> Dict[str, Any]:
        source = read_field_source(self, parameters, context)
        with_each = self.parameterAsBoolean(parameters, "PROBABILITIES", context)
        columns = _columns(settings.classes, with_each)
        merged = _merged(source.fields(), columns)
        rows = [
            (field.feature.geometry(), [*field.feature.attributes(), *_verdict(settings, row)])
            for field, row in zip(fields, chances)
        ]
        if not with_each:
            rows = [(shape, values[: merged.count()]) for shape, values in rows]
        outputs: Dict[str, Any] = {
            "OUTPUT": write_layer(
                self, parameters, "OUTPUT", context, merged, source.wkbType(),
                source.sourceCrs(), rows,
            )
        }  # fmt: skip
        apply_style(
            outputs["OUTPUT"], field_renderer(_CLASS, settings.classes), context, self.keep
        )
        reasons = dict(skipped)
        left_out = [
            (feature.geometry(), [*feature.attributes(), reasons[feature.id()]])
            for feature in source.getFeatures()
            if feature.id() in reasons
        ]
        outputs["REJECTED"] = write_layer(
            self, parameters, "REJECTED", context, _merged(source.fields(), [("reason", TEXT)]),
            source.wkbType(), source.sourceCrs(), left_out,
        )  # fmt: skip
        return outputs


def _answers(
    folder: Path,
    settings: ClassifierSettings,
    placed: PlacedFields,
    context: QgsProcessingContext,
    monitor: Monitor,
) -> Tuple[Sequence[PlacedField], np.ndarray, Sequence[Tuple[int, str]]]:
    """The fields that could be classified, (n, c) probabilities, and the others with a reason."""
    if settings.kind != STATISTICS:
        return network_answers(folder, settings, placed, context, monitor)
    forest = read_forest(folder, len(settings.features), len(settings.classes))
    table = feature_table(
        placed, placed.fields, settings.bands, settings.groups, context, monitor.part(0, 0.95)
    )
    return table.fields, forest.probabilities(table.values), table.skipped


def _columns(classes: Sequence[Label], with_each: bool) -> List[Tuple[str, str]]:
    """Name and kind of the columns that are added."""
    kind = TEXT
    if all(isinstance(label, int) for label in classes):
        kind = INTEGER
    elif all(isinstance(label, (int, float)) for label in classes):
        kind = REAL
    columns = [(_CLASS, kind), (_CHANCE, REAL)]
    taken = {_CLASS, _CHANCE}
    for label in classes if with_each else ():
        name = wanted = f"p_{label}"[:_LONGEST_NAME]
        number = 2
        while name.lower() in taken:
            name, number = f"{wanted}_{number}", number + 1
        taken.add(name.lower())
        columns.append((name, REAL))
    return columns


def _merged(given: QgsFields, columns: Sequence[Tuple[str, str]]) -> QgsFields:
    """The polygons' own fields, then ours; one of theirs with one of our names gets `given_`."""
    taken = {name.lower() for name, _ in columns}
    fields = QgsFields()
    for position in range(given.count()):
        field = given.at(position)
        own = field.name().lower() in taken | {"fid"}
        fields.append(renamed(field, f"given_{field.name()}") if own else field)
    for name, kind in columns:
        fields.append(make_field(name, kind))
    return fields


def _verdict(settings: ClassifierSettings, chances: np.ndarray) -> List[Any]:
    """Class, its probability, and that of each class."""
    best = int(chances.argmax())
    label = settings.classes[best]
    each = [round(float(chance), _DECIMALS) for chance in chances]
    numbers = all(isinstance(other, (int, float)) for other in settings.classes)
    return [label if numbers else str(label), each[best], *each]
