"""Crops of fields as networks are shown them."""

from __future__ import annotations

from typing import Iterator, Optional, Sequence, Tuple

import numpy as np
from qgis.core import QgsProcessingContext

from ..core.fields.classification.bands import Bands
from ..core.fields.classification.features import LEAST_PIXELS
from ..core.monitor import Monitor
from ..models.fieldnets.crops import FieldCrop, field_crop
from ..qgis_io.field_crops import CropCutter
from ..qgis_io.field_features import TOO_FEW, picture_bands
from ..qgis_io.field_views import NO_DATA, PlacedField, PlacedFields

MARGIN = 0.1
"""Around a field, of its longer side."""
_SAMPLED = 4
"""A field is read with at most so many times the pixels of its crop."""


def each_crop(
    placed: PlacedFields,
    fields: Sequence[PlacedField],
    bands: Bands,
    side: int,
    context: QgsProcessingContext,
    monitor: Monitor,
) -> Iterator[Tuple[PlacedField, Optional[FieldCrop], str]]:
    """Each field with its crop; None and the reason where it has too few pixels.

    :param side: of the crops in pixels.
    :raises BandError, RasterError: a picture lacks a band or cannot be read.
    :raises Cancelled:
    """
    numbers = picture_bands(placed, bands)
    cutter = CropCutter(placed.pictures, context)
    try:
        for done, field in enumerate(fields):
            monitor.check()
            monitor.progress(done / len(fields))
            chosen = [numbers[field.picture][place] for place in bands.colour]
            crop = cutter.cut(field, chosen, MARGIN, _SAMPLED * side)
            own = crop.mask & crop.valid
            pixels = int(np.count_nonzero(own))
            if pixels < LEAST_PIXELS:
                yield field, None, TOO_FEW if pixels else NO_DATA
                continue
            info = placed.pictures[field.picture].info
            scales, offsets = (
                np.array([each[band - 1] for band in chosen], np.float32)[:, None, None]
                for each in (info.scales, info.offsets)
            )
            colours = bands.of_colour(crop.values.astype(np.float32) * scales + offsets)
            yield field, field_crop(colours, own, side), ""
    finally:
        cutter.close()
