"""Fields against true fields: which belong together, and figures of how well.

Areas of overlap come from outside, so nothing here depends on how shapes are kept. Matching is one
to one. Two rules: the best pairs first, or as in the SpaceNet challenges (specification C3): the
surest field first, and each takes the free true field that it overlaps best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np


@dataclass(frozen=True)
class Overlaps:
    """Which of n fields overlap which of m true fields: k pairs, each once."""

    field: np.ndarray
    """(k,) int64, position of the field."""
    truth: np.ndarray
    """(k,) int64, position of the true field."""
    area: np.ndarray
    """(k,) float64, area of the overlap, above 0; one unit for all areas."""
    field_area: np.ndarray
    """(n,) float64."""
    truth_area: np.ndarray
    """(m,) float64."""

    @property
    def iou(self) -> np.ndarray:
        """(k,) float64 0..1, intersection over union of each pair."""
        union = self.field_area[self.field] + self.truth_area[self.truth] - self.area
        return np.minimum(self.area / union, 1.0)

    def among(self, fields: np.ndarray, truths: np.ndarray) -> Overlaps:
        """What is left of chosen fields and true fields, renumbered.

        :param fields: (n,) bool.
        :param truths: (m,) bool.
        """
        stays = fields[self.field] & truths[self.truth]
        return Overlaps(
            (np.cumsum(fields) - 1)[self.field[stays]],
            (np.cumsum(truths) - 1)[self.truth[stays]],
            self.area[stays],
            self.field_area[fields],
            self.truth_area[truths],
        )


@dataclass(frozen=True)
class Matches:
    """Which field was found to be which true field."""

    truth: np.ndarray
    """(n,) int64, position of the true field; -1 where a field has none."""
    iou: np.ndarray
    """(n,) float64, with the true field; for a field without one the best with any, or 0."""

    @property
    def matched(self) -> np.ndarray:
        """(n,) bool."""
        return self.truth >= 0


@dataclass(frozen=True)
class ObjectScores:
    """Figures of one comparison; NaN where there is nothing to take them from."""

    true_positives: int
    """Fields that are a true field."""
    false_positives: int
    """Fields that are none."""
    false_negatives: int
    """True fields that were not found."""
    mean_iou: float
    """Of the matched pairs, 0..1."""
    oversegmentation: float
    """0..1: share of a true field that its largest overlap leaves out (Persello and Bruzzone 2010),
    mean over true fields."""
    undersegmentation: float
    """0..1: share of the field with that overlap that lies outside the true field."""

    @property
    def precision(self) -> float:
        """Share of the fields that are true; NaN without fields."""
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of the true fields that were found; NaN without true fields."""
        return _share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of both; 0 where nothing was found, NaN where there is nothing at all."""
        missed = self.false_positives + self.false_negatives
        return _share(2 * self.true_positives, 2 * self.true_positives + missed)


def match_best(overlaps: Overlaps, least: float) -> Matches:
    """The pairs of highest IoU first.

    :param least: IoU from which on a pair is a match, inclusive.
    """
    order = np.argsort(-overlaps.iou, kind="stable")
    return _taken(overlaps, order, least)


def match_by_score(overlaps: Overlaps, scores: np.ndarray, least: float) -> Matches:
    """The surest field first; each takes the free true field of highest IoU.

    :param scores: (n,) float; among equals the order of the fields counts.
    :param least: IoU from which on a pair is a match, inclusive.
    """
    turn = np.empty(len(scores), np.int64)
    turn[np.argsort(-np.asarray(scores, float), kind="stable")] = np.arange(len(scores))
    order = np.lexsort((-overlaps.iou, turn[overlaps.field]))
    return _taken(overlaps, order, least)


def _taken(overlaps: Overlaps, order: np.ndarray, least: float) -> Matches:
    """Go through pairs in an order; whoever is free on both sides is matched."""
    iou = overlaps.iou
    truth = np.full(len(overlaps.field_area), -1, np.int64)
    reached = np.zeros(len(truth))
    np.maximum.at(reached, overlaps.field, iou)
    free = np.ones(len(overlaps.truth_area), bool)
    for pair in order[iou[order] >= least]:
        field, found = overlaps.field[pair], overlaps.truth[pair]
        if truth[field] < 0 and free[found]:
            truth[field], reached[field], free[found] = found, iou[pair], False
    return Matches(truth, reached)


def object_scores(overlaps: Overlaps, matches: Matches) -> ObjectScores:
    """All figures of a comparison."""
    found = int(matches.matched.sum())
    over, under = _segmentation_errors(overlaps)
    return ObjectScores(
        found,
        len(overlaps.field_area) - found,
        len(overlaps.truth_area) - found,
        float(matches.iou[matches.matched].mean()) if found else float("nan"),
        over,
        under,
    )


def _segmentation_errors(overlaps: Overlaps) -> Tuple[float, float]:
    """Over- and undersegmentation of the true fields that any field overlaps."""
    if not overlaps.area.size:
        return float("nan"), float("nan")
    order = np.lexsort((overlaps.area, overlaps.truth))
    last = np.append(np.diff(overlaps.truth[order]) != 0, True)
    largest = order[last]
    covered = overlaps.area[largest] / overlaps.truth_area[overlaps.truth[largest]]
    inside = overlaps.area[largest] / overlaps.field_area[overlaps.field[largest]]
    return 1 - float(covered.mean()), 1 - float(inside.mean())


def average_precision(matches: Matches, scores: np.ndarray, truths: int) -> Optional[float]:
    """Area below the curve of precision over recall, 0..1, at the IoU of the matches.

    Every point of the curve counts, precision made falling first (as in PASCAL VOC from 2010 on).

    :param matches: made by :func:`match_by_score` with the same scores.
    :param scores: (n,) float.
    :param truths: how many true fields there are.
    :return: None without true fields.
    """
    if truths == 0:
        return None
    hits = matches.matched[np.argsort(-np.asarray(scores, float), kind="stable")]
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(falling[hits].sum() / truths)


def boundary_f1(near_true: float, length: float, near_found: float, true_length: float) -> float:
    """Harmonic mean of how much of each outline lies near the other; NaN without outlines.

    :param near_true: length of the fields' outlines near those of true fields.
    :param length: of all the fields' outlines.
    :param near_found: length of the true outlines near those of fields.
    :param true_length: of all true outlines.
    """
    precision, recall = _share(near_true, length), _share(near_found, true_length)
    if np.isnan(precision) or np.isnan(recall):
        return float("nan")
    return _share(2 * precision * recall, precision + recall) if precision + recall else 0.0


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
