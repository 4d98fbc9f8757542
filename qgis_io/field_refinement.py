"""Polygons of fields measured and split one after the other, from windows of an image or series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsGeometry,
    QgsProcessingContext,
)

from ..core.errors import OutputError
from ..core.fields.delineation.field_measures import FieldMeasures, field_measures
from ..core.fields.delineation.refinement import RefinementOptions, children_of
from ..core.fields.delineation.season_split import season_parts
from ..core.fields.segmenter import Segmenter
from ..core.imagery.grid import Grid, Window
from ..core.imagery.indices import Index
from ..core.imagery.series import Series
from ..core.monitor import Monitor
from ..core.samples.profiles import Profiles, read_profiles
from .field_closeups import CloseUp, CloseUps
from .field_splitting import split_polygon
from .field_views import PlacedField
from .ground import crs_of
from .polygons import moved_by
from .shapes import burn, window_of

_LARGEST = 1_000_000
"""Pixels of the series in the rectangle around a field; larger ones are not looked at."""
_AT_ONCE = 200_000
"""Pixels of the series that are read together."""


@dataclass(frozen=True)
class FieldPart:
    """What a field is split into."""

    shape: QgsGeometry
    """In the reference system of the layer."""
    edge_ratio: Optional[float]
    entropy: Optional[float]
    """Bits; None where the image shows nothing of the part."""


@dataclass(frozen=True)
class SeriesPixels:
    """The pixels of a field on the grid of a series."""

    labels: np.ndarray
    """(h, w) int32, 1..k on the field and 0 beside it."""
    window: Window
    """Where they are on that grid."""

    def of_series(self) -> Tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the field's pixels on the grid."""
        rows, cols = np.nonzero(self.labels)
        return rows + self.window.row, cols + self.window.col


class FieldSplitter:
    """Cuts polygons of one layer."""

    def __init__(
        self,
        closeups: CloseUps,
        layer: QgsCoordinateReferenceSystem,
        image: QgsCoordinateReferenceSystem,
        simplify: float,
        context: QgsProcessingContext,
    ) -> None:
        """Where layer or image have no reference system, coordinates are taken as they are.

        :param layer: reference system of the polygons.
        :param simplify: how far inner edges may leave the edges of pixels, in pixels.
        """
        self._closeups = closeups
        self._layer = layer
        self._context = context
        self._from_image = self._onto_layer(image)
        self._simplify = simplify

    def by_image(
        self,
        field: PlacedField,
        score: float,
        segmenter: Segmenter,
        options: RefinementOptions,
        monitor: Monitor,
    ) -> Optional[Tuple[FieldPart, ...]]:
        """The fields that a model sees in a field; None where it stays whole.

        :param score: 0..1, the IoU that a model expects of the field; NaN where it is not known.
        :raises OutputError: the polygon cannot be cut.
        :raises Cancelled:
        """
        shown = self._closeups.of(field)
        quiet = Monitor(monitor.cancelled)
        children = children_of(shown.own, score, [shown.image], segmenter, options, quiet)
        if children is None:
            return None
        return self._cut(field, children.labels, shown.grid, self._from_image, shown)

    def by_season(
        self, field: PlacedField, pixels: SeriesPixels, grid: Grid
    ) -> Optional[Tuple[FieldPart, ...]]:
        """The parts of a field whose seasons differ; None where the polygon has but one of them.

        :param grid: of the series.
        :raises OutputError: the polygon cannot be cut.
        """
        window = pixels.window
        own = Grid(window.width, window.height, grid.window_transform(window), grid.crs)
        onto = self._onto_layer(crs_of(grid))
        return self._cut(field, pixels.labels, own, onto, self._closeups.of(field))

    def _cut(
        self,
        field: PlacedField,
        labels: np.ndarray,
        grid: Grid,
        onto: QgsCoordinateTransform,
        shown: CloseUp,
    ) -> Optional[Tuple[FieldPart, ...]]:
        shapes = split_polygon(field.feature.geometry(), labels, grid, onto, self._simplify)
        if shapes is None:
            raise OutputError(f"The polygon of field {field.feature.id()} cannot be cut.")
        shapes = [shape for shape in shapes if not shape.isEmpty()]
        if len(shapes) < 2:
            return None
        burnt = np.zeros(shown.own.shape, dtype=np.int32)
        for number, shape in enumerate(shapes, start=1):
            here = moved_by(shape, self._from_image, backwards=True)
            burnt[burn([here], shown.grid.whole, shown.grid)] = number
        measures = field_measures([shown.image], burnt, shown.valid, count=len(shapes))
        return tuple(
            FieldPart(shape, *measured(measures, k)) for k, shape in enumerate(shapes)
        )

    def _onto_layer(self, crs: QgsCoordinateReferenceSystem) -> QgsCoordinateTransform:
        known = crs.isValid() and self._layer.isValid()
        context = self._context.transformContext()
        return QgsCoordinateTransform(crs if known else self._layer, self._layer, context)


