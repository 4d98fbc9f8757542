"""From a trained classifier of fields to the contents of its report."""

from __future__ import annotations

from typing import List, Sequence, Tuple

import numpy as np

from ..evaluation.confusion import Confusion
from ..fields.classification.training import Tested
from .html import Headline
from .table_report import Histogram, Table, TableReport

_BINS = 10


def classifier_report(
    tested: Tested,
    important: Sequence[Tuple[str, float]],
    skipped: Sequence[Tuple[str, int]],
    parameters: Sequence[Tuple[str, str]],
    versions: Sequence[Tuple[str, str]],
    created: str,
) -> TableReport:
    """The page of one training.

    :param important: features and their share in the decisions.
    :param skipped: reason and number of fields that were left out.
    """
    confusion, figures = tested.confusion, tested.figures()
    return TableReport(
        title="Field classifier",
        created=created,
        subtitle=f"{confusion.total:,} fields tested, {figures['groups']} groups by "
        f"{figures['grouped_by']}",
        headlines=_headlines(confusion),
        histograms=(
            Histogram(
                "How sure it is",
                _certainty(tested),
                "Fields by the probability of the class that was found.",
            ),
        ),
        tables=(
            _classes(confusion),
            _matrix(confusion),
            _folds(tested),
            Table(
                "Features that decide most",
                ("Feature", "Share"),
                tuple((name, f"{share:.1%}") for name, share in important),
            ),
            Table(
                "Left out",
                ("Reason", "Number"),
                tuple((reason, f"{count:,}") for reason, count in skipped),
            ),
        ),
        details=(("Parameters", tuple(parameters)), ("Versions", tuple(versions))),
    )


def _headlines(confusion: Confusion) -> Tuple[Headline, ...]:
    return (
        Headline("Overall accuracy", _text(confusion.accuracy), "share that is right"),
        Headline("F1", _text(confusion.macro_f1), "mean of the classes"),
        Headline("Kappa", _text(confusion.kappa), "agreement beyond chance"),
    )


def _classes(confusion: Confusion) -> Table:
    rows = tuple(
        (str(label), f"{int(count):,}", _text(recall), _text(precision), _text(f1))
        for label, count, recall, precision, f1 in zip(
            confusion.classes, confusion.matrix.sum(axis=1), confusion.recall,
            confusion.precision, confusion.f1,
        )
    )  # fmt: skip
    note = "Recall is the producer's accuracy, precision the user's."
    return Table("Classes", ("Class", "Fields", "Recall", "Precision", "F1"), rows, note)


def _matrix(confusion: Confusion) -> Table:
    names = tuple(str(label) for label in confusion.classes)
    rows = tuple(
        (name, *(f"{count:,}" for count in counts))
        for name, counts in zip(names, confusion.matrix.tolist())
    )
    return Table("Confusion matrix", ("True class", *names), rows, "Columns: what was found.")


def _folds(tested: Tested) -> Table:
    rows = tuple(
        (str(number), f"{fold.total:,}", _text(fold.accuracy), _text(fold.macro_f1))
        for number, fold in enumerate(tested.by_fold(), start=1)
    )
    note = "Each fold holds whole groups and was classified by what was trained without it."
    return Table("Folds", ("Fold", "Fields", "Accuracy", "F1"), rows, note)


def _certainty(tested: Tested) -> Tuple[Tuple[str, int], ...]:
    sure = tested.chances[tested.folds >= 0].max(axis=1)
    counts = np.bincount(np.minimum((sure * _BINS).astype(int), _BINS - 1), minlength=_BINS)
    bins: List[Tuple[str, int]] = [
        (f"{k / _BINS:.1f} – {(k + 1) / _BINS:.1f}", int(count)) for k, count in enumerate(counts)
    ]
    first = int(np.flatnonzero(counts)[0])
    return tuple(bins[first:])


def _text(share: float) -> str:
    return "–" if np.isnan(share) else f"{share:.3f}"
