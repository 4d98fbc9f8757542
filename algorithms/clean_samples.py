"""furrow:cleansamples: which labelled samples have a time series like their class or reference."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from qgis.core import (
    QgsFields,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFileDestination,
    QgsWkbTypes,
)

from ..core.errors import NoReferenceError, ParameterError
from ..core.report.from_cleaning import cleaning_report
from ..core.report.html import render
from ..core.report.run_record import utc_now
from ..core.samples.label_cleaning import Cleaned, clean_labels
from ..core.samples.zones import zone_profiles
from ..qgis_io.compat import BOOLEAN, INTEGER, REAL, TEXT, is_null, make_field
from ..qgis_io.monitors import monitor_of
from ..qgis_io.sinks import Row, write_layer
from ..qgis_io.sources import labels_of
from ..qgis_io.styles import apply_style, field_renderer, rejected_renderer, sample_renderer
from ..qgis_io.texts import tr
from ..qgis_io.zones import ZoneLayer, read_zones
from .base import FurrowAlgorithm, SourceType, report_skips, versions, write_text
from .series_parameters import (
    Real,
    add_cleaning,
    add_index,
    add_reading,
    add_series,
    number,
    read_cleaning,
    read_index,
    read_series,
)

_COLUMNS = (
    ("distance", REAL),
    ("similarity", REAL),
    ("margin", REAL),
    ("nearest_class", TEXT),
    ("n_valid", INTEGER),
    ("n_interp", INTEGER),
    ("kept", BOOLEAN),
)
_BY_REFERENCE, _BY_CLASS = 0.05, 0.15
"""Limits where MAX_DISTANCE is empty: fields of one class differ more than pixels of a field."""


class CleanSamples(FurrowAlgorithm):
    """Cleans samples that exist already."""

    NAME = "cleansamples"
    LABEL = "Clean crop samples"
    GROUP = "Samples"
    SUMMARY = "Find samples whose time series disagrees with their class or their reference."
    TAGS = "crop,sample,training,clean,outlier,label noise,time series,ndvi,sentinel"
    HELP = (
        "Compares the time series of every sample with that of its reference, or, without "
        "REFERENCE_FIELD, with the profile of its class. The margin tells how much closer its "
        "own class is than the nearest other one; a negative margin points to a wrong label.\n\n"
        "Example: 4000 labelled parcels with a field 'crop' and a year of images; sort OUTPUT by "
        "margin to see the doubtful ones first."
    )

    def add_parameters(self) -> None:
        add_series(self)
        kinds = [SourceType.TypeVectorPoint, SourceType.TypeVectorPolygon]
        self.add(
            QgsProcessingParameterFeatureSource("SAMPLES", tr("Samples"), kinds),
            tr("Labelled points, or polygons (the median of their valid pixels counts)."),
        )
        self.add(
            QgsProcessingParameterField(
                "CLASS_FIELD",
                tr("Class field"),
                defaultValue="crop",
                parentLayerParameterName="SAMPLES",
            ),
            tr("The field that holds the class."),
        )
        self.add(
            QgsProcessingParameterField(
                "REFERENCE_FIELD",
                tr("Reference field"),
                parentLayerParameterName="SAMPLES",
                optional=True,
            ),
            tr(
                "Samples with one value belong to one reference: the sample whose field 'origin' "
                "is 'reference', else their median. Empty: each class is compared with its own "
                "median profile."
            ),
        )
        add_index(self)
        add_cleaning(self, max_distance=None)
        self.add(
            number("MIN_MARGIN", tr("Smallest margin"), Real, 0.0),
            tr(
                "In index units: samples whose own class is not closer than any other by this much "
                "are rejected. -1 turns the test off."
            ),
            advanced=True,
        )
        add_reading(self)
        self.add(
            QgsProcessingParameterFeatureSink("OUTPUT", tr("Samples with verdict")),
            tr("All samples with distance, similarity, margin, nearest_class and kept."),
        )
        self.add(
            QgsProcessingParameterFeatureSink(
                "REJECTED", tr("Rejected samples"), optional=True, createByDefault=False
            ),
            tr("Samples that were not kept, with the reason."),
        )
        self.add(
            QgsProcessingParameterFileDestination(
                "REPORT", tr("Report"), "HTML (*.html)", optional=True, createByDefault=False
            ),
            tr("One page with profiles and counts that opens offline."),
        )
        for name, label in (
            ("KEPT", tr("Kept samples")),
            ("REJECTED_COUNT", tr("Rejected samples")),
            ("SKIPPED", tr("Skipped samples")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        index = read_index(self, parameters, context)
        read_cleaning(self, parameters, context, _BY_CLASS)
        read_series(self, parameters, context, index, at_least=2)

    def work(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        index = read_index(self, parameters, context)
        series = read_series(self, parameters, context, index, at_least=2)
        source = self.parameterAsSource(parameters, "SAMPLES", context)
        if source is None:
            raise ParameterError(self.invalidSourceError(parameters, "SAMPLES"))
        layer = read_zones(source, series.grid, context)
        labels = labels_of(
            list(layer.features), self.text(parameters, "CLASS_FIELD", context)
        )
        groups = self._groups(parameters, context, layer)
        monitor = monitor_of(feedback)
        profiles = zone_profiles(series, layer.zones, index, monitor.part(0, 0.8))
        limit = _BY_CLASS if groups is None else _BY_REFERENCE
        options = read_cleaning(self, parameters, context, limit)
        result = clean_labels(
            profiles, labels, layer.sizes > 0, options, groups, _references_in(layer),
            self.parameterAsDouble(parameters, "MIN_MARGIN", context), monitor.part(0.8, 1),
        )  # fmt: skip
        if not result.used.any():
            raise NoReferenceError(
                f"SAMPLES: none of the {len(layer.features)} sample(s) has a class, a place in "
                "the images and enough valid dates."
            )
        images = [*series.skipped, *profiles.broken]
        report_skips(feedback, tr("Image"), [(s.item, s.reason) for s in images])
        html = ""
        if self.parameterAsFileOutput(parameters, "REPORT", context):
            facts = [(k, str(v)) for k, v in self.given.items()]
            html = render(
                cleaning_report(result, profiles, labels, index.name, facts, versions(), utc_now())
            )
        monitor.check()
        outputs = self._write(parameters, context, source.fields(), layer, labels, result, source)
        outputs["REPORT"] = write_text(self, parameters, "REPORT", context, html)
        counts = {
            "KEPT": int(result.kept.sum()),
            "REJECTED_COUNT": int((result.used & ~result.kept).sum()),
            "SKIPPED": int((~result.used).sum()),
        }
        skipped = [(s.item, s.reason) for s in images] + [
            (layer.features[k].id(), result.reason[k].value) for k in np.flatnonzero(~result.used)
        ]
        self.write_records(outputs, counts, skipped, rejected=result.rejected_reasons())
        return {**{k: v for k, v in outputs.items() if v}, **counts}

    def _groups(
        self, parameters: Dict[str, Any], context: QgsProcessingContext, layer: ZoneLayer
    ) -> Optional[List[Any]]:
        name = self.text(parameters, "REFERENCE_FIELD", context)
        return labels_of(list(layer.features), name) if name else None

    def _write(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        given: QgsFields,
        layer: ZoneLayer,
        labels: Sequence[Any],
        result: Cleaned,
        source: Any,
    ) -> Dict[str, Any]:
        fields, positions = _merged(given)
        rejected = QgsFields(fields)
        rejected.append(make_field("reason", TEXT))
        rows = [_row(layer, positions, result, k) for k in range(len(layer.features))]
        out = [
            (shape, [*values, result.reason[k].value])
            for k, (shape, values) in enumerate(rows)
            if not result.kept[k]
        ]
        outputs: Dict[str, Any] = {}
        points = not _is_polygon(source)
        column = self.text(parameters, "CLASS_FIELD", context)
        classes = list({label: None for label in labels if label is not None})
        for name, columns, content, renderer in (
            ("OUTPUT", fields, rows, sample_renderer),
            ("REJECTED", rejected, out, rejected_renderer),
        ):
            outputs[name] = write_layer(
                self, parameters, name, context, columns, source.wkbType(), source.sourceCrs(),
                content,
            )  # fmt: skip
            styled = renderer if points else field_renderer
            apply_style(outputs[name], styled(column, classes), context, self.keep)
        return outputs


def _is_polygon(source: Any) -> bool:
    return (
        QgsWkbTypes.geometryType(source.wkbType())
        == QgsWkbTypes.GeometryType.PolygonGeometry
    )


def _references_in(layer: ZoneLayer) -> np.ndarray:
    """(n,) bool: the field `origin` says that the sample is a reference."""
    if not layer.features or layer.features[0].fields().lookupField("origin") < 0:
        return np.zeros(len(layer.features), dtype=bool)
    return np.array([f["origin"] == "reference" for f in layer.features])


def _merged(given: QgsFields) -> Tuple[QgsFields, List[int]]:
    """The samples' own fields, then the verdict; same names give way to the verdict."""
    taken = {name for name, _ in _COLUMNS} | {"fid", "reason"}
    fields, positions = QgsFields(), []
    for position in range(given.count()):
        if given.at(position).name().lower() not in taken:
            fields.append(given.at(position))
            positions.append(position)
    for name, kind in _COLUMNS:
        fields.append(make_field(name, kind))
    return fields, positions


def _row(layer: ZoneLayer, positions: Sequence[int], result: Cleaned, k: int) -> Row:
    feature = layer.features[k]
    own = [feature.attribute(position) for position in positions]
    nearest = result.nearest_class[k]
    return feature.geometry(), [
        *(None if is_null(value) else value for value in own),
        _number(result.distance[k]),
        _number(result.similarity[k]),
        _number(result.margin[k]),
        None if nearest is None else str(nearest),
        int(result.n_valid[k]),
        int(result.n_interpolated[k]),
        bool(result.kept[k]),
    ]


def _number(value: float) -> Optional[float]:
    return None if np.isnan(value) else round(float(value), 6)
