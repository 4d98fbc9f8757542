"""Square crops around fields: centred, with a margin, whole even where the picture ends."""

from __future__ import annotations

import re
from typing import Dict, Hashable, Iterable, Tuple

import numpy as np

from ...imagery.grid import Grid, Window

_UNSAFE = re.compile(r'[\x00-\x1f<>:"/\\|?*]+')
_LONGEST = 80
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def square_around(window: Window, margin: float) -> Window:
    """The square with a field in its middle; it may reach beyond the picture.

    :param window: the smallest one around the field.
    :param margin: on each side, as a share of the field's longer side.
    """
    longer = max(window.height, window.width)
    side = max(longer, int(np.ceil(longer * (1 + 2 * margin))))
    row = window.row - (side - window.height) // 2
    return Window(row, window.col - (side - window.width) // 2, side, side)


def seen_part(square: Window, grid: Grid) -> Window:
    """What of a square lies on the picture, which it meets."""
    row, col = max(square.row, 0), max(square.col, 0)
    stop_row = min(square.row + square.height, grid.height)
    stop_col = min(square.col + square.width, grid.width)
    return Window(row, col, stop_row - row, stop_col - col)


def on_square(
    part: np.ndarray, seen: Window, square: Window, fill: float, step: int = 1
) -> np.ndarray:
    """(b, s, s) a whole square from the part that a picture shows.

    :param part: (b, h, w) of `seen`: every `step`-th row and column, rounded up.
    :param fill: what stands beside the picture.
    """
    side = -(-square.height // step)
    height, width = part.shape[1:]
    row = min((seen.row - square.row) // step, side - height)
    col = min((seen.col - square.col) // step, side - width)
    whole = np.full((len(part), side, side), fill, part.dtype)
    whole[:, row : row + height, col : col + width] = part
    return whole


def safe_names(labels: Iterable[Hashable]) -> Dict[Hashable, str]:
    """A name for each that is fine for files on every system; none twice, whatever the case."""
    names: Dict[Hashable, str] = {}
    taken = set()
    for label in labels:
        if label in names:
            continue
        wanted = _UNSAFE.sub("_", str(label)).strip(" .")[:_LONGEST] or "_"
        wanted = f"_{wanted}" if _RESERVED.fullmatch(wanted) else wanted
        name, number = wanted, 2
        while name.lower() in taken:
            name, number = f"{wanted}_{number}", number + 1
        taken.add(name.lower())
        names[label] = name
    return names


def tiles_of(grid: Grid, most: int) -> Tuple[Window, ...]:
    """A picture cut into parts of about one size with at most so many pixels along a side."""
    rows = _cuts(grid.height, most)
    cols = _cuts(grid.width, most)
    return tuple(
        Window(top, left, bottom - top, right - left)
        for top, bottom in zip(rows, rows[1:])
        for left, right in zip(cols, cols[1:])
    )


def _cuts(length: int, most: int) -> Tuple[int, ...]:
    count = -(-length // most)
    return tuple(round(length * k / count) for k in range(count + 1))
