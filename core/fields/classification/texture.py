"""Texture within a field: how much brightness changes from pixel to pixel, edges included.

Only pixels of the field itself take part, so nothing of what lies around it leaks in.
"""

from __future__ import annotations

from typing import Dict

import numpy as np
from scipy import ndimage

TEXTURE_NAMES = ("local_std", "wide_std", "local_share", "gradient_mean", "edge_share")
EDGE = 0.06
"""Change of brightness from one pixel to the next, of its whole range, that counts as an edge."""
_NEAR, _WIDE = 3, 7
"""Pixels along a side of the squares that local standard deviations are taken of."""
_LEAST_SHARE = 0.5
"""Of such a square that has to lie within the field."""


def texture_features(brightness: np.ndarray, own: np.ndarray) -> Dict[str, float]:
    """Features of the texture of a field.

    :param brightness: (h, w) float 0..1; anything where `own` is False.
    :param own: (h, w) bool.
    :returns: a value for each of TEXTURE_NAMES; NaN where the field is too narrow. local_std and
        wide_std are the mean standard deviation in squares of 3 and 7 pixels, local_share the first
        over that of the whole field, gradient_mean the mean change a pixel, edge_share the share of
        pixels with a change above EDGE.
    """
    padded = np.pad(np.where(own, brightness, 0).astype(np.float64), 1)
    inside = np.pad(own, 1)
    local, wide = (_local_std(padded, inside, side) for side in (_NEAR, _WIDE))
    change = _change(padded, inside)
    spread = float(brightness[own].std()) if own.any() else float("nan")
    return {
        "local_std": local,
        "wide_std": wide,
        "local_share": local / spread if spread > 0 else float("nan"),
        "gradient_mean": float(change.mean()) if change.size else float("nan"),
        "edge_share": float((change > EDGE).mean()) if change.size else float("nan"),
    }


def _local_std(values: np.ndarray, inside: np.ndarray, side: int) -> float:
    """Mean over the field of the standard deviation of its pixels in a square around each."""

    def mean(array: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(array, side, mode="constant")

    share = mean(inside.astype(np.float64))
    seen = inside & (share >= _LEAST_SHARE)
    if not seen.any():
        return float("nan")
    first, second = mean(values)[seen] / share[seen], mean(values**2)[seen] / share[seen]
    return float(np.sqrt(np.maximum(second - first**2, 0)).mean())


def _change(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(n,) length of the gradient at the field's pixels whose four neighbours belong to it."""
    core = ndimage.binary_erosion(inside)
    down, right = np.gradient(values)
    return np.hypot(down, right)[core]
