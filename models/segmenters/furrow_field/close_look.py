"""Closer looks at small fields: the prompt's surroundings, enlarged, as pictures of their own.

At its finest level the network sees a parcel of ten pixels as five cells. Enlarged three times it
is as large as the fields that the network is best at. Several sights of the same field also show
the ranker what they agree about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np
from scipy import ndimage

from ....core.fields.segmenter import Prompts
from .field_crops import Decode, View, anchor_within, corner_around


@dataclass(frozen=True)
class CloserLook:
    """How a prompt's surroundings are looked at once more."""

    side: int
    """Pixels of the image along a side of the view."""
    zoom: int
    """How many times they are enlarged."""
    below: float
    """Side in pixels of the fields below which it is taken."""


CLOSER_LOOKS = (CloserLook(42, 3, 40.0), CloserLook(64, 2, 60.0))
_LEVELS = (0, 1)


def view_around(shape: Tuple[int, int], prompt: Prompts, closer: CloserLook) -> View:
    """The part of an image around a prompt.

    :param shape: height and width of the image in pixels.
    """
    x, y = anchor_within(shape, prompt)
    height, width = (min(closer.side, side) for side in shape)
    left = min(max(int(x) - width // 2, 0), shape[1] - width)
    top = min(max(int(y) - height // 2, 0), shape[0] - height)
    return View((left, top), (height, width), closer.zoom)


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
