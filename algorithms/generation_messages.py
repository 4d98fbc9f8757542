"""What `generatesamples` tells of a run: log lines, counts, skipped and suspicious references."""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Tuple

from qgis.core import QgsProcessingFeedback

from ..core.imagery.series import Series
from ..core.report.from_generation import stages
from ..core.samples.distances import Metric
from ..core.samples.generation import Generated, GenerationOptions
from ..qgis_io.sources import ReferenceLayer
from ..qgis_io.texts import tr
from .base import report_skips


def describe_series(series: Series, feedback: QgsProcessingFeedback) -> None:
    """Say what the series holds, and what was left out of it."""
    first, last = series.dates[0].isoformat(), series.dates[-1].isoformat()
    feedback.pushInfo(
        tr("{} images from {} to {}, {} x {} pixels.").format(
            len(series.images), first, last, series.grid.width, series.grid.height
        )
    )
    warped = sum(not image.on_grid for image in series.images)
    if warped:
        feedback.pushInfo(tr("{} image(s) on another grid are warped when read.").format(warped))
    if not series.has_quality:
        feedback.pushInfo(tr("No quality band: every pixel with data counts as valid."))
    report_skips(feedback, tr("Image"), [(s.item, s.reason) for s in series.skipped])


def warn_of_limit(options: GenerationOptions, feedback: QgsProcessingFeedback) -> None:
    """Warn where the default limit meets a metric that it is not meant for."""
    cleaning = options.cleaning
    if cleaning.metric in (Metric.SUM, Metric.FASTDTW) and cleaning.max_distance == 0.05:
        feedback.pushWarning(
            tr(
                "MAX_DISTANCE 0.05 is meant for 'mean'; for '{}' the reference system uses "
                "0.428571."
            ).format(cleaning.metric.value)
        )


def skips_of(
    series: Series, result: Generated, layer: ReferenceLayer
) -> List[Tuple[Any, str]]:
    """Images and references that were left out, with their reasons."""
    images = [(s.item, s.reason) for s in (*series.skipped, *result.broken)]
    return images + [(s.id, s.reason.value) for s in (*layer.skipped, *result.skipped)]


def suspicious_of(result: Generated) -> List[Dict[str, Any]]:
    """Suspicious references: id, class, nearest class and margin."""
    verdict = result.verdict
    return [
        {
            "id": str(reference.id),
            "class": str(reference.label),
            "nearest_class": str(verdict.nearest_class[k]),
            "margin": round(float(verdict.margin[k]), 4),
        }
        for k, reference in enumerate(result.placed.references)
        if verdict.suspicious[k]
    ]


def describe_result(
    result: Generated, layer: ReferenceLayer, feedback: QgsProcessingFeedback
) -> None:
    """Say what was skipped, what is suspicious, and how many pixels each step left."""
    report_skips(feedback, tr("Image"), [(s.item, s.reason) for s in result.broken])
    skipped = [(s.id, s.reason.value) for s in (*layer.skipped, *result.skipped)]
    report_skips(feedback, tr("Reference"), skipped)
    for found in suspicious_of(result):
        feedback.pushWarning(
            tr(
                "Reference {id} is suspicious: labelled {class}, its profile is like "
                "{nearest_class}."
            ).format(**found)
        )
    for step, count in stages(result):
        feedback.pushInfo(f"{step}: {count}")
    kept = Counter(result.labels[result.candidates.owner[result.candidates.kept]])
    for label in sorted(kept, key=str):
        feedback.pushInfo(f"  {label}: {kept[label]}")


def counts_of(result: Generated, layer: ReferenceLayer) -> Dict[str, int]:
    """The numbers that the algorithm gives out."""
    candidates, kept = len(result.candidates.owner), int(result.candidates.kept.sum())
    return {
        "CANDIDATES": candidates,
        "KEPT": kept,
        "REJECTED_COUNT": candidates - kept,
        "SKIPPED": len(layer.skipped) + len(result.skipped),
        "SUSPICIOUS_COUNT": int(result.verdict.suspicious.sum()),
    }