def measured(measures: FieldMeasures, place: int) -> Tuple[Optional[float], Optional[float]]:
    """Edge ratio and entropy of a field as columns hold them; None where no pixel is seen."""
    if not measures.pixels[place]:
        return None, None
    return round(float(measures.edge_ratio[place]), 4), round(float(measures.entropy[place]), 4)


def measured_fields(
    fields: Sequence[PlacedField],
    closeups: CloseUps,
    options: RefinementOptions,
    monitor: Monitor,
) -> FieldMeasures:
    """Numbers of all fields, one window after the other.

    :return: with sizes in pixels of the image.
    :raises Cancelled:
    """
    pixels = np.zeros(len(fields), np.int64)
    numbers = np.zeros((2, len(fields)), np.float32)
    for k, each in enumerate(fields):
        monitor.check()
        monitor.progress(k / len(fields))
        shown = closeups.of(each)
        found = field_measures(
            [shown.image], shown.own.astype(np.int32), shown.valid, options.limits, 1
        )
        pixels[k] = round(float(found.pixels[0]) * shown.step**2)
        numbers[:, k] = found.edge_ratio[0], found.entropy[0]
    return FieldMeasures(pixels, *numbers)


def fields_of_several_seasons(
    fields: Sequence[PlacedField],
    image: QgsCoordinateReferenceSystem,
    series: Series,
    index: Index,
    context: QgsProcessingContext,
    monitor: Monitor,
) -> Dict[int, SeriesPixels]:
    """Fields whose pixels have several seasons, by position, with the parts that they fall into.

    :param image: reference system of the outlines.
    :raises Cancelled:
    """
    target = crs_of(series.grid)
    known = image.isValid() and target.isValid()
    onto = QgsCoordinateTransform(
        image, target if known else image, context.transformContext()
    )
    found: Dict[int, SeriesPixels] = {}
    done = 0
    for batch in _batches(fields, onto, series.grid, monitor):
        part = monitor.part(done / len(fields), (done + len(batch)) / len(fields))
        rows, cols = zip(*(pixels.of_series() for _, pixels in batch))
        profiles = read_profiles(series, np.concatenate(rows), np.concatenate(cols), index, part)
        stops = np.cumsum([len(each) for each in rows])
        for (position, pixels), own_rows, own_cols, stop in zip(batch, rows, cols, stops):
            monitor.check()
            own = slice(stop - len(own_rows), stop)
            chosen = Profiles(profiles.values[own], profiles.valid[own], profiles.dates)
            parts = season_parts(chosen, own_rows, own_cols)
            if parts.max() > 1:
                labels = pixels.labels.copy()
                labels[labels > 0] = parts
                found[position] = SeriesPixels(labels, pixels.window)
        done += len(batch)
    return found


Batch = List[Tuple[int, SeriesPixels]]


def _batches(
    fields: Sequence[PlacedField], onto: QgsCoordinateTransform, grid: Grid, monitor: Monitor
) -> Iterator[Batch]:
    """Positions and pixels of fields on the grid of a series, some together."""
    batch: Batch = []
    size = 0
    for position, each in enumerate(fields):
        monitor.check()
        pixels = _pixels_of(each, onto, grid)
        if pixels is None:
            continue
        batch.append((position, pixels))
        size += int(np.count_nonzero(pixels.labels))
        if size >= _AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _pixels_of(
    field: PlacedField, onto: QgsCoordinateTransform, grid: Grid
) -> Optional[SeriesPixels]:
    """None where a field lies beside the series, in none of its pixels, or is too large."""
    try:
        outline = moved_by(field.outline, onto)
    except OutputError:
        return None
    window = window_of(outline, grid)
    if window is None or window.height * window.width > _LARGEST:
        return None
    mask = burn([outline], window, grid)
    if not mask.any():
        return None
    return SeriesPixels(mask.astype(np.int32), window)
