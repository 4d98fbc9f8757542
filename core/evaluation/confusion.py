"""Classes against true classes: the confusion matrix and the figures that are taken from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Hashable, Sequence, Tuple

import numpy as np


@dataclass(frozen=True)
class Confusion:
    """How often each class was taken for each; figures are NaN where there is nothing to count."""

    classes: Tuple[Hashable, ...]
    matrix: np.ndarray
    """(c, c) int64: rows are true classes, columns what was found."""

    @property
    def total(self) -> int:
        """How many were judged."""
        return int(self.matrix.sum())

    @property
    def accuracy(self) -> float:
        """Share that is right (overall accuracy)."""
        return float(np.trace(self.matrix) / self.total) if self.total else float("nan")

    @property
    def kappa(self) -> float:
        """Cohen's kappa: agreement beyond what chance gives; 1 is perfect, 0 is chance."""
        if not self.total:
            return float("nan")
        chance = float(self.matrix.sum(axis=0) @ self.matrix.sum(axis=1)) / self.total**2
        return (self.accuracy - chance) / (1 - chance) if chance < 1 else float("nan")

    @property
    def precision(self) -> np.ndarray:
        """(c,) share of what was found as a class that is it (user's accuracy)."""
        return _shares(np.diag(self.matrix), self.matrix.sum(axis=0))

    @property
    def recall(self) -> np.ndarray:
        """(c,) share of a class that was found (producer's accuracy)."""
        return _shares(np.diag(self.matrix), self.matrix.sum(axis=1))

    @property
    def f1(self) -> np.ndarray:
        """(c,) harmonic mean of both; NaN for a class that neither occurs nor was found."""
        return _shares(2 * np.diag(self.matrix), self.matrix.sum(axis=0) + self.matrix.sum(axis=1))

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes, each counting the same."""
        known = self.f1[np.isfinite(self.f1)]
        return float(known.mean()) if known.size else float("nan")


def confusion_of(
    truth: np.ndarray, found: np.ndarray, classes: Sequence[Hashable]
) -> Confusion:
    """Count.

    :param truth: (n,) int, positions in `classes`.
    :param found: (n,) int.
    """
    count = len(classes)
    places = np.asarray(truth, np.int64) * count + np.asarray(found, np.int64)
    matrix = np.bincount(places, minlength=count * count).reshape(count, count)
    return Confusion(tuple(classes), matrix)


def _shares(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    shares = np.full(len(whole), np.nan)
    return np.divide(part, whole, out=shares, where=whole > 0)
