"""A comparison of two layers of fields as numbers, and its figures: of all, and group by group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Hashable, List, Optional, Tuple

import numpy as np

from .objects import (
    Matches,
    ObjectScores,
    Overlaps,
    average_precision,
    boundary_f1,
    match_best,
    match_by_score,
    object_scores,
)

Groups = Tuple[Optional[Hashable], ...]
ALL = "all"
"""Name of the group that holds everything."""


@dataclass(frozen=True)
class Outlines:
    """How much of each polygon's outline lies near those of the other layer."""

    near: np.ndarray
    """(n,) float64, length in one unit for all."""
    length: np.ndarray
    """(n,) float64."""


@dataclass(frozen=True)
class GroupFigures:
    """All figures of a group of fields, or of all of them."""

    name: str
    scores: ObjectScores
    boundary_f1: float
    """0..1; NaN without outlines."""
    average_precision: Optional[float]
    """0..1; None without scores or true fields."""


@dataclass(frozen=True)
class Comparison:
    """n fields, m true fields, what they share, and who was found to be whom."""

    overlaps: Overlaps
    matches: Matches
    outlines: Outlines
    """Of the fields."""
    true_outlines: Outlines
    scores: Optional[np.ndarray] = None
    """(n,) float, by which fields are ranked; None where there are none."""
    groups: Optional[Groups] = None
    """(n,) of the fields; None where they have none of their own."""
    true_groups: Optional[Groups] = None
    """(m,) of the true fields; None without groups."""

    def overall(self) -> GroupFigures:
        """Of all."""
        fields, truths = self.overlaps.field_area, self.overlaps.truth_area
        return self._figures(ALL, np.ones(len(fields), bool), np.ones(len(truths), bool))

    def by_group(self) -> List[GroupFigures]:
        """Of each group, by name; a field without a group counts where it was found or lies."""
        if self.true_groups is None:
            return []
        truths = _names(self.true_groups)
        fields = self._whereabouts(truths) if self.groups is None else _names(self.groups)
        names = sorted((set(truths) | set(fields)) - {None})
        return [self._figures(name, fields == name, truths == name) for name in names]

    def best_iou(self) -> np.ndarray:
        """(m,) float, the highest IoU of each true field with any field, or 0."""
        best = np.zeros(len(self.overlaps.truth_area))
        np.maximum.at(best, self.overlaps.truth, self.overlaps.iou)
        return best

    def missed(self) -> np.ndarray:
        """(k,) int, positions of the true fields that were not found."""
        return np.setdiff1d(np.arange(len(self.overlaps.truth_area)), self.matches.truth)

    def _figures(self, name: str, fields: np.ndarray, truths: np.ndarray) -> GroupFigures:
        """Of chosen fields and true fields, (n,) and (m,) bool."""
        place = np.append(np.where(truths, np.cumsum(truths) - 1, -1), -1)  # -1 stays -1
        matches = Matches(place[self.matches.truth[fields]], self.matches.iou[fields])
        precision = None
        if self.scores is not None:
            precision = average_precision(matches, self.scores[fields], int(truths.sum()))
        return GroupFigures(
            name,
            object_scores(self.overlaps.among(fields, truths), matches),
            boundary_f1(
                self.outlines.near[fields].sum(),
                self.outlines.length[fields].sum(),
                self.true_outlines.near[truths].sum(),
                self.true_outlines.length[truths].sum(),
            ),
            precision,
        )

    def _whereabouts(self, truths: np.ndarray) -> np.ndarray:
        """(n,) group of the true field that each field is, else of the one it overlaps most."""
        groups = np.full(len(self.overlaps.field_area), None, dtype=object)
        order = np.argsort(self.overlaps.area, kind="stable")  # the largest overlap comes last
        groups[self.overlaps.field[order]] = truths[self.overlaps.truth[order]]
        matched = self.matches.matched
        groups[matched] = truths[self.matches.truth[matched]]
        return groups


def matched(
    overlaps: Overlaps, least: float, scores: Optional[np.ndarray], in_turn: bool
) -> Matches:
    """Who is whom.

    :param least: IoU from which on a pair is a match.
    :param scores: (n,) float; None: there are none.
    :param in_turn: fields choose one after another, by score, else in their order; False: so only
        where there are scores, because an average precision needs it.
    """
    if scores is None and not in_turn:
        return match_best(overlaps, least)
    ranked = np.zeros(len(overlaps.field_area)) if scores is None else scores
    return match_by_score(overlaps, ranked, least)


def _names(groups: Groups) -> np.ndarray:
    """(n,) object: texts, None where there is no group."""
    names = np.full(len(groups), None, dtype=object)
    names[:] = [None if group is None else str(group) for group in groups]
    return names
