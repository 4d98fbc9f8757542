"""Small corrections of a mask that was right but for its rim.

Whoever clicks at the rim of a large field that was found whole wants that part of the rim, and not
another field. The network, which knows of the earlier answer nothing but the clicks, starts anew.
"""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np
from scipy import ndimage

from ....core.fields.masks import pixel_at

_SMALL = 0.25
"""How deep an error is at most, as a share of the side of the mask."""


def corrected(
    mask: np.ndarray, points: np.ndarray, foreground: np.ndarray
) -> Optional[np.ndarray]:
    """A mask that obeys all points, changed around those that it does not obey yet.

    A click sits where an error is deepest, so what is within reach of the click without meeting the
    outline is part of the error.

    :param mask: (H, W) bool, never changed.
    :param points: (k, 2) float64, x and y in pixels; those off the image are passed over.
    :param foreground: (k,) bool: on the wanted field.
    :return: (H, W) bool; None where an error is too deep to be one of the rim.
    """
    mask = mask.copy()
    limit = _SMALL * float(np.sqrt(np.count_nonzero(mask)))
    for (x, y), wanted in zip(points, foreground):
        pixel = pixel_at(mask.shape, x, y)
        if pixel is None or mask[pixel] == wanted:
            continue
        # Beyond the image nobody knows: its border counts as the error's end.
        error = np.pad(mask != wanted, 1)
        depth = float(ndimage.distance_transform_edt(error)[1:-1, 1:-1][pixel])
        if depth > limit:
            return None
        mask[_within(mask.shape, pixel, depth)] = wanted
    return mask


def _within(shape: Tuple[int, int], pixel: Tuple[int, int], reach: float) -> np.ndarray:
    """(H, W) bool: at most so far from a pixel."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - pixel[0]) ** 2 + (columns - pixel[1]) ** 2 <= reach**2
