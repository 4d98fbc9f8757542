"""How bright and how varied an image is around each of its places.

Engines judge a colour by those around it. Around means the same places for every window of an
image, wherever the window begins: a field then looks the same in all tiles that show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, product
from math import ceil
from typing import Dict, List, Tuple

import numpy as np

from .grid import Window

Span = Tuple[int, int]

SURROUNDINGS = 512
"""Side of what counts as around, in pixels; all of an image that is smaller."""
_STEP = SURROUNDINGS // 2
"""Pixels from one measured place to the next; between them figures change evenly."""


@dataclass(frozen=True)
class LocalColours:
    """Mean and deviation of three colours around places of an image that lie evenly on it; one
    place for an image that is all around itself."""

    rows: int
    columns: int
    values: Tuple[float, ...]
    """rows x columns x (three means, three deviations), 0..255."""

    def within(self, window: Window) -> np.ndarray:
        """Around each pixel of a window: (h, w, 6) float32, three means and three deviations; not
        to be written to."""
        nodes = np.array(self.values, np.float32).reshape(self.rows, self.columns, 6)
        if nodes.size == 6:
            return np.broadcast_to(nodes, (window.height, window.width, 6))
        low, high, share = _between(window.row, window.height, self.rows)
        rows = nodes[low] + (nodes[high] - nodes[low]) * share[:, None, None]
        low, high, share = _between(window.col, window.width, self.columns)
        return rows[:, low] + (rows[:, high] - rows[:, low]) * share[:, None]


def local_colours(
    picture: np.ndarray, valid: np.ndarray, shape: Tuple[int, int]
) -> LocalColours:
    """Measure an image on every k-th of its rows and columns.

    :param picture: (h, w, 3) of 0..255.
    :param valid: (h, w) bool; some is True. Other pixels do not count.
    :param shape: height and width of the image in pixels, at least those of the picture.
    """
    rows, columns = (_spans(size, part) for size, part in zip(shape, picture.shape))
    known: Dict[Tuple[Span, Span], Tuple[float, ...]] = {}
    for top, left in product(set(rows), set(columns)):
        part = slice(*top), slice(*left)
        known[top, left] = _figures(picture[part], valid[part])
    # Where nothing around a place is known, it is taken for the image as a whole.
    whole = () if all(known.values()) else _figures(picture, valid)
    values = [known[place] or whole for place in product(rows, columns)]
    return LocalColours(len(rows), len(columns), tuple(chain.from_iterable(values)))


def _figures(picture: np.ndarray, valid: np.ndarray) -> Tuple[float, ...]:
    """Means and deviations of a part; empty where nothing is known."""
    seen = picture.reshape(-1, 3) if valid.all() else picture[valid]
    if not seen.size:
        return ()
    # Sums of a transposed copy are several times as fast.
    colours = np.ascontiguousarray(seen.T)
    figures = [*colours.mean(axis=1), *colours.std(axis=1)]
    return tuple(round(float(figure), 2) for figure in figures)


def _spans(size: int, sampled: int) -> List[Span]:
    """What is around each place of a line, first and one past the last sample.

    :param size: of the line in pixels.
    :param sampled: the same in samples.
    """
    if size <= SURROUNDINGS:
        return [(0, sampled)]
    places = range(_STEP // 2, size + _STEP // 2, _STEP)
    starts = [min(max(place - _STEP, 0), size - SURROUNDINGS) for place in places]
    scale = sampled / size
    return [(int(start * scale), ceil((start + SURROUNDINGS) * scale)) for start in starts]


def _between(start: int, count: int, places: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each pixel of a line: the measured places before and after it, and how far between."""
    at = np.clip((np.arange(start, start + count) + 0.5) / _STEP - 0.5, 0, places - 1)
    low = at.astype(int)
    return low, np.minimum(low + 1, places - 1), (at - low).astype(np.float32)
