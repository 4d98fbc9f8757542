"""Field masks: an engine's answer made into one field that has its place on the grid."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Optional, Sequence, Tuple

import numpy as np
from scipy import ndimage

from ..imagery.grid import Grid, Window
from .masks import component_at, fill_holes, iou_in_place
from .segmenter import Prompts

_EDGE_CONTACT = 10
"""A mask with more pixels than this on the window's edge is cut off (specification A6, 20)."""


@dataclass(frozen=True)
class FieldMask:
    """A field found for a prompt."""

    prompt: int
    """Position of the prompt in the list that was handed in."""
    window: Window
    """The mask's bounding rectangle on the grid."""
    mask: np.ndarray
    """(h, w) bool within `window`: one connected piece at the prompt, holes filled."""
    score: float
    """0..1, the engine's own."""
    rank: int
    """0 is the finest of the masks offered."""
    cut_off: bool
    """It runs into the edge of the window that it was looked for in."""
    date: Optional[dt.date]
    image: str

    @property
    def pixels(self) -> Tuple[np.ndarray, np.ndarray]:
        """Rows and columns of its pixels on the grid."""
        rows, cols = np.nonzero(self.mask)
        return rows + self.window.row, cols + self.window.col

    def within(self, window: Window) -> np.ndarray:
        """(h, w) bool: the mask on another window of the grid; what lies outside is lost."""
        rows, cols = self.pixels
        rows, cols = rows - window.row, cols - window.col
        inside = (0 <= rows) & (rows < window.height) & (0 <= cols) & (cols < window.width)
        mask = np.zeros((window.height, window.width), dtype=bool)
        mask[rows[inside], cols[inside]] = True
        return mask


def tidied(masks: np.ndarray, prompt: Prompts, valid: np.ndarray) -> np.ndarray:
    """The pieces of masks at a prompt, holes filled where there is data (specification A6, 8).

    :param masks: (m, h, w) bool, answers to the prompt.
    :param prompt: in pixel coordinates of the masks; where it has several foreground points the
        pieces at all of them count.
    :param valid: (h, w) bool.
    :return: (m, h, w) bool.
    """
    points = prompt.points[prompt.foreground] if prompt.foreground.any() else [prompt.anchor]
    tidy = np.zeros_like(masks)
    for k, mask in enumerate(masks):
        filled = fill_holes(_pieces(mask & valid, points)) & valid
        # A hole may hold an island behind pixels without data.
        tidy[k] = _pieces(filled, points)
    return tidy


def placed(mask: np.ndarray, window: Window, grid: Grid, model: FieldMask) -> FieldMask:
    """A mask cut to its bounding rectangle.

    :param mask: (h, w) bool within `window`, not empty.
    :param model: where all the rest is taken from.
    """
    rows, cols = ndimage.find_objects(mask.astype(np.uint8))[0]
    rectangle = Window(
        window.row + rows.start,
        window.col + cols.start,
        rows.stop - rows.start,
        cols.stop - cols.start,
    )
    cut_off = _inner_contact(mask, window, grid) > _EDGE_CONTACT
    return replace(model, window=rectangle, mask=mask[rows, cols].copy(), cut_off=cut_off)


def grown(field: FieldMask, pixels: int, grid: Grid) -> FieldMask:
    """The field with its outline moved outwards, or inwards where `pixels` is negative.

    A field that would vanish stays as it is. Corners are cut, so that steps in both axes and
    along the diagonal count alike.
    """
    if not pixels:
        return field
    margin = max(pixels, 0) + 1
    window = _widened(field.window, margin, grid)
    mask = field.within(window)
    for step in range(abs(pixels)):
        shape = ndimage.generate_binary_structure(2, 1 + step % 2)
        if pixels > 0:
            mask = ndimage.binary_dilation(mask, shape)
        else:
            mask = ndimage.binary_erosion(mask, shape, border_value=1)
    labels, count = ndimage.label(mask)
    if not count:
        return field
    largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return replace(placed(largest, window, grid, field), cut_off=field.cut_off)


def overlap(a: FieldMask, b: FieldMask) -> float:
    """Intersection over union of two masks on one grid."""
    a_corner, b_corner = ((each.window.row, each.window.col) for each in (a, b))
    return iou_in_place(a.mask, a_corner, b.mask, b_corner)


def _pieces(mask: np.ndarray, points: Sequence[Sequence[float]]) -> np.ndarray:
    """The connected pieces of a mask at some points."""
    pieces = np.zeros_like(mask)
    for x, y in points:
        pieces |= component_at(mask, x, y)
    return pieces


def _widened(window: Window, margin: int, grid: Grid) -> Window:
    row, col = max(window.row - margin, 0), max(window.col - margin, 0)
    stop_row = min(window.row + window.height + margin, grid.height)
    stop_col = min(window.col + window.width + margin, grid.width)
    return Window(row, col, stop_row - row, stop_col - col)


def _inner_contact(mask: np.ndarray, window: Window, grid: Grid) -> int:
    """Pixels of the mask on those edges of the window that are not edges of the grid."""
    edges = (
        (window.row > 0, mask[0]),
        (window.row + window.height < grid.height, mask[-1]),
        (window.col > 0, mask[:, 0]),
        (window.col + window.width < grid.width, mask[:, -1]),
    )
    return sum(int(edge.sum()) for inside, edge in edges if inside)
