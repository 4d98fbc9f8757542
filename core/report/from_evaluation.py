"""From a comparison of fields with true fields to the contents of its report."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np

from ..evaluation.comparison import Comparison, GroupFigures
from .html import Headline
from .table_report import Histogram, Table, TableReport

_BINS = 10


def evaluation_report(
    compared: Comparison,
    skipped: Sequence[Tuple[str, str, int]],
    parameters: Sequence[Tuple[str, str]],
    versions: Sequence[Tuple[str, str]],
    created: str,
) -> TableReport:
    """The page of one comparison.

    :param skipped: layer, reason and number of polygons that were left out.
    """
    overall = compared.overall()
    scores = overall.scores
    rows = [overall, *compared.by_group()]
    return TableReport(
        title="Fields against true fields",
        created=created,
        subtitle=f"{scores.true_positives + scores.false_positives:,} fields, "
        f"{scores.true_positives + scores.false_negatives:,} true fields",
        headlines=_headlines(overall),
        histograms=(
            Histogram(
                "How well true fields are found",
                _bins(compared.best_iou()),
                "True fields by their highest IoU with any field.",
            ),
        ),
        tables=(
            Table("Figures", _COLUMNS, tuple(_row(row) for row in rows)),
            Table(
                "Left out",
                ("Layer", "Reason", "Number"),
                tuple((layer, reason, f"{count:,}") for layer, reason, count in skipped),
            ),
        ),
        details=(("Parameters", tuple(parameters)), ("Versions", tuple(versions))),
    )


_COLUMNS = (
    "Group",
    "Found",
    "Wrong",
    "Missed",
    "Precision",
    "Recall",
    "F1",
    "Mean IoU",
    "Oversegmentation",
    "Undersegmentation",
    "Boundary F1",
    "AP",
)


def _headlines(overall: GroupFigures) -> Tuple[Headline, ...]:
    scores = overall.scores
    return (
        Headline("F1", _text(scores.f1), "of the matched fields"),
        Headline("Precision", _text(scores.precision), f"{scores.false_positives:,} wrong"),
        Headline("Recall", _text(scores.recall), f"{scores.false_negatives:,} missed"),
        Headline("Mean IoU", _text(scores.mean_iou), f"{scores.true_positives:,} found"),
        Headline("Boundary F1", _text(overall.boundary_f1), "of the outlines"),
    )


def _row(figures: GroupFigures) -> Tuple[str, ...]:
    scores = figures.scores
    counts = (scores.true_positives, scores.false_positives, scores.false_negatives)
    shares = (
        scores.precision,
        scores.recall,
        scores.f1,
        scores.mean_iou,
        scores.oversegmentation,
        scores.undersegmentation,
        figures.boundary_f1,
        figures.average_precision,
    )
    return (figures.name, *(f"{count:,}" for count in counts), *(_text(share) for share in shares))


def _text(share: Optional[float]) -> str:
    return "–" if share is None or np.isnan(share) else f"{share:.3f}"


def _bins(values: np.ndarray) -> Tuple[Tuple[str, int], ...]:
    places = np.minimum((values * _BINS).astype(int), _BINS - 1)
    counts = np.bincount(places, minlength=_BINS)
    return tuple(
        (f"{k / _BINS:.1f} – {(k + 1) / _BINS:.1f}", int(count)) for k, count in enumerate(counts)
    )
