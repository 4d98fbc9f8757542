"""Training a classifier of fields: tested fold by fold on groups that it has not seen, then whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from ...errors import ParameterError
from ...evaluation.confusion import Confusion, confusion_of
from ...monitor import SILENT, Monitor
from .forest import Forest, ForestOptions, grow_forest
from .model_folder import Label
from .splits import folds_of


@dataclass(frozen=True)
class LabelledFields:
    """n fields that a classifier is trained on."""

    classes: Tuple[Label, ...]
    """Sorted."""
    labels: np.ndarray
    """(n,) int64, positions in `classes`."""
    groups: np.ndarray
    """(n,) int64 from 0 on: picture or block of land; a group is never parted."""
    grouped_by: str
    """What the groups are, for people."""

    @property
    def counts(self) -> Dict[str, int]:
        """How many fields each class has."""
        numbers = np.bincount(self.labels, minlength=len(self.classes))
        return {str(label): int(number) for label, number in zip(self.classes, numbers)}


@dataclass(frozen=True)
class Tested:
    """How good a classifier is on groups that it was not trained on."""

    folds: np.ndarray
    """(n,) int64: which fold each field was tested in; -1 where it was not."""
    found: np.ndarray
    """(n,) int64: the class that was found; -1 where it was not tested."""
    chances: np.ndarray
    """(n, c) float64; NaN where it was not tested."""
    labelled: LabelledFields

    @property
    def confusion(self) -> Confusion:
        """Of all that were tested."""
        return self._confusion(self.folds >= 0)

    def by_fold(self) -> List[Confusion]:
        """Of each fold."""
        return [self._confusion(self.folds == fold) for fold in range(int(self.folds.max()) + 1)]

    def figures(self) -> Dict[str, Any]:
        """For the model's own folder."""
        confusion = self.confusion
        return {
            "accuracy": confusion.accuracy,
            "f1": confusion.macro_f1,
            "kappa": confusion.kappa,
            "tested": confusion.total,
            "folds": int(self.folds.max()) + 1,
            "groups": int(self.labelled.groups.max()) + 1,
            "grouped_by": self.labelled.grouped_by,
            "confusion": confusion.matrix,
        }

    def _confusion(self, chosen: np.ndarray) -> Confusion:
        truth = self.labelled.labels[chosen]
        return confusion_of(truth, self.found[chosen], self.labelled.classes)


def labelled_fields(
    labels: Sequence[Label], groups: np.ndarray, grouped_by: str, name: str = "CLASS_FIELD"
) -> LabelledFields:
    """Fields with their classes and groups.

    :param name: of the parameter that names the classes.
    :raises ParameterError: fewer than two classes, or all in one group.
    """
    classes = sorted(set(labels), key=lambda label: (isinstance(label, str), label))
    if len(classes) < 2:
        said = f"all usable fields have the class {classes[0]!r}" if classes else "no usable field"
        raise ParameterError(f"{name}: {said}; give fields of at least two classes.")
    if len(np.unique(groups)) < 2:
        raise ParameterError(
            f"FIELDS: all usable fields lie in one {grouped_by}, so nothing is left to test with; "
            "give a smaller BLOCK_M, a GROUP_FIELD or more images."
        )
    places = {label: place for place, label in enumerate(classes)}
    numbers = np.array([places[label] for label in labels], np.int64)
    return LabelledFields(tuple(classes), numbers, groups, grouped_by)


def untested_classes(labelled: LabelledFields) -> List[Label]:
    """Classes that all lie in one group: they are never known when they are tested."""
    pairs = np.unique(np.stack([labelled.labels, labelled.groups]), axis=1)
    counts = np.bincount(pairs[0], minlength=len(labelled.classes))
    return [label for label, count in zip(labelled.classes, counts) if count < 2]


def cross_validated(
    features: np.ndarray,
    labelled: LabelledFields,
    options: ForestOptions,
    folds: int,
    monitor: Monitor = SILENT,
) -> Tested:
    """Each group is classified by a forest that was grown without its fold.

    :param features: (n, f) float.
    :raises Cancelled:
    """
    classes = len(labelled.classes)
    fold_of = folds_of(labelled.groups, labelled.labels, classes, folds, options.seed)
    chances = np.full((len(features), classes), np.nan)
    count = int(fold_of.max()) + 1
    for fold in range(count):
        held = fold_of == fold
        part = monitor.part(fold / count, (fold + 1) / count)
        forest = grow_forest(features[~held], labelled.labels[~held], classes, options, part)
        chances[held] = forest.probabilities(features[held])
    return Tested(fold_of, chances.argmax(axis=1), chances, labelled)


def whole_forest(
    features: np.ndarray,
    labelled: LabelledFields,
    options: ForestOptions,
    monitor: Monitor = SILENT,
) -> Forest:
    """The forest that is kept: grown with all fields."""
    return grow_forest(features, labelled.labels, len(labelled.classes), options, monitor)


def most_important(forest: Forest, names: Sequence[str], count: int) -> List[Tuple[str, float]]:
    """The features that decide most, with their share."""
    order = np.argsort(-forest.importance, kind="stable")[:count]
    return [(names[place], float(forest.importance[place])) for place in order]
