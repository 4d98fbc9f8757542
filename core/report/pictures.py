"""Pictures of single references: the patch as PNG, the field and its pixels as SVG paths.

Drawn pixels keep patch coordinates (x right, y down, centres at .5), moved to the crop, so that
the browser scales picture and overlay together and lines stay crisp at any size.
"""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from .content import ReferencePage

MIN_SIDE = 24
"""Pixels; a smaller crop shows nothing of what lies around the field."""
MAX_SIDE = 260
"""Pixels; the size on the page, so that more would not be seen."""
MAX_MARKS = 800
"""Single marks drawn for a card; marks on the pixel grid are joined to runs and not limited."""

DASH = 0.6
"""Pixels; length of the mark of a rejected pixel, as in the style sheet."""


@dataclass(frozen=True)
class Picture:
    """One picture of a card, in pixels of the crop."""

    width: int
    height: int
    uri: str
    """data: URI of the PNG."""
    outline: str
    """Path of the field's border, closed rings along pixel edges; '' = no mask."""
    kept: str
    """Path of runs of kept pixels; dashed with period 1 it shows one mark for each pixel."""
    rejected: str
    """Path of runs of rejected pixels."""
    cross: str
    """Path of the reference's cross; '' = no reference in the picture."""
    thinned: bool
    """True when not every pixel is drawn."""


def draw(page: ReferencePage) -> Picture | None:
    """The picture of a card, or None where there is no patch."""
    if page.patch is None or page.patch.size == 0:
        return None
    top, left, height, width = crop_window(page)
    patch = page.patch[top : top + height, left : left + width]
    offset = np.array([left, top], dtype=np.float64)
    mask = None if page.mask is None else page.mask[top : top + height, left : left + width]
    kept, kept_thinned = runs_path(page.kept_xy - offset)
    rejected, rejected_thinned = runs_path(page.rejected_xy - offset, DASH)
    return Picture(
        width=width,
        height=height,
        uri=png_uri(shrunk(patch, MAX_SIDE)),
        outline="" if mask is None else outline_path(mask),
        kept=kept,
        rejected=rejected,
        cross=_cross(page.prompt_xy, offset, max(width, height)),
        thinned=kept_thinned or rejected_thinned,
    )


def _cross(xy: tuple[float, float] | None, offset: np.ndarray, side: int) -> str:
    if xy is None:
        return ""
    x, y = np.asarray(xy, dtype=np.float64) - offset
    arm = side / 30
    long = short(2 * arm)
    return f"M{short(x - arm)} {short(y)}h{long}M{short(x)} {short(y - arm)}v{long}"


def crop_window(page: ReferencePage) -> tuple[int, int, int, int]:
    """Top, left, height, width of the part of the patch around what is drawn, with a margin."""
    rows, columns = page.patch.shape[:2]
    found = _extent(page)
    if found is None:
        return 0, 0, rows, columns
    low, high = found
    side = max(MIN_SIDE, int(np.ceil((high - low).max() * 1.35)) + 4)
    width, height = min(side, columns), min(side, rows)
    middle = (low + high) / 2
    left = int(np.clip(round(middle[0] - width / 2), 0, columns - width))
    top = int(np.clip(round(middle[1] - height / 2), 0, rows - height))
    return top, left, height, width


def _extent(page: ReferencePage) -> tuple[np.ndarray, np.ndarray] | None:
    """Least and greatest x, y of mask and reference; of the pixels where there is no mask."""
    parts = [] if page.prompt_xy is None else [np.asarray(page.prompt_xy, dtype=np.float64)[None]]
    if page.mask is not None and page.mask.any():
        rows, columns = np.nonzero(page.mask)
        parts.append(np.stack([columns, rows], axis=1) + 0.5)
    else:
        parts += [xy for xy in (page.kept_xy, page.rejected_xy) if len(xy)]
    if not parts:
        return None
    points = np.concatenate(parts)
    return points.min(axis=0), points.max(axis=0)


