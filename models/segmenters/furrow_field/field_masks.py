"""From the decoder's logits on a crop to a field in pixels of the image."""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np
from scipy import ndimage

from ....core.fields.masks import component_at, fill_holes
from ....core.fields.segmenter import Prompts
from .field_crops import Decode, anchor_within

Frame = Tuple[slice, slice]
"""Rows and columns of an image."""


def field_mask(
    logits: np.ndarray, decode: Decode, shape: Tuple[int, int], prompt: Prompts
) -> Tuple[np.ndarray, bool]:
    """The field of a prompt in full resolution; see `field_of`.

    :param logits: (FINE, FINE) float32.
    :param shape: height and width of the image in pixels.
    """
    values, frame = upsampled(logits, decode, shape)
    return field_of(values > 0, frame, shape, prompt)


def field_of(
    mask: np.ndarray, frame: Frame, shape: Tuple[int, int], prompt: Prompts
) -> Tuple[np.ndarray, bool]:
    """The field of a prompt: one piece of a mask per foreground point, holes filled.

    :param mask: (h, w) bool, what lies within the frame.
    :param shape: height and width of the image in pixels.
    :return: (H, W) bool, and whether it holds the prompt's anchor. A box without foreground
        points gets its largest piece; so does no one else: without the anchor, the piece nearest
        to it is taken.
    """
    image = np.zeros(shape, dtype=bool)
    rows, columns = frame
    if not mask.any():
        return image, False
    corner = np.array([columns.start, rows.start], dtype=np.float64)
    if prompt.foreground.any():
        wanted = np.clip(prompt.points[prompt.foreground], 0, (shape[1], shape[0])) - corner
        wanted[0] = np.array(anchor_within(shape, prompt)) - corner
        pieces, held = _pieces(mask, wanted)
    else:
        pieces, held = _largest(mask), True
    image[rows, columns] = fill_holes(pieces)
    return image, held


def upsampled(
    logits: np.ndarray, decode: Decode, shape: Tuple[int, int]
) -> Tuple[np.ndarray, Frame]:
    """A mask's logits in pixels, within the frame around what is positive.

    :param logits: (FINE, FINE) float32; cells beyond the image are not looked at.
    :param shape: height and width of the image in pixels.
    :return: (h, w) float32 and its rows and columns in the image; both empty for an empty mask.
    """
    known = decode.known(shape)
    positive = logits[known] > 0
    axes = []
    for axis, part in enumerate(known):
        places = np.flatnonzero(positive.any(axis=1 - axis))
        if not places.size:
            return np.zeros((0, 0), np.float32), (slice(0, 0), slice(0, 0))
        # A mask ends less than half a cell beyond its cells: half way to the neighbour's centre.
        near = slice(part.start + max(int(places[0]) - 1, 0), part.start + int(places[-1]) + 2)
        axes.append(_interpolation(near, part, decode.offset[1 - axis], decode.step, shape[axis]))
    (down, rows), (across, columns) = axes
    return down @ logits[known] @ across.T, (rows, columns)


def enlarged_map(values: np.ndarray, step: float, shape: Tuple[int, int]) -> np.ndarray:
    """Values of square cells, interpolated to pixels.

    :param values: (rows, columns) float32; the last ones may reach beyond the image.
    :param step: pixels of a cell.
    :param shape: height and width of the image in pixels.
    :return: (H, W) float32.
    """
    every = [slice(0, cells) for cells in values.shape]
    down, across = (_interpolation(k, k, 0.0, step, size)[0] for k, size in zip(every, shape))
    return down @ values @ across.T


def _interpolation(
    cells: slice, known: slice, offset: float, step: float, size: int
) -> Tuple[np.ndarray, slice]:
    """Linear interpolation from the known cells to pixels, along one axis.

    :param cells: whose pixels are wanted.
    :param known: what there is to interpolate between; repeated beyond its ends.
    :param offset: where cell 0 begins, in pixels.
    :param step: pixels of a cell; below 1 in an enlarged view.
    :param size: pixels of the image.
    :return: (pixels, known cells) float32, and the pixels in the image.
    """
    first = max(_first_centre(offset + cells.start * step), 0)
    last = max(min(_first_centre(offset + min(cells.stop, known.stop) * step), size), first)
    place = (np.arange(first, last) + 0.5 - offset) / step - 0.5 - known.start
    place = np.clip(place, 0, known.stop - known.start - 1)
    low = place.astype(np.intp)
    share = (place - low).astype(np.float32)
    matrix = np.zeros((last - first, known.stop - known.start), dtype=np.float32)
    lines = np.arange(last - first)
    matrix[lines, low] = 1 - share
    matrix[lines, np.minimum(low + 1, matrix.shape[1] - 1)] += share
    return matrix, slice(first, last)


def _first_centre(place: float) -> int:
    """The first pixel whose centre lies at a place or beyond it."""
    return int(np.ceil(place - 0.5 - 1e-9))


def _pieces(mask: np.ndarray, points: Sequence[np.ndarray]) -> Tuple[np.ndarray, bool]:
    """The pieces at some points, or the one nearest to the first; whether that is in the mask."""
    pieces = component_at(mask, *points[0])
    held = bool(pieces.any())
    if not held:
        pieces = component_at(mask, *_nearest(mask, *points[0]))
    for x, y in points[1:]:
        pieces = pieces | component_at(mask, x, y)
    return pieces, held


def _nearest(mask: np.ndarray, x: float, y: float) -> Tuple[float, float]:
    """Centre of the pixel of a mask nearest to a point."""
    rows, columns = np.nonzero(mask)
    k = int(np.argmin((columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2))
    return columns[k] + 0.5, rows[k] + 0.5


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest piece of a mask that is not empty."""
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == int(np.argmax(sizes))
