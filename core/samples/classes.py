"""Classes as whole numbers and back: the user's labels may be of any type."""

from __future__ import annotations

from typing import Hashable, List, Sequence, Tuple

import numpy as np


def encode(labels: Sequence[Hashable]) -> Tuple[List[Hashable], np.ndarray]:
    """The classes, sorted by their text, and (n,) int64 the position of each label's class."""
    classes = sorted(set(labels), key=str)
    position = {label: k for k, label in enumerate(classes)}
    return classes, np.array([position[label] for label in labels], dtype=np.int64)


def decode(codes: np.ndarray, classes: Sequence[Hashable]) -> np.ndarray:
    """(n,) object: the classes behind positions."""
    table = np.empty(len(classes), dtype=object)
    table[:] = classes
    return table[codes]
