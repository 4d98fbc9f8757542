"""How even a mask is within, and how different from what lies around it, in learned features.

All masks of a prompt are described alike, wherever they come from: by the encoder's features at the
level at which a field of their size is about eleven cells wide.
"""

from __future__ import annotations

from typing import Dict, Mapping, Sequence, Tuple

import numpy as np

from .field_crops import (
    FINE,
    GRID,
    LEVELS,
    Decode,
    comfortable_levels,
    corner_around,
    pasted,
)

_RING = 2
"""Width of the surroundings in cells."""


def context_evidence(
    maps: Mapping[str, np.ndarray],
    positive: np.ndarray,
    decodes: Sequence[Decode],
    areas: np.ndarray,
    anchor: Tuple[float, float],
) -> np.ndarray:
    """Figures of masks on the crops of several levels.

    :param maps: the encoder's features of the whole image, (channels, rows, columns) each.
    :param positive: (levels, masks, FINE, FINE) bool.
    :param areas: (levels x masks,) pixels.
    :param anchor: x and y of the prompt in pixels.
    :return: (levels x masks, 2 channels) float32: difference between the mean feature within and
        around, and deviation within; zeros where either is empty.
    """
    chosen = comfortable_levels(np.sqrt(areas))
    per_level = positive.shape[1]
    channels = maps[f"context{LEVELS[0]}"].shape[0]
    figures = np.zeros((len(areas), 2 * channels), np.float32)
    cache: Dict[int, Tuple[np.ndarray, np.ndarray]] = {}
    for k in range(len(areas)):
        stride = LEVELS[chosen[k]]
        corner = corner_around(*anchor, chosen[k])
        if stride not in cache:
            cache[stride] = _crop(maps[f"context{stride}"], corner)
        mask = _sampled(positive[k // per_level, k % per_level], decodes[k // per_level], corner,
                        stride)  # fmt: skip
        figures[k] = _figures(mask, *cache[stride])
    return figures


def _crop(context: np.ndarray, corner: Tuple[int, int]) -> Tuple[np.ndarray, np.ndarray]:
    """(cells, channels) features around the prompt, and (GRID, GRID) which of the cells exist."""
    cells = pasted(context, corner[0], corner[1], GRID).astype(np.float32)
    known = pasted(np.ones((1, *context.shape[1:]), bool), corner[0], corner[1], GRID)[0]
    return cells.reshape(len(cells), -1).T, known


def _sampled(mask: np.ndarray, decode: Decode, corner: Tuple[int, int], stride: int) -> np.ndarray:
    """(GRID, GRID) bool: a mask at the centres of the cells of another level."""
    out = np.zeros((GRID, GRID), bool)
    axes = []
    for start, offset in zip(corner, decode.offset):
        places = (start + np.arange(GRID) + 0.5) * stride
        cells = np.floor((places - offset) / decode.step).astype(int)
        axes.append((np.flatnonzero((cells >= 0) & (cells < FINE)), cells))
    (columns, x), (rows, y) = axes
    out[np.ix_(rows, columns)] = mask[np.ix_(y[rows], x[columns])]
    return out


def _figures(mask: np.ndarray, cells: np.ndarray, known: np.ndarray) -> np.ndarray:
    within = mask & known
    around = _grown(within, _RING) & known & ~within
    if not within.any() or not around.any():
        return np.zeros(2 * cells.shape[1], np.float32)
    inner, outer = cells[within.ravel()], cells[around.ravel()]
    return np.concatenate([np.abs(inner.mean(0) - outer.mean(0)), inner.std(0)])


def _grown(mask: np.ndarray, cells: int) -> np.ndarray:
    """A mask and all within a square of some cells around it."""
    rows = np.pad(mask, ((cells, cells), (0, 0)))
    tall = np.any([rows[k : k + len(mask)] for k in range(2 * cells + 1)], axis=0)
    columns = np.pad(tall, ((0, 0), (cells, cells)))
    return np.any([columns[:, k : k + mask.shape[1]] for k in range(2 * cells + 1)], axis=0)
