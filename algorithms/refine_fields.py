"""furrow:refinefields: mixed fields are looked at again, each in its own picture, and split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from qgis.core import (
    QgsFeatureSource,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
)

from ..core.errors import OutputError, ParameterError
from ..core.fields.delineation.field_measures import FieldMeasures
from ..core.fields.delineation.refinement import RefinementOptions, to_be_refined
from ..core.imagery.pictures import default_bands
from ..core.imagery.scene_images import measured_image
from ..core.imagery.series import Series
from ..core.monitor import Monitor, watched
from ..qgis_io.field_closeups import CloseUps
from ..qgis_io.field_refinement import (
    FieldPart,
    FieldSplitter,
    SeriesPixels,
    fields_of_several_seasons,
    measured_fields,
)
from ..qgis_io.field_views import NO_DATA, PlacedField, PlacedFields, place_fields
from ..qgis_io.ground import Ground, crs_of
from ..qgis_io.monitors import monitor_of
from ..qgis_io.refined_rows import RefinedFields, RefinedLayer
from ..qgis_io.sinks import write_layer
from ..qgis_io.styles import apply_style, field_renderer
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm, SourceType, report_skips
from .field_parameters import add_fields, check_score_field, read_field_source
from .image_parameters import add_bands, add_image, read_bands, read_image
from .model_parameters import add_engine, check_model, model_record, read_segmenter
from .series_parameters import (
    Real,
    add_index,
    add_reading,
    choice,
    number,
    read_index,
    read_series,
)

BEST, REFERENCE = "best", "reference"
CANNOT_BE_CUT = "cannot_be_cut"
_REFERENCE_PICTURE = 1000 * 1000
"""Pixels of the pictures of the reference system, which its least size is a share of."""
_DATES_FOR_SEASONS = 4
_MEASURED, _SEASONS = 0.3, 0.5
"""Progress when the fields are measured, and when the series has been read."""


@dataclass(frozen=True)
class _Work:
    """What all steps of a run need."""

    placed: PlacedFields
    closeups: CloseUps
    splitter: FieldSplitter
    options: RefinementOptions
    monitor: Monitor


class RefineFields(FurrowAlgorithm):
    """Splits fields that hold several."""

    NAME = "refinefields"
    LABEL = "Refine fields"
    GROUP = "Fields"
    SUMMARY = "Fields that look like several are looked at again, each close up, and split."
    TAGS = "refine,split,field,parcel,boundary,segment,segment anything,polygon,mixed,season"
    HELP = (
        "Measures how mixed each polygon looks: the share of its edges that lie inside "
        "(edge_ratio) and the entropy of its colours in bits (entropy). Mixed ones are shown to "
        "the model once more, each in its own picture. Where the fields seen within one cover most "
        "of it, they take its place (refined is true); they share their inner edges, keep its "
        "outline and attributes, and all other polygons stay as they are.\n\nWith SERIES a field "
        "whose pixels have two seasons is cut where the seasons meet.\n\nExample: FIELDS from "
        "furrow:delineate or a parcel register, INPUT an image of the same place; with SCORE_FIELD "
        "score those fields are looked at again, too, that the model was not sure of."
    )

    def add_parameters(self) -> None:
        add_image(self)
        add_fields(self, tr("Polygons in any reference system; those beside INPUT stay whole."))
        self.add(
            QgsProcessingParameterField(
                "SCORE_FIELD", tr("Score field"), parentLayerParameterName="FIELDS", optional=True
            ),
            tr(
                "How sure the model was of each field, 0 to 1. Doubtful ones are looked at again, "
                "and smaller fields must be surer to take their place."
            ),
        )
        add_engine(self)
        add_bands(self)
        self._add_criteria()
        self._add_series()
        self.add(
            number("SIMPLIFY", tr("Simplify by pixels"), Real, 0.5, 0.0),
            tr("How far new inner edges may leave the pixel edges; 0: exact pixel edges."),
            advanced=True,
        )
        self.add(
            QgsProcessingParameterFeatureSink("OUTPUT", tr("Fields"), SourceType.TypeVectorPolygon),
            tr("All polygons: split ones as their parts, the others unchanged."),
        )
        self.addOutput(QgsProcessingOutputNumber("SPLIT_COUNT", tr("Fields that were split")))
        self.addOutput(QgsProcessingOutputNumber("FIELD_COUNT", tr("Fields")))
        self.addOutput(QgsProcessingOutputNumber("SKIPPED", tr("Fields not looked at")))

    def _add_criteria(self) -> None:
        self.add(
            choice("PRESET", tr("Preset"), (BEST, REFERENCE), BEST),
            tr(
                "What no parameter says. best: measured best on the real data. reference: the "
                "constants of the reference system."
            ),
            advanced=True,
        )
        for name, label, limits, text in (
            (
                "EDGE_RATIO", tr("Edge ratio"), (0.0, 1.0),
                tr("Fields with a larger share of their edges inside look mixed. Empty: 0.15; "
                   "0.4 with the preset reference."),
            ),
            (
                "ENTROPY", tr("Entropy in bits"), (0.0, 8.0),
                tr("Mixed fields have a larger entropy. Empty: 0.5 more than that of the scene; "
                   "6 with the preset reference."),
            ),
            (
                "MIN_AREA_HA", tr("Least area in hectares"), (0.0, None),
                tr("Smaller fields are not looked at again. Empty: 150 pixels; 10,000 pixels with "
                   "the preset reference."),
            ),
        ):  # fmt: skip
            self.add(number(name, label, Real, None, *limits), text, advanced=True)
        self.add(
            number("MIN_PART_HA", tr("Least area of a part in hectares"), Real, 0.1, 0.0),
            tr("Smaller parts go to the part beside them."),
            advanced=True,
        )
        self.add(
            number("COVERAGE", tr("Least coverage in percent"), Real, 60.0, 0.0, 100.0),
            tr("Share of a field that smaller ones must cover to take its place."),
            advanced=True,
        )
        self.add(
            number("MARGIN", tr("Margin in percent"), Real, 10.0, 0.0, 100.0),
            tr("What is shown around a field, as a share of its extent."),
            advanced=True,
        )

    def _add_series(self) -> None:
        self.add(
            QgsProcessingParameterFile(
                "SERIES",
                tr("Folder of dated images"),
                behavior=QgsProcessingParameterFile.Behavior.Folder,
                optional=True,
            ),
            tr(
                "One GeoTIFF a date, at least four: fields that hold two seasons are cut where "
                "they meet. Empty: only INPUT is looked at."
            ),
        )
        add_index(self)
        add_reading(self)

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        read_image(self, parameters, context)
        read_bands(self, parameters, context)
        source = read_field_source(self, parameters, context)
        check_score_field(self, parameters, context, source)
        check_model(self, parameters, context)
        self._series(parameters, context)

    def work(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        monitor = monitor_of(feedback)
        source = read_field_source(self, parameters, context)
        series = self._series(parameters, context)
        work = self._prepared(parameters, context, source, monitor)
        fields = work.placed.fields
        if not crs_of(work.placed.pictures[0].grid).isValid():
            feedback.pushWarning(
                tr("The image has no coordinate reference system: its units count as metres.")
            )
        try:
            measures = measured_fields(
                fields, work.closeups, work.options, monitor.part(0, _MEASURED)
            )
            seasons = self._seasons(parameters, context, work, series)
            parts, uncut = self._split(parameters, context, work, measures, series, seasons)
        finally:
            work.closeups.close()
        empty = [
            (field.feature.id(), NO_DATA)
            for field, pixels in zip(fields, measures.pixels)
            if not pixels
        ]
        skipped = [*work.placed.skipped, *empty, *uncut]
        report_skips(feedback, tr("Field"), skipped)
        monitor.check()
        refined = RefinedFields(fields, measures, parts)
        return self._write(parameters, context, feedback, source, refined, skipped)

    def _prepared(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        source: QgsFeatureSource,
        monitor: Monitor,
    ) -> _Work:
        path = read_image(self, parameters, context)
        placed = place_fields(source, [path], context)
        if not placed.fields:
            raise ParameterError(
                f"FIELDS: none of the {source.featureCount()} feature(s) is a polygon in the area "
                "of the image; check its coordinate reference system."
            )
        picture = placed.pictures[0]
        bands = read_bands(self, parameters, context) or default_bands(picture.info.band_names)
        image = watched(partial(measured_image, path, bands), monitor)
        crs = crs_of(picture.grid)
        pixel = Ground(crs, context.transformContext()).pixel(picture.grid)
        options = self._options(parameters, context, pixel)
        closeups = CloseUps(placed, image, options.margin, context)
        simplify = self.parameterAsDouble(parameters, "SIMPLIFY", context)
        splitter = FieldSplitter(closeups, source.sourceCrs(), crs, simplify, context)
        return _Work(placed, closeups, splitter, options, monitor)

    def _options(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        pixel: Tuple[float, float],
    ) -> RefinementOptions:
        """:param pixel: height and width of a pixel in metres."""
        preset, hectare = RefinementOptions(), 1e4 / (pixel[0] * pixel[1])
        if self.parameterAsEnumString(parameters, "PRESET", context) == REFERENCE:
            preset = RefinementOptions.reference()
            size = round(preset.least_share * _REFERENCE_PICTURE)
            preset = replace(preset, least_size=size)
        least = self.optional_number(parameters, "MIN_AREA_HA", context)
        part = self.parameterAsDouble(parameters, "MIN_PART_HA", context)
        given = {
            "edge_ratio": self.optional_number(parameters, "EDGE_RATIO", context),
            "entropy": self.optional_number(parameters, "ENTROPY", context),
            "least_size": None if least is None else round(least * hectare),
        }
        return replace(
            preset,
            coverage=self.parameterAsDouble(parameters, "COVERAGE", context) / 100,
            margin=self.parameterAsDouble(parameters, "MARGIN", context) / 100,
            least_pixels=max(1, round(part * hectare)),
            **{name: value for name, value in given.items() if value is not None},
        )

    def _series(
        self, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> Optional[Series]:
        """SERIES; None where it is empty."""
        if not self.text(parameters, "SERIES", context):
            return None
        index = read_index(self, parameters, context)
        return read_series(self, parameters, context, index, _DATES_FOR_SEASONS)

    def _seasons(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        work: _Work,
        series: Optional[Series],
    ) -> Dict[int, SeriesPixels]:
        """Fields with several seasons, by position."""
        if series is None:
            return {}
        crs = crs_of(work.placed.pictures[0].grid)
        index = read_index(self, parameters, context)
        part = work.monitor.part(_MEASURED, _SEASONS)
        return fields_of_several_seasons(work.placed.fields, crs, series, index, context, part)

    def _split(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        work: _Work,
        measures: FieldMeasures,
        series: Optional[Series],
        seasons: Dict[int, SeriesPixels],
    ) -> Tuple[Dict[int, Sequence[FieldPart]], List[Tuple[int, str]]]:
        """The parts of fields by position, and fields that cannot be cut."""
        fields = work.placed.fields
        scores = _scores(fields, self.text(parameters, "SCORE_FIELD", context))
        large = (measures.pixels > 0) & (measures.pixels >= work.options.least_size)
        chosen = large & to_be_refined(measures, scores, work.options)
        segmenter = read_segmenter(self, parameters, context) if chosen.any() else None
        todo = sorted({*np.flatnonzero(chosen).tolist(), *seasons})
        monitor = work.monitor.part(_SEASONS if seasons else _MEASURED, 1)
        found: Dict[int, Sequence[FieldPart]] = {}
        uncut: List[Tuple[int, str]] = []
        for done, k in enumerate(todo):
            monitor.check()
            try:
                if k in seasons:
                    parts = work.splitter.by_season(fields[k], seasons[k], series.grid)
                else:
                    parts = work.splitter.by_image(
                        fields[k], scores[k], segmenter, work.options, monitor
                    )
            except OutputError:
                uncut.append((fields[k].feature.id(), CANNOT_BE_CUT))
                continue
            if parts is not None:
                found[k] = parts
            monitor.progress((done + 1) / len(todo))
        return found, uncut

    def _write(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
        source: QgsFeatureSource,
        refined: RefinedFields,
        skipped: Sequence[Tuple[int, str]],
    ) -> Dict[str, Any]:
        crs = source.sourceCrs()
        layer = RefinedLayer(source, Ground(crs, context.transformContext()))
        rows = layer.rows(refined)
        output = write_layer(
            self, parameters, "OUTPUT", context, layer.fields, layer.wkb, crs, rows
        )
        apply_style(output, field_renderer("refined", (False, True)), context, self.keep)
        counts = {
            "SPLIT_COUNT": len(refined.parts), "FIELD_COUNT": len(rows), "SKIPPED": len(skipped)
        }  # fmt: skip
        feedback.pushInfo(
            tr("{} of {} fields were split.").format(
                len(refined.parts), len(refined.fields) + len(skipped)
            )
        )
        model = model_record(self, parameters, context)
        self.write_records({"OUTPUT": output}, counts, skipped, model=model)
        return {"OUTPUT": output, **counts}


def _scores(fields: Sequence[PlacedField], name: str) -> np.ndarray:
    """(n,) float64: values of the score field; NaN where there is none."""
    if not name:
        return np.full(len(fields), np.nan)
    values = [field.feature[name] for field in fields]
    return np.array(
        [float(value) if isinstance(value, (int, float)) else np.nan for value in values]
    )
