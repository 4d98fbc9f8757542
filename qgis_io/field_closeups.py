"""Single fields as a model is shown them: each with what is around it, all stretched alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np
from qgis.core import QgsProcessingContext

from ..core.fields.delineation.refinement import around
from ..core.imagery.composite import stretch
from ..core.imagery.grid import Grid, Window
from ..core.imagery.nodata import has_data
from ..core.imagery.scene_images import SceneImage
from .field_views import FieldReader, PlacedField, PlacedFields, sampled_grid
from .shapes import burn

MOST_PIXELS = 1024
"""Along a side of what is shown; of larger fields every k-th row and column is."""


@dataclass(frozen=True)
class CloseUp:
    """A field with what is around it."""

    image: np.ndarray
    """(h, w, 3) uint8; 0 without data."""
    own: np.ndarray
    """(h, w) bool: pixels of the field that have data."""
    valid: np.ndarray
    """(h, w) bool: pixels that have data."""
    grid: Grid
    """Of these pixels."""
    step: float
    """How many pixels of the image one of these stands for, along a side."""


class CloseUps:
    """Reads fields of one image one after the other; for one thread."""

    def __init__(
        self,
        placed: PlacedFields,
        image: SceneImage,
        margin: float,
        context: QgsProcessingContext,
    ) -> None:
        """:param margin: what is shown around a field, as a share of its extent."""
        self._picture = placed.pictures[0]
        self._reader = FieldReader(placed.pictures, context)
        self._image = image
        self._margin = margin

    def of(self, field: PlacedField) -> CloseUp:
        """A field close up.

        :raises RasterError: the image cannot be read.
        """
        whole = self._picture.grid
        window = _wider(field.window, whole, self._margin)
        grid = sampled_grid(whole, window, MOST_PIXELS)
        bands = self._image.bands
        stored = self._reader.stored(0, window, bands, (grid.height, grid.width))
        valid = has_data(stored, _nodata(self._picture.info.nodata, bands))
        own = burn([field.outline], grid.whole, grid) & valid
        picture = stretch(stored, valid, self._image.ranges)
        return CloseUp(picture, own, valid, grid, window.width / grid.width)

    def close(self) -> None:
        """Release the file."""
        self._reader.close()


def _wider(window: Window, grid: Grid, margin: float) -> Window:
    rows, cols = around(
        window.row, window.col, window.height, window.width, (grid.height, grid.width), margin
    )
    return Window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)


def _nodata(values: Sequence, bands: Sequence[int]) -> list:
    return [values[band - 1] for band in bands]
