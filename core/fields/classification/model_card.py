"""The model card of a classifier: what it knows, how good it is, and what it cannot do."""

from __future__ import annotations

from typing import List, Sequence, Tuple

from ...evaluation.confusion import Confusion
from .model_folder import STATISTICS, ClassifierSettings
from .training import Tested

_MOST_COLUMNS = 12


def model_card(
    settings: ClassifierSettings,
    tested: Tested,
    important: Sequence[Tuple[str, float]] = (),
) -> str:
    """The card as Markdown.

    :param important: the features that decide most, with their share.
    """
    labelled, trained = tested.labelled, settings.trained
    statistics = settings.kind == STATISTICS
    how = "a forest on statistics of each field" if statistics else "a network on crops of fields"
    lines = [
        "# Field classifier",
        "",
        f"Tells classes of fields: {', '.join(str(label) for label in settings.classes)}. It is "
        f"{how}, made with Furrow {trained.get('furrow', '')} on {trained.get('created', '')}.",
        "",
        f"* Bands: {', '.join(settings.bands.names)}",
        f"* Trained on: {len(labelled.labels):,} fields ("
        + ", ".join(f"{name}: {count:,}" for name, count in labelled.counts.items())
        + f") in {trained.get('pictures', 1)} picture(s)",
        *_measured(tested),
        "",
        *_confusion_table(tested.confusion),
        "",
    ]
    if important:
        named = ", ".join(f"{name} ({share:.0%})" for name, share in important)
        lines += [f"Features that decide most: {named}.", ""]
    lines += [
        "It knows nothing but the classes and the kind of picture that it was trained with: other "
        "sensors, seasons, regions or sizes of pixel need fields of their own to test it on. "
        "Probabilities are shares of votes, best compared with each other.",
        "",
    ]
    return "\n".join(lines)


def _measured(tested: Tested) -> List[str]:
    confusion, figures = tested.confusion, tested.figures()
    return [
        f"* Tested on: {confusion.total:,} fields, each by a classifier that had seen nothing of "
        f"its group ({figures['groups']} groups by {figures['grouped_by']}, {figures['folds']} "
        "fold(s))",
        f"* Overall accuracy {confusion.accuracy:.3f}, mean F1 {confusion.macro_f1:.3f}, kappa "
        f"{confusion.kappa:.3f}",
    ]


def _confusion_table(confusion: Confusion) -> List[str]:
    """Who was taken for whom; of many classes only how well each was found."""
    names = [str(label).replace("|", "/") for label in confusion.classes]
    if len(names) > _MOST_COLUMNS:
        sizes = confusion.matrix.sum(axis=1)
        rows = [f"| {n} | {size} | {f1:.3f} |" for n, size, f1 in zip(names, sizes, confusion.f1)]
        return ["| class | fields | F1 |", "|---|---|---|", *rows]
    rows = [
        f"| {name} | " + " | ".join(str(count) for count in counts) + f" | {f1:.3f} |"
        for name, counts, f1 in zip(names, confusion.matrix.tolist(), confusion.f1)
    ]
    return [
        "| true \\ found | " + " | ".join(names) + " | F1 |",
        "|---" * (len(names) + 2) + "|",
        *rows,
    ]
