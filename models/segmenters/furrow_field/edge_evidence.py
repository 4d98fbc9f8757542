"""How much of an edge there is where a mask ends, and how little within it.

A mask that leaks into a neighbour has a stretch of outline without an edge; one that stops short at
a wet patch ends at a weak edge; one that holds two fields has a strong edge within.
"""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np

from .field_crops import FINE, LEVELS, Decode

MEASURES = 5
"""Figures of a mask."""
_WEAK, _STRONG = 20, 97
"""Percentiles: the weakest stretch of the outline, the strongest edge within."""
_FAINT = 0.3
"""An edge is missing below this chance."""


def edge_evidence(
    chances: np.ndarray, positive: np.ndarray, decodes: Sequence[Decode], shape: Tuple[int, int]
) -> np.ndarray:
    """Figures of masks on the crops of several levels.

    :param chances: (H / 2, W / 2) float32 0..1, the chance that a field ends there.
    :param positive: (levels, masks, FINE, FINE) bool.
    :param shape: height and width of the image in pixels.
    :return: (levels x masks, MEASURES) float32: chance of an edge along the outline (mean, weakest
        stretch, share where it is missing) and within (mean, strongest); 0 where there is nothing.
    """
    rows = []
    for masks, decode in zip(positive, decodes):
        edges, known = _on_crop(chances, decode, shape)
        rows += [_figures(mask & known, edges, known) for mask in masks]
    return np.array(rows, np.float32).reshape(-1, MEASURES)


def _on_crop(
    chances: np.ndarray, decode: Decode, shape: Tuple[int, int]
) -> Tuple[np.ndarray, np.ndarray]:
    """(FINE, FINE) the strongest edge in each fine cell, and whether the cell is in the image."""
    pooled = _pooled(chances, max(int(decode.step) // LEVELS[0], 1))
    side = max(decode.step, LEVELS[0])
    steps = (np.arange(FINE) + 0.5) * decode.step
    rows = ((decode.offset[1] + steps) // side).astype(np.intp)
    columns = ((decode.offset[0] + steps) // side).astype(np.intp)
    known = np.zeros((FINE, FINE), bool)
    known[decode.known(shape)] = True
    limit = pooled.shape[0] - 1, pooled.shape[1] - 1
    edges = pooled[np.clip(rows, 0, limit[0])[:, None], np.clip(columns, 0, limit[1])]
    return edges, known


def _pooled(chances: np.ndarray, step: int) -> np.ndarray:
    """The strongest of each step x step cells; the last ones may be fewer."""
    if step == 1:
        return chances
    height, width = (-(-side // step) * step for side in chances.shape)
    grown = np.zeros((height, width), chances.dtype)
    grown[: chances.shape[0], : chances.shape[1]] = chances
    return grown.reshape(height // step, step, width // step, step).max(axis=(1, 3))


def _figures(mask: np.ndarray, edges: np.ndarray, known: np.ndarray) -> Tuple[float, ...]:
    """The measures of one mask; where the crop or the image ends there is no outline."""
    core = _eroded(mask, known)
    outline = edges[mask & ~core]
    inner = edges[_eroded(core, known)]
    along = (0.0, 0.0, 0.0)
    if outline.size:
        faint = float((outline < _FAINT).mean())
        along = (float(outline.mean()), _percentile(outline, _WEAK), faint)
    within = (float(inner.mean()), _percentile(inner, _STRONG)) if inner.size else (0.0, 0.0)
    return (*along, *within)


def _percentile(values: np.ndarray, share: int) -> float:
    """Nearest rank; much faster than numpy's interpolation on short arrays."""
    rank = min(int(values.size * share / 100), values.size - 1)
    return float(np.partition(values, rank)[rank])


def _eroded(mask: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Cells whose four neighbours are in the mask or unknown."""
    grown = np.pad(mask | ~known, 1, constant_values=True)
    whole = grown[:-2, 1:-1] & grown[2:, 1:-1] & grown[1:-1, :-2] & grown[1:-1, 2:]
    return mask & whole
