"""One encoded window of an image, and the fields that a prompt gets from it.

A window lies on the fixed lattice of :meth:`Grid.shared_window`, so the same prompt gets the same
field whatever else was asked before; a mask that runs into the window's edge is to be looked for
again in a window twice as large.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import List, Optional, Sequence, Tuple

import numpy as np

from ..imagery.grid import Grid, Window
from ..imagery.pictures import Picture
from .field_mask import FieldMask, placed, tidied
from .masks import MINIMUM_PIXELS
from .segmenter import Embedding, Prompts, Segmenter

LARGEST_WINDOW = 1024
"""Windows are never made larger than this, in pixels."""
_BOX_SPACE, _BOX_RIM = 2.0, 8
"""A window is at least this many times as wide as the box of a prompt, and some pixels more: a
quarter of a shared window may lie on one side of the box's centre, and half of the box does."""


@dataclass(frozen=True)
class EncodedWindow:
    """What is kept of a window once an engine has encoded it."""

    window: Window
    embedding: Embedding
    valid: np.ndarray
    """(h, w) bool: pixels with data."""
    date: Optional[dt.date] = None
    name: str = ""
    """Of the image, as outputs call it."""


def encode(segmenter: Segmenter, picture: Picture, window: Window) -> EncodedWindow:
    """Have an engine encode the picture of a window."""
    embedding = segmenter.encode(picture.image)
    return EncodedWindow(window, embedding, picture.valid, picture.date, picture.name)


def answer(
    segmenter: Segmenter, encoded: EncodedWindow, prompt: Prompts, grid: Grid
) -> Tuple[FieldMask, ...]:
    """All masks that an engine offers for a prompt, the finest first; none where all are noise.

    :param prompt: in pixel coordinates of the grid.
    """
    local = shifted(prompt, encoded.window)
    found = segmenter.predict(encoded.embedding, [local])
    tidy = tidied(found.masks[0], local, encoded.valid)
    like = FieldMask(0, encoded.window, encoded.valid, 0.0, 0, False, encoded.date, encoded.name)
    return tuple(placed_masks(tidy, found.scores[0], usable(tidy), encoded.window, grid, like))


def usable(tidy: np.ndarray) -> List[int]:
    """Which of (m, h, w) masks are more than noise."""
    return [k for k in range(len(tidy)) if tidy[k].sum() >= MINIMUM_PIXELS]


def placed_masks(
    tidy: np.ndarray,
    scores: np.ndarray,
    ranks: Sequence[int],
    window: Window,
    grid: Grid,
    like: FieldMask,
) -> List[FieldMask]:
    """Some of the masks of one prompt as fields; those that are empty are left out.

    :param tidy: (m, h, w) bool within the window.
    :param scores: (m,) float.
    :param like: which prompt, date and image they belong to.
    """
    return [
        replace(placed(tidy[k], window, grid, like), score=float(scores[k]), rank=k)
        for k in ranks
        if tidy[k].any()
    ]


def window_for(prompt: Prompts, size: int, grid: Grid) -> Window:
    """The window of the lattice that answers a prompt: the one whose centre is nearest."""
    x, y = prompt.anchor
    return grid.shared_window(int(y), int(x), size)


def first_size(prompt: Prompts, window: int) -> int:
    """Side of the window that a prompt is first answered in.

    :param window: the side for a point in pixels; a box may need more.
    """
    if prompt.box is None:
        return window
    side = max(prompt.box[2] - prompt.box[0], prompt.box[3] - prompt.box[1])
    wide = np.ceil(side * _BOX_SPACE) + _BOX_RIM
    return int(min(max(window, wide), max(window, LARGEST_WINDOW)))


def larger_size(size: int, grid: Grid) -> int:
    """Side of the next larger window; the same where there is none."""
    largest = min(LARGEST_WINDOW, max(grid.height, grid.width))
    return size if size >= largest else min(2 * size, largest)


def shifted(prompt: Prompts, window: Window) -> Prompts:
    """A prompt of the grid in pixel coordinates of a window."""
    corner = np.array([window.col, window.row], dtype=np.float64)
    box = None if prompt.box is None else prompt.box - np.tile(corner, 2)
    return Prompts(prompt.points - corner, prompt.foreground, box)
