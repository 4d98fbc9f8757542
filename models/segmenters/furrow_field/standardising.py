"""Colours as the field model is shown them: beside those around them."""

from __future__ import annotations

from typing import Optional

import numpy as np

from ....core.imagery.grid import Window
from ....core.imagery.local_colours import local_colours

_LEAST = 4.0
"""Is added to each deviation: what is nearly even does not become noise."""
_MOST = 4.0
"""Deviations from the mean at which colours end."""


def standardised(image: np.ndarray, colours: Optional[np.ndarray] = None) -> np.ndarray:
    """A picture whose colours have mean 0 and deviation 1 around every pixel, nearly.

    :param image: (H, W, 3) of 0..255, never changed.
    :param colours: (H, W, 6) float32, means and deviations of the three colours; None: the
        picture's own, where nothing larger is known.
    :return: (H, W, 3) float32, -4..4.
    """
    if colours is None:
        colours = own_colours(image)
    means, deviations = colours[..., :3], colours[..., 3:]
    beside = (image.astype(np.float32) - means) / (deviations + _LEAST)
    return np.clip(beside, -_MOST, _MOST)


def own_colours(image: np.ndarray) -> np.ndarray:
    """What is around each pixel of a picture of which nothing larger is known.

    :param image: (H, W, 3) of 0..255.
    :return: (H, W, 6) float32.
    """
    shape = image.shape[:2]
    return local_colours(image, np.ones(shape, bool), shape).within(Window(0, 0, *shape))
