"""From the fields of a scene to the contents of their report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence, Tuple

import numpy as np

from ..fields.delineation.scene import SceneDelineation
from ..imagery.scene_images import SceneImage, read_overview
from .html import Headline
from .labels import Labels
from .pictures import png_uri
from .table_report import Figure, Histogram, Table, TableReport

_SIDE = 900
"""Pixels of the longer side of a picture at most."""
_OUTLINE = np.array([255, 214, 0], np.uint8)
_LEFT = np.array([225, 30, 60], np.uint8)
_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Hectares between the bins of sizes."""
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_STAGES = {
    "read": "Reading tiles",
    "enlarge": "Super-resolution",
    "encode": "Encoding",
    "decode": "Answering prompts",
    "other": "Choosing masks, refining, measuring",
    "joining": "Joining tiles",
    "polygons": "Drawing polygons",
}


@dataclass(frozen=True)
class DelineationPage:
    """What the page is made of."""

    image: SceneImage
    """Shown below the outlines."""
    found: SceneDelineation
    hectares: np.ndarray
    """(n,) float64, area of each polygon."""
    metres: np.ndarray
    """(n,) float64, outline of each polygon."""
    edge_ratio: np.ndarray
    """(n,) float64."""
    entropy: np.ndarray
    """(n,) float64, bits."""
    seconds: Mapping[str, float]
    """Stage and time."""
    parameters: Sequence[Tuple[str, str]]
    versions: Sequence[Tuple[str, str]]
    created: str
    """ISO 8601."""


def delineation_report(page: DelineationPage) -> TableReport:
    """The page of one scene.

    :raises RasterError: the image cannot be read any more.
    """
    labels = Labels()
    return TableReport(
        title="Fields of an image",
        created=page.created,
        subtitle=page.image.name,
        headlines=_headlines(page, labels),
        pictures=_pictures(page),
        histograms=(
            Histogram("Sizes", _sizes(page.hectares), "Fields by their area in hectares."),
        ),
        tables=(_rounds(page.found, labels), _shapes(page), _times(page.seconds, labels)),
        details=(
            ("Parameters", tuple(page.parameters)),
            ("Versions", tuple(page.versions)),
        ),
    )


def _headlines(page: DelineationPage, labels: Labels) -> Tuple[Headline, ...]:
    found, hectares = page.found, page.hectares
    median = f"median {np.median(hectares):.2f} ha" if len(hectares) else ""
    kept = f"{found.reused:,} of an earlier run" if found.reused else ""
    total = sum(page.seconds.values())
    return (
        Headline("Fields", f"{len(hectares):,}", median),
        Headline("Covered", labels.percent(found.covered, found.valid), "of the pixels looked at"),
        Headline("Area", f"{hectares.sum():,.0f} ha", ""),
        Headline("Tiles", f"{found.tiles:,}", kept),
        Headline("Time", _duration(total), "of all workers together"),
    )


def _pictures(page: DelineationPage) -> Tuple[Figure, ...]:
    """The image with outlines, and with what is left."""
    overview, step = read_overview(page.image, _SIDE)
    shape = overview.shape[:2]
    labels = np.asarray(page.found.labels[::step, ::step])[: shape[0], : shape[1]]
    left = np.zeros(page.found.labels.shape, bool)
    for window, _, residual in page.found.residuals():
        left[window.slices] = residual
    left = left[::step, ::step][: shape[0], : shape[1]]
    enlarged = max(1, _SIDE // max(shape))
    drawn = _enlarged(overview, enlarged)
    outlines, rest = drawn.copy(), drawn // 2 + 90
    outlines[_borders(_enlarged(labels, enlarged))] = _OUTLINE
    rest[_enlarged(left, enlarged)] = _LEFT
    return (
        Figure("Outlines", png_uri(outlines), "The image with the outlines of its fields."),
        Figure("Where nothing was found", png_uri(rest), "Looked at, and no field found: red."),
    )


def _enlarged(values: np.ndarray, times: int) -> np.ndarray:
    return values.repeat(times, axis=0).repeat(times, axis=1)


def _borders(labels: np.ndarray) -> np.ndarray:
    """(h, w) bool: the last pixels before another label, to the right and downwards."""
    borders = np.zeros(labels.shape, bool)
    borders[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    borders[:-1] |= labels[:-1] != labels[1:]
    return borders


def _rounds(found: SceneDelineation, labels: Labels) -> Table:
    rows, covered = [], 0
    for each in found.rounds:
        covered += each.pixels
        rows.append(
            (
                str(each.round),
                f"{each.prompts:,}",
                f"{each.fields:,}",
                labels.percent(each.pixels, found.valid),
                labels.percent(covered, found.valid),
                labels.percent(found.valid - covered, found.valid),
            )
        )
    return Table(
        "Coverage by round",
        ("Round", "Prompts", "Fields", "Added", "Covered", "Left"),
        tuple(rows),
        "Shares of the pixels that were looked at, after tiles were joined. Two rounds are the "
        "default: the first asks in every region, and on known fields a third added next to "
        "nothing.",
    )


def _sizes(hectares: np.ndarray) -> Tuple[Tuple[str, int], ...]:
    counts = np.bincount(np.searchsorted(_BOUNDS, hectares, "right"), minlength=len(_BOUNDS) + 1)
    names = [f"below {_BOUNDS[0]:g}"]
    names += [f"{low:g} – {high:g}" for low, high in zip(_BOUNDS, _BOUNDS[1:])]
    names.append(f"{_BOUNDS[-1]:g} and more")
    return tuple((name, int(count)) for name, count in zip(names, counts))


def _shapes(page: DelineationPage) -> Table:
    area = page.hectares * 1e4
    measures = (
        ("Area (ha)", page.hectares, 2),
        ("Outline (m)", page.metres, 0),
        ("Compactness (circle: 1)", 4 * np.pi * area / np.maximum(page.metres, 1e-9) ** 2, 2),
        ("Edge ratio", page.edge_ratio, 2),
        ("Entropy (bits)", page.entropy, 2),
    )
    rows = tuple(
        (name, *(f"{value:,.{digits}f}" for value in np.quantile(values, _QUANTILES)))
        for name, values, digits in measures
        if len(values)
    )
    heads = tuple(f"{100 * share:g} %" for share in _QUANTILES)
    return Table("Shapes", ("Measure", *heads), rows, "Quantiles over all fields.")


def _times(seconds: Mapping[str, float], labels: Labels) -> Table:
    total = sum(seconds.values())
    rows = tuple(
        (_STAGES.get(name, name), _duration(value), labels.percent(value, total))
        for name, value in seconds.items()
        if value > 0
    )
    return Table("Where the time went", ("Stage", "Time", "Share"), rows)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
