"""furrow:generatesamples: from labelled points and a series to fields and clean crop samples."""

from __future__ import annotations

from typing import Any, Dict, Sequence

from qgis.core import (
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterRasterLayer,
    QgsWkbTypes,
)

from ..core.errors import NoReferenceError
from ..core.fields.finding import FieldOptions
from ..core.imagery.pictures import FilePictures, Pictures, SeriesPictures
from ..core.imagery.series import Series
from ..core.report.from_generation import rejected_reasons, sample_report, stages
from ..core.report.html import render
from ..core.report.run_record import utc_now
from ..core.samples.generation import GenerationOptions, generate
from ..core.samples.thinning import ConflictPolicy
from ..qgis_io.ground import Ground, crs_of
from ..qgis_io.monitors import monitor_of
from ..qgis_io.sample_layers import SampleLayers
from ..qgis_io.shapes import polygon_of
from ..qgis_io.sinks import write_layer
from ..qgis_io.sources import ReferenceLayer, read_references
from ..qgis_io.styles import apply_style, field_renderer, rejected_renderer, sample_renderer
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm, SourceType, versions, write_text
from .embedding_parameters import (
    add_embeddings,
    check_embeddings,
    read_stored_segmenter,
    report_reuse,
)
from .generation_messages import (
    counts_of,
    describe_result,
    describe_series,
    skips_of,
    suspicious_of,
    warn_of_limit,
)
from .model_parameters import add_model, check_model, model_record, read_rule
from .series_parameters import (
    Real,
    Whole,
    add_cleaning,
    add_index,
    add_reading,
    add_series,
    choice,
    number,
    read_cleaning,
    read_index,
    read_series,
)

DEFAULT_DATES = 3
"""More dates find fields a little better and take longer (docs/benchmarks.md)."""