def shrunk(image: np.ndarray, side: int) -> np.ndarray:
    """Every k-th row and column, so that neither is longer than `side`."""
    step = -(-max(image.shape[:2]) // side)
    return image[::step, ::step]


def png_uri(image: np.ndarray) -> str:
    """A picture as data: URI. It is not enlarged: the page shows its pixels as squares.

    :param image: (h, w, 3) uint8.
    """
    return "data:image/png;base64," + base64.b64encode(png(image)).decode("ascii")


def png(image: np.ndarray) -> bytes:
    """Encode (h, w, 3) uint8 as PNG; the format is simple enough to need no library."""
    height, width = image.shape[:2]
    rows = np.full((height, 1 + width * 3), 4, dtype=np.uint8)  # each row begins with its filter
    rows[:, 1:] = (image - _paeth(image)).reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _paeth(image: np.ndarray) -> np.ndarray:
    """The prediction of PNG's filter 4: the one of left, above, above left nearest to their sum."""
    padded = np.pad(image.astype(np.int16), ((1, 0), (1, 0), (0, 0)))
    left, above, corner = padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1]
    guess = left + above - corner
    off_left, off_above, off_corner = (np.abs(guess - part) for part in (left, above, corner))
    nearest = np.where(off_above <= off_corner, above, corner)
    use_left = (off_left <= off_above) & (off_left <= off_corner)
    return np.where(use_left, left, nearest).astype(np.uint8)


def short(value: float) -> str:
    """A coordinate with one decimal, as few characters as possible."""
    text = f"{value:.1f}"
    text = text.removesuffix(".0")
    return "0" if text == "-0" else text


def outline_path(mask: np.ndarray) -> str:
    """Rings around the True pixels, along pixel edges, as an SVG path.

    :param mask: (h, w) bool.
    """
    following = _directed_edges(mask)
    path = []
    while following:
        start = next(iter(following))
        path.append(_ring(following, start))
    return "".join(path)


def _directed_edges(mask: np.ndarray) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Corner (x, y) -> steps (dx, dy) that leave it, clockwise around True pixels."""
    padded = np.pad(np.asarray(mask, dtype=bool), 1)
    inner = padded[1:-1, 1:-1]
    sides = (  # neighbour that must be False, first corner of that side, step along it
        (padded[:-2, 1:-1], (0, 0), (1, 0)),
        (padded[1:-1, 2:], (1, 0), (0, 1)),
        (padded[2:, 1:-1], (1, 1), (-1, 0)),
        (padded[1:-1, :-2], (0, 1), (0, -1)),
    )
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for neighbour, (dx, dy), step in sides:
        for y, x in np.argwhere(inner & ~neighbour).tolist():
            following.setdefault((x + dx, y + dy), []).append(step)
    return following


def _ring(following: dict[tuple[int, int], list[tuple[int, int]]], start: tuple[int, int]) -> str:
    """Take one closed ring out of the edges; equal steps are joined."""
    x, y = start
    steps: list[list[int]] = []
    while (x, y) in following:
        dx, dy = _take(following, (x, y))
        x, y = x + dx, y + dy
        if steps and (steps[-1][0] == 0) == (dx == 0):
            steps[-1][0] += dx
            steps[-1][1] += dy
        else:
            steps.append([dx, dy])
    moves = "".join(f"h{dx}" if dx else f"v{dy}" for dx, dy in steps)
    return f"M{start[0]} {start[1]}{moves}z"


def _take(
    following: dict[tuple[int, int], list[tuple[int, int]]], corner: tuple[int, int]
) -> tuple[int, int]:
    step = following[corner].pop()
    if not following[corner]:
        del following[corner]
    return step


def runs_path(xy: np.ndarray, mark: float = 0.0) -> tuple[str, bool]:
    """Pixels as horizontal runs, and whether some were left out.

    Centres of one row that are one pixel apart make one line; dashed with period 1 it shows a
    mark at each of them. That is a tenth of the text that a mark for each pixel would need.

    :param xy: (n, 2) float, x and y of the centres.
    :param mark: length of a dash in pixels, so that dashes stand centred on the pixels.
    """
    if len(xy) == 0:
        return "", False
    points = np.unique(np.round(np.asarray(xy, dtype=np.float64), 1)[:, ::-1], axis=0)  # y, x
    steps = np.diff(points, axis=0)
    joined = (np.abs(steps[:, 0]) < 0.05) & (np.abs(steps[:, 1] - 1) < 0.05)
    firsts = np.flatnonzero(np.r_[True, ~joined])
    # A dash of no length needs a little more line, or rounding may lose the last one.
    lengths = np.diff(np.r_[firsts, len(points)]) - 1 + (mark or 0.1)
    every = -(-len(firsts) // MAX_MARKS)
    marks = (
        f"M{short(points[first, 1] - mark / 2)} {short(points[first, 0])}h{short(length)}"
        for first, length in zip(firsts[::every], lengths[::every])
    )
    return "".join(marks), every > 1
