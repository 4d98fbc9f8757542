"""furrow:segmentprompts: field polygons from points or boxes on one image."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

from qgis.core import (
    QgsFields,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsWkbTypes,
)

from ..core.errors import ParameterError
from ..core.fields.field_mask import FieldMask
from ..core.fields.finding import FieldOptions, FoundFields, find_fields
from ..core.imagery.grid import Grid
from ..core.imagery.pictures import FilePictures
from ..core.samples.cleaning import Reason
from ..qgis_io.compat import BOOLEAN, INTEGER, REAL, TEXT, make_field, renamed
from ..qgis_io.ground import Ground, crs_of
from ..qgis_io.monitors import monitor_of
from ..qgis_io.prompts import PromptLayer, read_prompts
from ..qgis_io.shapes import outline_of
from ..qgis_io.sinks import Row, write_layer
from ..qgis_io.styles import apply_style, plain_field_renderer
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm, SourceType, report_skips
from .embedding_parameters import (
    add_embeddings,
    check_embeddings,
    read_stored_segmenter,
    report_reuse,
)
from .image_parameters import add_bands, add_image, read_bands, read_image
from .model_parameters import add_model, check_model, model_record, read_rule
from .series_parameters import Real, number

_COLUMNS = (
    ("score", REAL),
    ("mask_rank", INTEGER),
    ("area_ha", REAL),
    ("perimeter_m", REAL),
    ("touches_window", BOOLEAN),
    ("model", TEXT),
    ("image", TEXT),
)


class SegmentPrompts(FurrowAlgorithm):
    """Fields at prompts."""

    NAME = "segmentprompts"
    LABEL = "Segment fields at points or boxes"
    GROUP = "Fields"
    SUMMARY = "Field polygons around points, or in the bounding boxes of polygons."
    TAGS = "segment,segment anything,field,parcel,prompt,click,box,polygon,delineate"
    HELP = (
        "Asks a promptable segmentation model for the field at each point or in each box.\n\n"
        "Example: an image and a layer with one point a field give one polygon a field, with the "
        "point's attributes. With GROUP_FIELD several points describe one field; with SIGN_FIELD "
        "0 a point says what is not part of it."
    )

    def add_parameters(self) -> None:
        add_image(self)
        kinds = [SourceType.TypeVectorPoint, SourceType.TypeVectorPolygon]
        self.add(
            QgsProcessingParameterFeatureSource("PROMPTS", tr("Points or boxes"), kinds),
            tr("Points on fields, or polygons whose bounding boxes are the prompts."),
        )
        self._add_prompt_fields()
        add_model(self)
        add_bands(self)
        add_embeddings(self)
        self.add(
            QgsProcessingParameterBoolean("ALL_MASKS", tr("Keep all masks"), defaultValue=False),
            tr("Write every mask of a prompt (mask_rank 0 is the finest), not only the chosen."),
            advanced=True,
        )
        self.add(
            number("SIMPLIFY", tr("Simplify by pixels"), Real, 0.5, 0.0),
            tr("How far the outline may leave the pixel edges; 0: exact pixel outlines."),
        )
        self.add(
            QgsProcessingParameterFeatureSink(
                "OUTPUT", tr("Fields"), SourceType.TypeVectorPolygon
            ),
            tr("One polygon a prompt, with the prompt's attributes."),
        )
        self.addOutput(QgsProcessingOutputNumber("FIELD_COUNT", tr("Fields")))
        self.addOutput(QgsProcessingOutputNumber("SKIPPED", tr("Skipped prompts")))

    def _add_prompt_fields(self) -> None:
        self.add(
            QgsProcessingParameterField(
                "GROUP_FIELD", tr("Group field"), parentLayerParameterName="PROMPTS", optional=True
            ),
            tr("Prompts with one value describe one object."),
            advanced=True,
        )
        self.add(
            QgsProcessingParameterField(
                "SIGN_FIELD", tr("Sign field"), parentLayerParameterName="PROMPTS", optional=True
            ),
            tr("1: on the field, 0: not part of it."),
            advanced=True,
        )

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        self._pictures(parameters, context)
        check_model(self, parameters, context)
        check_embeddings(self, parameters, context)

    def work(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        pictures = self._pictures(parameters, context)
        segmenter = read_stored_segmenter(self, parameters, context)
        record = model_record(self, parameters, context)
        layer, given = self._prompts(parameters, context, pictures.grid)
        options = FieldOptions(
            self.parameterAsInt(parameters, "WINDOW", context),
            read_rule(self, parameters, context),
            self.parameterAsBoolean(parameters, "ALL_MASKS", context),
        )
        monitor = monitor_of(feedback)
        found = find_fields(layer.prompts, pictures, segmenter, options, monitor)
        skipped = list(layer.skipped) + [
            (str(layer.features[k].id()), Reason.NO_FIELD.value) for k in found.missing
        ]
        report_skips(feedback, tr("Prompt"), skipped)
        reuse = report_reuse(segmenter, feedback)
        simplify = self.parameterAsDouble(parameters, "SIMPLIFY", context)
        outlines = _Outlines(pictures.grid, context, simplify, feedback)
        fields, positions = _merged(given)
        rows = [
            _row(mask, layer, positions, outlines, segmenter.id, pictures.name)
            for mask in found.masks
        ]
        monitor.check()
        return self._write(
            parameters, context, fields, rows, pictures, found, skipped, reuse, record
        )

    def _write(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        fields: QgsFields,
        rows: Sequence[Row],
        pictures: FilePictures,
        found: FoundFields,
        skipped: Sequence[Tuple[str, str]],
        reuse: Dict[str, int],
        record: Dict[str, str],
    ) -> Dict[str, Any]:
        wkb, crs = QgsWkbTypes.Type.MultiPolygon, crs_of(pictures.grid)
        output = write_layer(self, parameters, "OUTPUT", context, fields, wkb, crs, rows)
        apply_style(output, plain_field_renderer(), context, self.keep)
        counts = {"FIELD_COUNT": len(rows), "SKIPPED": len(skipped)}
        self.write_records(
            {"OUTPUT": output},
            {**counts, "ENCODES": found.encodes, **reuse},
            skipped,
            model=record,
        )
        return {"OUTPUT": output, **counts}

    def _pictures(
        self, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> FilePictures:
        path = read_image(self, parameters, context)
        chosen = read_bands(self, parameters, context)
        pictures = FilePictures(path, None, chosen)
        if pictures.placed or not self._prompts_count_down(parameters, context):
            return pictures
        return FilePictures(path, None, chosen, pixel_coordinates=True)

    def _prompts_count_down(
        self, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> bool:
        """Whether prompts on a picture without a place are columns and rows, y downwards.

        QGIS shows such a picture below y = 0, where prompts clicked in QGIS lie.
        """
        source = self.parameterAsSource(parameters, "PROMPTS", context)
        # The middle, because an outline may reach a little beyond the picture's upper edge.
        return source is not None and source.sourceExtent().center().y() >= 0

    def _prompts(
        self, parameters: Dict[str, Any], context: QgsProcessingContext, grid: Grid
    ) -> Tuple[PromptLayer, QgsFields]:
        source = self.parameterAsSource(parameters, "PROMPTS", context)
        if source is None:
            raise ParameterError(self.invalidSourceError(parameters, "PROMPTS"))
        layer = read_prompts(
            source,
            grid,
            context,
            self.text(parameters, "GROUP_FIELD", context),
            self.text(parameters, "SIGN_FIELD", context),
        )
        if not layer.prompts:
            raise ParameterError(
                f"PROMPTS: none of the {source.featureCount()} feature(s) is a foreground prompt "
                "in the area of the image; check its coordinate reference system."
            )
        return layer, source.fields()


class _Outlines:
    """Polygons of masks, simplified, with their measures."""

    def __init__(
        self,
        grid: Grid,
        context: QgsProcessingContext,
        pixels: float,
        feedback: QgsProcessingFeedback,
    ) -> None:
        self._grid = grid
        crs = crs_of(grid)
        if not crs.isValid():
            feedback.pushWarning(
                tr("The image has no coordinate reference system: its units count as metres.")
            )
        self._ground = Ground(crs, context.transformContext())
        self._pixels = pixels

    def __call__(self, mask: FieldMask) -> Tuple[QgsGeometry, float, float]:
        """Polygon, hectares and metres of outline."""
        shape = outline_of(mask, self._grid, self._pixels)
        return shape, self._ground.hectares(shape), self._ground.perimeter(shape)


def _merged(given: QgsFields) -> Tuple[QgsFields, List[int]]:
    """The prompts' fields, then ours; a prompt's field with one of our names gets `prompt_`."""
    taken = {name for name, _ in _COLUMNS} | {"fid"}
    fields, positions = QgsFields(), []
    for position in range(given.count()):
        field = given.at(position)
        own = field.name().lower() in taken
        fields.append(renamed(field, f"prompt_{field.name()}") if own else field)
        positions.append(position)
    for name, kind in _COLUMNS:
        fields.append(make_field(name, kind))
    return fields, positions


def _row(
    mask: FieldMask,
    layer: PromptLayer,
    positions: Sequence[int],
    outlines: _Outlines,
    model: str,
    image: str,
) -> Row:
    feature = layer.features[mask.prompt]
    shape, hectares, metres = outlines(mask)
    return shape, [
        *(feature.attribute(position) for position in positions),
        round(mask.score, 4),
        mask.rank,
        hectares,
        metres,
        mask.cut_off,
        model,
        image,
    ]
