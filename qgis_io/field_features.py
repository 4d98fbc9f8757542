"""The features of all fields of a layer, and what is left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np
from qgis.core import QgsProcessingContext

from ..core.errors import ParameterError
from ..core.fields.classification.bands import Bands, bands_of, with_ranges
from ..core.fields.classification.features import LEAST_PIXELS, feature_names, features_of
from ..core.monitor import SILENT, Monitor
from .field_views import NO_DATA, FieldReader, PlacedField, PlacedFields

TOO_FEW = "too_few_pixels"
_SAMPLED_FIELDS = 400
_SAMPLED_PIXELS = 500
"""Of each, to measure the range of the bands."""


@dataclass(frozen=True)
class FeatureTable:
    """Features of n fields."""

    fields: Tuple[PlacedField, ...]
    values: np.ndarray
    """(n, f) float32; NaN where a feature has no value."""
    skipped: Tuple[Tuple[int, str], ...]
    """Feature id and reason, of fields with too few pixels."""


def training_bands(
    placed: PlacedFields,
    colour: Sequence[int],
    context: QgsProcessingContext,
    monitor: Monitor = SILENT,
) -> Bands:
    """The bands of the pictures, with the range that their fields show.

    :param colour: 1-based numbers of red, green and blue, or none.
    :raises Cancelled:
    :raises BandError, RasterError: a picture lacks a band of the first one, or cannot be read.
    :raises ParameterError: no field has data.
    """
    first = placed.pictures[0]
    bands = bands_of(first.info.band_names, colour)
    if all(picture.in_bytes for picture in placed.pictures):
        return with_ranges(bands, np.zeros((len(bands.names), 1)), whole_bytes=True)
    reader = FieldReader(placed.pictures, context)
    try:
        step = max(1, len(placed.fields) // _SAMPLED_FIELDS)
        samples = []
        for field in placed.fields[::step]:
            monitor.check()
            samples.append(_sample(placed, field, bands, reader))
    finally:
        reader.close()
    pixels = np.concatenate([np.zeros((len(bands.names), 0)), *samples], axis=1)
    if not pixels.size:
        raise ParameterError("FIELDS: the image has no data in any of the fields; choose others.")
    return with_ranges(bands, pixels, whole_bytes=False)


def feature_table(
    placed: PlacedFields,
    fields: Sequence[PlacedField],
    bands: Bands,
    groups: Sequence[str],
    context: QgsProcessingContext,
    monitor: Monitor = SILENT,
) -> FeatureTable:
    """Read fields one after the other.

    :param groups: of features.
    :raises BandError, RasterError: a picture lacks a band or cannot be read.
    :raises Cancelled:
    """
    numbers = picture_bands(placed, bands)
    kept: List[PlacedField] = []
    rows: List[np.ndarray] = []
    skipped: List[Tuple[int, str]] = []
    reader = FieldReader(placed.pictures, context)
    try:
        for done, field in enumerate(fields):
            monitor.check()
            monitor.progress(done / len(fields))
            view = reader.view(field, numbers[field.picture])
            pixels = int(np.count_nonzero(view.own))
            if pixels < LEAST_PIXELS:
                skipped.append((field.feature.id(), TOO_FEW if pixels else NO_DATA))
                continue
            kept.append(field)
            rows.append(features_of(view, bands, groups))
    finally:
        reader.close()
    width = len(feature_names(bands, groups))
    return FeatureTable(tuple(kept), np.array(rows, np.float32).reshape(-1, width), tuple(skipped))


def picture_bands(placed: PlacedFields, bands: Bands) -> List[Tuple[int, ...]]:
    """The numbers of a classifier's bands in each picture.

    :raises BandError: one lacks a band.
    """
    return [bands.in_picture(p.info.band_names, f"INPUT: {p.name}") for p in placed.pictures]


def _sample(
    placed: PlacedFields, field: PlacedField, bands: Bands, reader: FieldReader
) -> np.ndarray:
    """(b, k) values of some pixels of a field that have data."""
    name = f"INPUT: {placed.pictures[field.picture].name}"
    numbers = bands.in_picture(placed.pictures[field.picture].info.band_names, name)
    view = reader.view(field, numbers)
    pixels = view.values[:, view.own]
    return pixels[:, :: max(1, pixels.shape[1] // _SAMPLED_PIXELS)]
