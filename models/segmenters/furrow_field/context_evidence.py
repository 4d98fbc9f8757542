"""How even a mask is within, and how different from what lies around it, in learned features.

All masks of a prompt are described alike, wherever they come from: by the encoder's features at the
level at which a field of their size is about eleven cells wide.
"""

from __future__ import annotations

from typing import Mapping, Sequence, Tuple

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
    for level in np.unique(chosen):
        stride, corner = LEVELS[level], corner_around(*anchor, level)
        alike = chosen == level
        masks = [
            _sampled(each[wanted], decode, corner, stride)
            for each, decode, wanted in zip(positive, decodes, alike.reshape(-1, per_level))
        ]
        crop = _crop(maps[f"context{stride}"], corner)
        figures[alike] = _figures(np.concatenate(masks), *crop)
    return figures


def _crop(context: np.ndarray, corner: Tuple[int, int]) -> Tuple[np.ndarray, np.ndarray]:
    """(cells, channels) features around the prompt, and (GRID, GRID) which of the cells exist."""
    cells = pasted(context, corner[0], corner[1], GRID).astype(np.float32)
    known = pasted(np.ones((1, *context.shape[1:]), bool), corner[0], corner[1], GRID)[0]
    return cells.reshape(len(cells), -1).T, known


def _sampled(
    masks: np.ndarray, decode: Decode, corner: Tuple[int, int], stride: int
) -> np.ndarray:
    """(m, GRID, GRID) bool: masks at the centres of the cells of another level."""
    out = np.zeros((len(masks), GRID, GRID), bool)
    axes = []
    for start, offset in zip(corner, decode.offset):
        places = (start + np.arange(GRID) + 0.5) * stride
        cells = np.floor((places - offset) / decode.step).astype(int)
        axes.append((np.flatnonzero((cells >= 0) & (cells < FINE)), cells))
    (columns, x), (rows, y) = axes
    if rows.size and columns.size:
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        out[:, box[0], box[1]] = masks[:, y[rows]][:, :, x[columns]]
    return out


def _figures(masks: np.ndarray, cells: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(m, 2 channels) figures of (m, GRID, GRID) masks."""
    within = masks & known
    around = _grown(within, _RING) & known & ~within
    # Means are taken off first: float32 would lose the deviation of large, even features.
    centred = cells - cells.mean(axis=0)
    inner, outer = _means(within, centred), _means(around, centred)
    deviation = np.sqrt(np.maximum(_means(within, centred**2) - inner**2, 0))
    figures = np.concatenate([np.abs(inner - outer), deviation], axis=1)
    figures[~(within.any(axis=(1, 2)) & around.any(axis=(1, 2)))] = 0
    return figures


def _means(masks: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """(m, channels) mean of the cells of each mask; 0 for an empty one."""
    weights = masks.reshape(len(masks), -1).astype(np.float32)
    return weights @ cells / np.maximum(weights.sum(axis=1, keepdims=True), 1)


def _grown(masks: np.ndarray, cells: int) -> np.ndarray:
    """(m, h, w) masks and all within a square of some cells around each."""
    grown = masks.copy()
    for shift in range(1, cells + 1):
        grown[:, shift:] |= masks[:, :-shift]
        grown[:, :-shift] |= masks[:, shift:]
    tall = grown.copy()
    for shift in range(1, cells + 1):
        grown[:, :, shift:] |= tall[:, :, :-shift]
        grown[:, :, :-shift] |= tall[:, :, shift:]
    return grown