class GenerateSamples(FurrowAlgorithm):
    """The main job."""

    NAME = "generatesamples"
    LABEL = "Generate crop samples"
    GROUP = "Samples"
    SUMMARY = "Grow many clean crop samples from a few labelled points and an image series."
    TAGS = "crop,sample,training,reference,field,parcel,time series,ndvi,sentinel,segment anything"
    HELP = (
        "Finds the field around each labelled point, takes its pixels as candidates and keeps "
        "those whose time series agrees with the point's.\n\n"
        "Example: a folder of 24 dated Sentinel-2 images and 40 points with a field 'crop' give "
        "several thousand samples, the field polygons and a report.\n\n"
        "References whose profile agrees with another class are reported as suspicious and give "
        "no samples unless SUSPICIOUS is 'keep'."
    )

    def add_parameters(self) -> None:
        add_series(self)
        self._add_references()
        self._add_fields()
        add_index(self)
        add_cleaning(self)
        self._add_selection()
        add_reading(self)
        self._add_outputs()

    def _add_references(self) -> None:
        self.add(
            QgsProcessingParameterFeatureSource(
                "REFERENCES", tr("Labelled points"), [SourceType.TypeVectorPoint]
            ),
            tr(
                "One point a field of known class, in any coordinate reference system. A unique "
                "field ref_id (or id) becomes the reference id."
            ),
        )
        self.add(
            QgsProcessingParameterField(
                "CLASS_FIELD",
                tr("Class field"),
                defaultValue="crop",
                parentLayerParameterName="REFERENCES",
            ),
            tr("The field that holds the class: text, number or date."),
        )
        self.add(
            QgsProcessingParameterRasterLayer("IMAGE", tr("Image to segment"), optional=True),
            tr(
                "Fields are looked for on this image. Empty: on the clearest date of the series "
                "around each point."
            ),
        )

    def _add_fields(self) -> None:
        add_model(self)
        add_embeddings(self)
        self.add(
            number("DATES", tr("Dates to look at"), Whole, DEFAULT_DATES, 1, 12),
            tr(
                "Without IMAGE the field is looked for on this many clear dates, at least 20 days "
                "apart; the outline that agrees best with the others is taken."
            ),
            advanced=True,
        )

    def _add_selection(self) -> None:
        self.add(
            choice(
                "CONFLICT", tr("Pixels claimed by two classes"),
                [p.value for p in ConflictPolicy], "drop",
            ),
            tr("drop: nobody gets them; best: the class whose reference is most similar."),
            advanced=True,
        )  # fmt: skip
        self.add(
            choice("SUSPICIOUS", tr("Samples of suspicious references"), ["drop", "keep"], "drop"),
            tr(
                "A reference is suspicious when its profile is clearly closer to the references "
                "of another class than to those of its own."
            ),
            advanced=True,
        )
        self.add(
            number("MAX_PER_REFERENCE", tr("Most samples a reference"), Whole, 0, 0),
            tr("The most similar ones stay; 0: all."),
        )
        self.add(
            number("MIN_SPACING", tr("Smallest spacing in metres"), Real, 0.0, 0.0),
            tr("On the ground, between any two samples; 0: none."),
        )
        self.add(
            number("EDGE_PIXELS", tr("Field edge to leave out in pixels"), Whole, 0, 0, 100),
            tr("Mixed pixels at the rim of a field give no candidates."),
        )

    def _add_outputs(self) -> None:
        points, polygons = SourceType.TypeVectorPoint, SourceType.TypeVectorPolygon
        self.add(
            QgsProcessingParameterFeatureSink("OUTPUT", tr("Samples"), points),
            tr("The references and the generated samples, as points."),
        )
        self.add(
            QgsProcessingParameterFeatureSink("FIELDS", tr("Fields"), polygons, optional=True),
            tr("The field found around each reference."),
        )
        self.add(
            QgsProcessingParameterFeatureSink(
                "REJECTED", tr("Rejected pixels"), points, optional=True, createByDefault=False
            ),
            tr("Candidates and references that gave no sample, with the reason."),
        )
        self.add(
            QgsProcessingParameterFileDestination(
                "REPORT", tr("Report"), "HTML (*.html)", optional=True, createByDefault=False
            ),
            tr("One page with pictures, profiles and counts that opens offline."),
        )
        for name, label in (
            ("CANDIDATES", tr("Candidate pixels")),
            ("KEPT", tr("Generated samples")),
            ("REJECTED_COUNT", tr("Rejected candidates")),
            ("SKIPPED", tr("Skipped references")),
            ("SUSPICIOUS_COUNT", tr("Suspicious references")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        index = read_index(self, parameters, context)
        read_cleaning(self, parameters, context)
        check_model(self, parameters, context)
        check_embeddings(self, parameters, context)
        series = read_series(self, parameters, context, index, at_least=2)
        path = self.raster_path(parameters, "IMAGE", context)
        if path:
            FilePictures(path, series.grid)

    def work(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        index = read_index(self, parameters, context)
        series = read_series(self, parameters, context, index, at_least=2)
        describe_series(series, feedback)
        layer = self._references(parameters, context, series)
        pictures = self._pictures(parameters, context, series)
        ground = Ground(crs_of(series.grid), context.transformContext())
        options = self._options(parameters, context, series, ground)
        warn_of_limit(options, feedback)
        segmenter = read_stored_segmenter(self, parameters, context)
        record = model_record(self, parameters, context)
        monitor = monitor_of(feedback)
        result = generate(
            series, layer.references, pictures, segmenter, options, monitor.part(0, 0.9)
        )
        describe_result(result, layer, feedback)
        reuse = report_reuse(segmenter, feedback)
        shapes = [polygon_of(f.mask, f.window, series.grid) for f in result.fields]
        areas = [ground.hectares(shape) for shape in shapes]
        layers = SampleLayers(result, layer, options.fields.rule.value, segmenter.id)
        html = ""
        if self.parameterAsFileOutput(parameters, "REPORT", context):
            html = render(
                sample_report(
                    result, pictures, areas, options.index.name,
                    [(k, str(v)) for k, v in self.given.items()],
                    [], list(versions().items()), utc_now(), layer.skipped, monitor.check,
                )
            )  # fmt: skip
        monitor.check()
        outputs = self._write(parameters, context, layers, shapes, areas)
        outputs["REPORT"] = write_text(self, parameters, "REPORT", context, html)
        counts = counts_of(result, layer)
        self.write_records(
            outputs,
            {**counts, "ENCODES": result.encodes, **reuse, **dict(stages(result))},
            skips_of(series, result, layer),
            model=record,
            suspicious=suspicious_of(result),
            rejected=rejected_reasons(result),
            seconds=result.seconds,
        )
        return {**{k: v for k, v in outputs.items() if v}, **counts}

    def _references(
        self, parameters: Dict[str, Any], context: QgsProcessingContext, series: Series
    ) -> ReferenceLayer:
        source = self.parameterAsSource(parameters, "REFERENCES", context)
        if source is None:
            raise NoReferenceError(self.invalidSourceError(parameters, "REFERENCES"))
        name = self.text(parameters, "CLASS_FIELD", context)
        layer = read_references(source, name, crs_of(series.grid), context)
        if not layer.references:
            raise NoReferenceError(
                f"REFERENCES: none of the {len(layer.skipped)} feature(s) is a point with a "
                f"class in {name}."
            )
        return layer

    def _pictures(
        self, parameters: Dict[str, Any], context: QgsProcessingContext, series: Series
    ) -> Pictures:
        path = self.raster_path(parameters, "IMAGE", context)
        if path:
            return FilePictures(path, series.grid)
        dates = self.parameterAsInt(parameters, "DATES", context)
        return SeriesPictures(series, read_index(self, parameters, context), dates)

    def _options(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        series: Series,
        ground: Ground,
    ) -> GenerationOptions:
        spacing = self.parameterAsDouble(parameters, "MIN_SPACING", context)
        height, width = ground.pixel(series.grid)
        return GenerationOptions(
            read_index(self, parameters, context),
            FieldOptions(
                self.parameterAsInt(parameters, "WINDOW", context),
                read_rule(self, parameters, context),
            ),
            read_cleaning(self, parameters, context),
            ConflictPolicy(self.parameterAsEnumString(parameters, "CONFLICT", context)),
            self.parameterAsEnumString(parameters, "SUSPICIOUS", context) == "keep",
            self.parameterAsInt(parameters, "MAX_PER_REFERENCE", context),
            (spacing / height, spacing / width),
            self.parameterAsInt(parameters, "EDGE_PIXELS", context),
        )

    def _write(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        layers: SampleLayers,
        shapes: Sequence[QgsGeometry],
        areas: Sequence[float],
    ) -> Dict[str, Any]:
        """Write the three layers and style them."""
        point, polygon = QgsWkbTypes.Type.Point, QgsWkbTypes.Type.Polygon
        column, classes, crs = layers.class_column, layers.class_values, crs_of(layers.grid)
        plan = (
            ("OUTPUT", layers.sample_fields(), point, layers.samples(), sample_renderer, column),
            ("FIELDS", layers.field_fields(), polygon, layers.fields(shapes, areas),
             field_renderer, "class"),
            ("REJECTED", layers.rejected_fields(), point, layers.rejected(), rejected_renderer,
             column),
        )  # fmt: skip
        outputs: Dict[str, Any] = {}
        for name, fields, wkb, rows, renderer, styled in plan:
            outputs[name] = write_layer(
                self, parameters, name, context, fields, wkb, crs, rows
            )
            apply_style(outputs[name], renderer(styled, classes), context, self.keep)
        return outputs
