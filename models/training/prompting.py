"""Simulated users: clicks and boxes on labelled crops, and the click that corrects an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np
from scipy import ndimage

from ..segmenters.furrow_field.field_crops import GRID, LEVELS, comfortable_levels, corner_around

POINTS = 8
"""Most points of one prompt in training; the network itself takes any number."""
_LEAST_PIXELS = 25
_RIVALS = 0.4
"""Share of the prompts that are decoded at a second level too."""
_PARTS, _FIELDS, _BLOCKS = range(3)


@dataclass(frozen=True)
class Question:
    """One simulated prompt with the truth about it."""

    points: np.ndarray
    """(POINTS, 2) float32, x and y in pixels of the crop."""
    labels: np.ndarray
    """(POINTS,) int64: 1 on the field, 0 off it, -1 unused."""
    box: np.ndarray
    """(4,) float32, all zero without a box."""
    truths: np.ndarray
    """(3, S, S) bool: part, field, block."""

    @property
    def anchor(self) -> Tuple[float, float]:
        """Centre of the decoder's crops: the first foreground point, else the box's centre."""
        if (self.labels == 1).any():
            x, y = self.points[np.argmax(self.labels == 1)]
            return float(x), float(y)
        return float(self.box[[0, 2]].mean()), float(self.box[[1, 3]].mean())


def questions(labels: np.ndarray, count: int, rng: np.random.Generator) -> List[Question]:
    """Up to `count` prompts on the fields of a crop; none where there is no field.

    :param labels: (3, S, S) int32: parts, fields, blocks.
    """
    fields = labels[_FIELDS]
    areas = np.bincount(fields.ravel())
    areas[0] = 0
    known = np.flatnonzero(areas >= _LEAST_PIXELS)
    if not known.size:
        return []
    boxes = ndimage.find_objects(fields)
    by_area = areas[known] / areas[known].sum()
    picked = [
        int(rng.choice(known, p=by_area if rng.random() < 0.4 else None)) for _ in range(count)
    ]
    return [_question(labels, k, boxes[k - 1], rng) for k in picked]


def _question(
    labels: np.ndarray, field: int, where: Tuple[slice, slice], rng: np.random.Generator
) -> Question:
    x, y = _inside(labels[_FIELDS] == field, where, rng)
    truths = np.stack([layer == layer[int(y), int(x)] for layer in labels])
    points = np.zeros((POINTS, 2), np.float32)
    signs = np.full(POINTS, -1, np.int64)
    box = np.zeros(4, np.float32)
    draw = rng.random()
    boxed = draw < 0.18
    if boxed:
        wanted = rng.choice([_PARTS, _FIELDS, _FIELDS, _FIELDS, _BLOCKS])
        truths = np.repeat(truths[wanted][None], 3, axis=0)
        box = _loose_box(truths[0], rng)
    if not boxed or rng.random() < 0.35:
        points[0], signs[0] = (x, y), 1
    if 0.18 <= draw < 0.30:
        _more_points(truths, points, signs, where, rng)
        truths = np.repeat(truths[_FIELDS][None], 3, axis=0)
    return Question(points, signs, box, truths)


def _inside(
    mask: np.ndarray, where: Tuple[slice, slice], rng: np.random.Generator
) -> Tuple[float, float]:
    """A point within a mask: deep inside, anywhere, or near its edge."""
    local = mask[where]
    depth = ndimage.distance_transform_edt(np.pad(local, 1))[1:-1, 1:-1]
    draw = rng.random()
    if draw < 0.4:
        allowed = depth >= 0.5 * depth.max()
    elif draw < 0.85:
        allowed = depth >= min(1.5, depth.max())
    else:
        allowed = (depth >= 1) & (depth < 3.5)
    rows, columns = np.nonzero(allowed)
    k = int(rng.integers(len(rows)))
    jitter = rng.random(2)
    return where[1].start + columns[k] + jitter[0], where[0].start + rows[k] + jitter[1]


def _more_points(
    truths: np.ndarray,
    points: np.ndarray,
    signs: np.ndarray,
    where: Tuple[slice, slice],
    rng: np.random.Generator,
) -> None:
    """Add one to three further points on or off the field, as an eager user gives at once."""
    field = truths[_FIELDS]
    near = tuple(slice(max(part.start - 10, 0), part.stop + 10) for part in where)
    for slot in range(1, 2 + int(rng.integers(3))):
        wanted = rng.random() < 0.5
        rows, columns = np.nonzero(field[near] == wanted)
        if len(rows):
            k = int(rng.integers(len(rows)))
            points[slot] = (near[1].start + columns[k] + 0.5, near[0].start + rows[k] + 0.5)
            signs[slot] = int(wanted)


def _loose_box(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mask's box as a user draws it: mostly tight, off by some per cent and a pixel."""
    rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    sides = np.array([box[2] - box[0], box[3] - box[1]] * 2, np.float32)
    loose = 0.0 if rng.random() < 0.3 else 1.0
    return box + loose * rng.normal(0, 0.03 * sides + 0.4).astype(np.float32)


