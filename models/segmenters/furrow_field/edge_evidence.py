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
        whole = masks & known
        cores = _eroded(whole, known)
        deep = _eroded(cores, known)
        rows += [_figures(edges[a], edges[b]) for a, b in zip(whole & ~cores, deep)]
    return np.array(rows, np.float32).reshape(-1, MEASURES)


def _on_crop(
    chances: np.ndarray, decode: Decode, shape: Tuple[int, int]
) -> Tuple[np.ndarray, np.ndarray]:
    """(FINE, FINE) the strongest edge in each fine cell, and whether the cell is in the image."""
    step = max(int(decode.step) // LEVELS[0], 1)
    side = max(decode.step, LEVELS[0])
    steps = (np.arange(FINE) + 0.5) * decode.step
    places, parts = [], []
    for offset, cells in zip(decode.offset[::-1], chances.shape):
        every = np.clip(((offset + steps) // side).astype(np.intp), 0, -(-cells // step) - 1)
        places.append(every - every[0])
        parts.append(slice(every[0] * step, (every[-1] + 1) * step))
    pooled = _pooled(chances[parts[0], parts[1]], step)
    known = np.zeros((FINE, FINE), bool)
    known[decode.known(shape)] = True
    return pooled[places[0][:, None], places[1]], known


def _pooled(chances: np.ndarray, step: int) -> np.ndarray:
    """The strongest of each step x step cells; the last ones may be fewer."""
    if step == 1:
        return chances
    height, width = (-(-side // step) * step for side in chances.shape)
    grown = np.zeros((height, width), chances.dtype)
    grown[: chances.shape[0], : chances.shape[1]] = chances
    return grown.reshape(height // step, step, width // step, step).max(axis=(1, 3))


def _figures(outline: np.ndarray, inner: np.ndarray) -> Tuple[float, ...]:
    """The measures of one mask from the edges along its outline and deep within; where the crop
    or the image ends there is no outline."""
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


def _eroded(masks: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(m, h, w) cells whose four neighbours are in the mask or unknown."""
    grown, core = masks | ~known, masks.copy()
    core[:, 1:] &= grown[:, :-1]
    core[:, :-1] &= grown[:, 1:]
    core[:, :, 1:] &= grown[:, :, :-1]
    core[:, :, :-1] &= grown[:, :, 1:]
    return core
