"""A closer look at small fields: the prompt's surroundings, enlarged, as a picture of their own.

At its finest level the network sees a parcel of ten pixels as five cells. Enlarged three times it
is as large as the fields that the network is best at.
"""

from __future__ import annotations

from typing import List, Tuple

import numpy as np
from scipy import ndimage

from ....core.fields.segmenter import Prompts
from .field_crops import Decode, View, anchor_within, corner_around

SIDE, ZOOM = 42, 3
"""Pixels of the image along a side of the view, and how much they are enlarged."""
SMALL = 24
"""Side in pixels of the fields below which a closer look is taken."""
_LEVELS = (0, 1)


def view_around(shape: Tuple[int, int], prompt: Prompts) -> View:
    """The part of an image around a prompt.

    :param shape: height and width of the image in pixels.
    """
    x, y = anchor_within(shape, prompt)
    height, width = (min(SIDE, side) for side in shape)
    left = min(max(int(x) - width // 2, 0), shape[1] - width)
    top = min(max(int(y) - height // 2, 0), shape[0] - height)
    return View((left, top), (height, width), ZOOM)


def enlarged(image: np.ndarray, view: View) -> np.ndarray:
    """The picture that a view shows.

    :param image: (H, W, 3) uint8.
    :return: (h, w, 3) uint8, the view's shape times its zoom.
    """
    (left, top), (height, width) = view.corner, view.shape
    part = image[top : top + height, left : left + width].astype(np.float32)
    zoom = (view.zoom, view.zoom, 1)
    large = ndimage.zoom(part, zoom, order=1, mode="nearest", grid_mode=True)
    return np.clip(np.round(large), 0, 255).astype(np.uint8)


def close_decodes(shape: Tuple[int, int], view: View, prompt: Prompts) -> List[Decode]:
    """The finest levels of a view, around the prompt.

    :param shape: height and width of the image in pixels.
    """
    anchor = anchor_within(shape, prompt)
    x, y = ((place - start) * view.zoom for place, start in zip(anchor, view.corner))
    return [Decode(k, corner_around(x, y, k), view) for k in _LEVELS]
