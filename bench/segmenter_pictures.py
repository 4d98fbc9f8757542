"""Sheets of answers: truth white, masks from fine to coarse red, yellow and blue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Dict

import numpy as np
from segmenter_asking import Answer, Encoded, click
from segmenter_figures import worst

from furrow.core.fields.segmenter import Segmenter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELLS = 12
WORST_LEAST_PIXELS = 60
COLOURS = ("red", "yellow", "cyan")


def draw_sheets(
    engine: Segmenter, scenes: Sequence[Encoded], answers: Sequence[Answer], stem: Path
) -> None:
    """STEM.png with answers taken evenly from a set, STEM_worst.png with the worst of them.

    :param answers: to one click at the inner point.
    """
    embeddings = {id(encoded.scene): encoded for encoded in scenes}
    places = np.linspace(0, len(answers) - 1, min(CELLS, len(answers))).round().astype(int)
    bad = worst(answers, WORST_LEAST_PIXELS, CELLS)
    for suffix, chosen in (("", [answers[k] for k in places]), ("_worst", bad)):
        _draw(engine, embeddings, chosen, stem.with_name(f"{stem.name}{suffix}.png"))


def _draw(
    engine: Segmenter, embeddings: Dict[int, Encoded], answers: Sequence[Answer], path: Path
) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 4, figsize=(16, 12))
    for axis in axes.ravel():
        axis.axis("off")
    for axis, answer in zip(axes.ravel(), answers):
        embedding = embeddings[id(answer.scene)].embedding
        # Masks are asked for again: keeping all of them would take gigabytes.
        masks = engine.predict(embedding, [click(answer.field)]).masks[0]
        _draw_answer(axis, answer, masks)
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    pyplot.close(figure)


def _draw_answer(axis: Axes, answer: Answer, masks: np.ndarray) -> None:
    """The chosen mask has the thick line and the star."""
    field = answer.field
    axis.imshow(answer.scene.image)
    _outline(axis, field.mask, "white", 3.5)
    texts = []
    for k, (mask, colour) in enumerate(zip(masks, COLOURS)):
        chosen = k == answer.picked
        _outline(axis, mask, colour, 2 if chosen else 1)
        texts.append(f"{answer.overlaps[k]:.2f}({answer.scores[k]:.2f}){'*' if chosen else ''}")
    axis.plot(field.x - 0.5, field.y - 0.5, "m+", markersize=10)
    _zoom(axis, field.mask | masks[answer.picked])
    axis.set_title(f"{answer.scene.name}  {field.area} px  " + " ".join(texts), fontsize=8)


def _outline(axis: Axes, mask: np.ndarray, colour: str, width: float) -> None:
    # Padded: a mask that ends at the edge of the picture would have an open outline.
    padded = np.pad(mask, 1)
    x, y = np.arange(-1, mask.shape[1] + 1), np.arange(-1, mask.shape[0] + 1)
    if mask.any():
        axis.contour(x, y, padded, [0.5], colors=colour, linewidths=width)


def _zoom(axis: Axes, mask: np.ndarray) -> None:
    """Show the surroundings of a mask."""
    rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
    margin = 10 + max(np.ptp(rows), np.ptp(columns)) // 3
    axis.set_xlim(max(columns[0] - margin, 0), min(columns[-1] + margin, mask.shape[1] - 1))
    axis.set_ylim(min(rows[-1] + margin, mask.shape[0] - 1), max(rows[0] - margin, 0))
