"""Which of the masks that a model has for one prompt are offered: pure functions on arrays.

Masks of different crops and resolutions are compared at sample points around the prompt: in each
direction their distance grows by a constant factor, so that small masks are told apart as well as
large ones. A sample weighs as many square pixels as the piece of the plane that it stands for.
"""

from __future__ import annotations

from functools import lru_cache
from typing import List, Optional, Tuple

import numpy as np

RINGS, ANGLES = 20, 32
SAME = 0.85
"""A region with at least this IoU with a mask is not worth offering beside it."""
_INNERMOST = 1.0
"""Radius of the first ring in pixels."""
_GOLDEN = (5**0.5 - 1) / 2
_POINT_FACTOR = 0.5
"""On the score, when a mask leaves out a foreground point or holds a background point."""
_BOX_SHARE = 0.5
"""Share of the score that depends on the fit to the box."""
_UNSURE, _POSSIBLE = 0.8, 0.08
"""Expected IoU: of a piece at most, of the whole field at least."""
_STRONG_OUTLINE, _GAPS = 0.65, 0.1
"""Of the whole field's outline: chance of an edge along its weakest stretch at least, share where
there is none at most."""
_STRONGER, _WEAKEST_STRONGER = 0.1, 0.15
"""How much stronger than a piece's it is at least, on average and along its weakest stretch."""
_WHOLE, _LEAST_WHOLE, _HALVED = 8.0, 2.0, 0.125
"""How many times larger than a piece the whole field is at least: the first where the piece may
just be unsure, half as much for each step of the third that less is expected of it, never less than
the second."""
_SEEN = 0.27
"""IoU of the whole field with one of the network's own masks at least."""