def levels_for(question: Question, rng: np.random.Generator) -> Tuple[int, ...]:
    """Positions in LEVELS to decode at: where the field fits best, and sometimes a rival.

    The masks of a level that does not fit teach little, but its scores have to learn their place.
    """
    best = best_level(question)
    if rng.random() > _RIVALS:
        return (best,)
    steps = np.array([abs(k - best) for k in range(len(LEVELS))], float)
    weights = np.where(steps == 0, 0, np.where(steps == 1, 1.0, np.where(steps == 2, 0.35, 0.1)))
    return best, int(rng.choice(len(LEVELS), p=weights / weights.sum()))


def best_level(question: Question) -> int:
    """Position in LEVELS at which the wanted field measures about COMFORT cells."""
    field = question.truths[_FIELDS]
    rows, columns = field.any(axis=1).nonzero()[0], field.any(axis=0).nonzero()[0]
    longest = max(np.ptp(rows), np.ptp(columns)) + 1
    side = max(np.sqrt(field.sum()), 0.55 * longest)
    return int(comfortable_levels(side))


def origin(question: Question, level: int) -> np.ndarray:
    """(2,) int64: x and y of the upper left cell of the crop around a prompt."""
    return np.array(corner_around(*question.anchor, level), np.int64)


def target(truths: np.ndarray, level: int, corner: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Truth at the decoder's resolution.

    :param truths: (m, S, S) bool.
    :return: (m, 2 GRID, 2 GRID) float32 shares within the crop, and (m,) the area outside of the
        crop, in the same cells.
    """
    step = LEVELS[level] // 2
    count, side = truths.shape[0], truths.shape[1] // step
    cells = truths.reshape(count, side, step, side, step).mean(axis=(2, 4), dtype=np.float32)
    out = np.zeros((count, 2 * GRID, 2 * GRID), np.float32)
    x, y = 2 * corner
    rows, into_rows = _overlap(int(y), side)
    columns, into_columns = _overlap(int(x), side)
    out[:, into_rows, into_columns] = cells[:, rows, columns]
    return out, cells.sum(axis=(1, 2)) - out.sum(axis=(1, 2))


def _overlap(start: int, side: int) -> Tuple[slice, slice]:
    """Which cells of the picture go into which cells of the crop, along one axis."""
    low, high = max(start, 0), min(start + 2 * GRID, side)
    return slice(low, high), slice(low - start, max(high - start, low - start))


def correction(answer: np.ndarray, truth: np.ndarray) -> Optional[Tuple[float, float, int]]:
    """The click that a user would add: deepest point of the largest error.

    :param answer: (h, w) bool.
    :param truth: (h, w) bool.
    :return: x and y in cells and 1 (missing) or 0 (too much); None where nothing is wrong.
    """
    best = (0.0, 0.0, 0.0, 0)
    for sign, wrong in ((1, truth & ~answer), (0, answer & ~truth)):
        if wrong.any():
            depth = ndimage.distance_transform_cdt(np.pad(wrong, 1), "taxicab")[1:-1, 1:-1]
            row, column = np.unravel_index(depth.argmax(), depth.shape)
            best = max(best, (float(depth[row, column]), column + 0.5, row + 0.5, sign))
    return None if best[0] == 0 else (best[1], best[2], best[3])
