"""Between chances, 0..1, and the logarithms of their odds."""

from __future__ import annotations

import numpy as np

_FAR = 30.0
"""Beyond this a chance is 0 or 1 in float32."""


def chance(log_odds: np.ndarray) -> np.ndarray:
    """Logarithms of odds, of any shape, to chances."""
    return 1 / (1 + np.exp(-np.clip(log_odds, -_FAR, _FAR)))


def log_odds(chances: np.ndarray, margin: float) -> np.ndarray:
    """Chances, of any shape, to logarithms of odds; 0 and 1 count as `margin` away from there."""
    inside = np.clip(chances, margin, 1 - margin)
    return np.log(inside / (1 - inside))
