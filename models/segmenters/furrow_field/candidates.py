"""All masks that the field model has for one prompt, before any is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from .field_crops import Decode


@dataclass(frozen=True)
class Candidates:
    """All m masks that the decoder has for one prompt; three for each level that it was
    decoded at."""

    decodes: Tuple[Decode, ...]
    """(m,) level and crop of each."""
    logits: np.ndarray
    """(m, FINE, FINE) float32 on the crop."""
    scores: np.ndarray
    """(m,) float32 0..1: the IoU with the wanted field that the network expects."""
    traits: np.ndarray
    """(m, traits) float32: what the network made the scores from."""
    stride: np.ndarray
    """(m,) float64, pixels of a cell: tells the levels apart, also those of a closer look."""
    area: np.ndarray
    """(m,) float64, pixels."""
    similarity: np.ndarray
    """(m, m) float32, IoU of every two masks, from samples around the prompt."""
    missed: np.ndarray
    """(m,) bool: leaves out a foreground point or holds a background point."""
    box_fit: np.ndarray
    """(m,) float64 0..1, IoU of the mask's bounding box with the prompt's box; 1 without one."""
    edges: np.ndarray
    """(m, MEASURES) float32: how much of an edge there is along the outline and within."""
    context: np.ndarray
    """(m, figures) float32: how even it is and how different from its surroundings."""

    @property
    def region(self) -> np.ndarray:
        """(m,) bool: regions of the classical engine; the decoder has said nothing about them."""
        return ~self.traits.any(axis=1)