@lru_cache(maxsize=32)
def sample_points(reach: float) -> Tuple[np.ndarray, np.ndarray]:
    """Sample points around (0, 0) and the area that each stands for.

    :param reach: how far the outermost ring reaches, in pixels.
    :return: (s, 2) float64 x and y in pixels, (s,) float64 square pixels; not to be written to.
    """
    span = np.log(max(reach, 2 * _INNERMOST) / _INNERMOST)
    around = np.arange(ANGLES)
    # Each direction has rings of its own, so that discs of nearly the same size are told apart.
    along = (np.arange(RINGS)[:, None] + around * _GOLDEN % 1) / RINGS
    radii = _INNERMOST * np.exp(along * span)
    angles = np.broadcast_to(around * (2 * np.pi / ANGLES), radii.shape)
    offsets = radii[..., None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    points = offsets.reshape(-1, 2)
    weights = radii.ravel() ** 2 * (span / RINGS * 2 * np.pi / ANGLES)
    points.setflags(write=False)
    weights.setflags(write=False)
    return points, weights


def similarity(chances: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """IoU of every two masks from their samples; 0 where a mask has none.

    :param chances: (m, s) float 0..1, the chance of each sample to be in each mask.
    :param weights: (s,) float, the area that each sample stands for.
    :return: (m, m) float32, symmetric.
    """
    sums = chances @ weights
    # min(a, b) = (a + b - |a - b|) / 2 and max(a, b) = (a + b + |a - b|) / 2.
    apart = np.abs(chances[:, None] - chances[None]) @ weights
    both = sums[:, None] + sums[None]
    return ((both - apart) / np.maximum(both + apart, 1e-9)).astype(np.float32)


def obeyed(scores: np.ndarray, missed: np.ndarray, box_fit: np.ndarray) -> np.ndarray:
    """Scores after what the user has said.

    :param scores: (m,) float 0..1, the expected IoU.
    :param missed: (m,) bool: leaves out a foreground point or holds a background point.
    :param box_fit: (m,) float 0..1, IoU of the mask's bounding box with the prompt's; 1 without.
    :return: (m,) float 0..1.
    """
    factor = np.where(missed, _POINT_FACTOR, 1.0)
    return scores * factor * (1 - _BOX_SHARE + _BOX_SHARE * box_fit)


def pick(
    scores: np.ndarray, alike: np.ndarray, areas: np.ndarray, region: np.ndarray, count: int
) -> List[int]:
    """The best mask, then those that most others are like and no picked one is, then a region.

    Where a click says no more than where, several sizes are possible, and masks of the same size
    stand for each other. The last is the largest region that differs from those before: of a large
    field with strong patterns all that the network has may be pieces.

    :param scores: (m,) float 0..1.
    :param alike: (m, m) IoU of every two masks.
    :param areas: (m,) pixels; empty masks stand for nothing.
    :param region: (m,) bool: a region of the classical engine.
    :return: positions, the best first.
    """
    order = _covering(scores, alike, areas, count)
    picked = order[: count - 1]
    other = region & (areas > 0) & (alike[:, picked] < SAME).all(axis=1)
    other[picked] = False
    regions = [k for k in np.argsort(-areas, kind="stable").tolist() if other[k]]
    return picked + (regions + order[count - 1 :])[:1]


def _covering(scores: np.ndarray, alike: np.ndarray, areas: np.ndarray, count: int) -> List[int]:
    """Positions, the best first, then always the one that adds most to what is covered.

    A mask is covered as far as one of those before is like it. Squared, because an IoU of .5 is
    no half of a right answer.
    """
    shares = np.sqrt(np.clip(scores, 0, None)) * (areas > 0)
    near = np.maximum(alike.astype(np.float64), np.eye(len(scores))) ** 2
    order = [int(np.argmax(scores))]
    covered = near[order[0]].copy()
    while len(order) < min(count, len(scores)):
        gains = np.maximum(near - covered, 0) @ shares
        gains[order] = -1
        order.append(int(np.argmax(gains)))
        covered = np.maximum(covered, near[order[-1]])
    return order


def outlined(edges: np.ndarray) -> np.ndarray:
    """(m,) bool: an edge runs strongly all along a mask's outline, as `outlined_whole` asks.

    :param edges: (m, MEASURES) as `edge_evidence` gives them.
    """
    weakest, missing = edges.T[1:3]
    return (weakest >= _STRONG_OUTLINE) & (missing <= _GAPS)


def seen_by_network(alike: np.ndarray, region: np.ndarray) -> np.ndarray:
    """(m,) bool: a mask of the network is somewhat like this one.

    A region that no mask of any level hints at is rather a block of fields, or all but one field.

    :param alike: (m, m) IoU of every two masks.
    :param region: (m,) bool: a region of the classical engine.
    """
    return alike[:, ~region].max(axis=1, initial=0) >= _SEEN


def outlined_whole(
    scores: np.ndarray, areas: np.ndarray, region: np.ndarray, edges: np.ndarray
) -> Optional[int]:
    """The region that the best mask is only a piece of.

    The network holds on to pieces of large fields with wet and dry patches. Such a piece ends where
    edges are fainter than those that run all along the outline of the whole field. This has to be
    plain, for where nobody knows better it is wrong more often than right.

    :param scores: (m,) float 0..1, the expected IoU.
    :param areas: (m,) pixels.
    :param region: (m,) bool: a region of the classical engine that may be it.
    :param edges: (m, MEASURES) as `edge_evidence` gives them.
    :return: position of the region with the strongest outline; None where there is none.
    """
    best = int(np.argmax(scores))
    along, weakest = edges.T[:2]
    if scores[best] > _UNSURE:
        return None
    times = max(_WHOLE * 2 ** ((scores[best] - _UNSURE) / _HALVED), _LEAST_WHOLE)
    whole = region & (areas > times * areas[best]) & (scores > _POSSIBLE)
    whole &= outlined(edges)
    whole &= along > along[best] + _STRONGER
    whole &= weakest > weakest[best] + _WEAKEST_STRONGER
    if not whole.any():
        return None
    return int(np.argmax(np.where(whole, along + weakest, -1)))


def frame_overlap(frames: np.ndarray, box: np.ndarray) -> np.ndarray:
    """IoU of rectangles with a box.

    :param frames: (m, 4) x minimum, y minimum, x maximum, y maximum.
    :param box: (4,) in the same order.
    :return: (m,) float 0..1.
    """
    low = np.maximum(frames[:, :2], box[:2])
    high = np.minimum(frames[:, 2:], box[2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    sizes = np.clip(frames[:, 2:] - frames[:, :2], 0, None).prod(axis=1)
    own = np.clip(box[2:] - box[:2], 0, None).prod()
    return shared / np.maximum(sizes + own - shared, 1e-9)
