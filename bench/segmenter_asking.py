"""Asking an engine: clicks, boxes and corrections, and how its answers compare with the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

import numpy as np
from scipy import ndimage
from segmenter_sets import Field, LabelledSet, Scene

from furrow.core.fields.masks import MaskRule, choose, erode, iou
from furrow.core.fields.segmenter import Embedding, Prompts, Segmenter

BATCH = 16
"""Prompts at a time: 16 answers on 512 x 512 pixels take 13 MB."""
CLICKS = 3
LUMINANCE_LIMIT = 0.2
"""Spread of the luminance (0..1) that `balanced` accepts here, where there is no NDVI."""
RANDOM_SEED = 20211
RANDOM_CLICKS = 60
"""At least so many a set: on the six fields of Ontario six clicks show nothing but chance."""


@dataclass(frozen=True)
class Encoded:
    """A scene and what an engine remembers of it."""

    scene: Scene
    embedding: Embedding


@dataclass(frozen=True)
class Answer:
    """How the masks for one prompt compare with the field."""

    scene: Scene
    field: Field
    scores: np.ndarray
    """(m,)"""
    overlaps: np.ndarray
    """(m,) IoU of each mask with the field."""
    by_rule: Dict[str, float]
    """Rule -> IoU of the mask that it picks."""
    picked: int
    """Position of the chosen mask: the one with the highest score."""
    pair: Optional[float]
    """Best IoU of any mask with any rival mask; None without rivals."""

    @property
    def chosen(self) -> float:
        """IoU of the chosen mask."""
        return float(self.overlaps[self.picked])

    @property
    def best(self) -> float:
        """IoU of the best mask offered."""
        return float(self.overlaps.max())


@dataclass(frozen=True)
class Answers:
    """Answers for the same fields, by the kind of prompt."""

    click: Tuple[Answer, ...]
    """At the inner point."""
    clicks: Tuple[Answer, ...]
    """Three of them."""
    box: Tuple[Answer, ...]
    random: Tuple[Answer, ...]
    """One click anywhere in the field; the same number for each, several in sets of few fields."""

    def of(self, group: str) -> Answers:
        """Those for the fields of a group."""
        kinds = (self.click, self.clicks, self.box, self.random)
        return Answers(*(tuple(a for a in kind if group in a.field.groups) for kind in kinds))


# ---------------------------------------------------------------------------------- prompts


def click(field: Field) -> Prompts:
    """One click at the inner point."""
    return Prompts.click(field.x, field.y)


def box(field: Field) -> Prompts:
    """A tight box, no points."""
    rows, columns = field.mask.any(axis=1).nonzero()[0], field.mask.any(axis=0).nonzero()[0]
    corners = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float64)
    return Prompts(np.zeros((0, 2)), np.zeros(0, dtype=bool), corners)


def random_click(field: Field, rng: np.random.Generator) -> Prompts:
    """One click on any pixel of the field, off its rim where it has more than a rim."""
    inside = np.argwhere(erode(field.mask, 1))
    pixels = inside if len(inside) else np.argwhere(field.mask)
    row, column = pixels[rng.integers(len(pixels))]
    return Prompts.click(column + 0.5, row + 0.5)


def correction(prompts: Prompts, truth: np.ndarray, mask: np.ndarray) -> Prompts:
    """The prompt with one more click, at the deepest point of the largest error.

    On the field where a piece is missing, off it where there is too much; unchanged without error.

    :param truth: (H, W) bool.
    :param mask: (H, W) bool, the answer to `prompts`.
    """
    errors = [piece for wrong in (truth & ~mask, mask & ~truth) for piece in _largest(wrong)]
    if not errors:
        return prompts
    worst = max(errors, key=np.sum)
    depth = ndimage.distance_transform_edt(np.pad(worst, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    points = np.concatenate([prompts.points, [[column + 0.5, row + 0.5]]])
    return Prompts(points, np.append(prompts.foreground, truth[row, column]), prompts.box)


def _largest(mask: np.ndarray) -> List[np.ndarray]:
    """The largest connected piece of a mask, none of an empty one."""
    labels, count = ndimage.label(mask)
    if not count:
        return []
    return [labels == 1 + np.bincount(labels.ravel())[1:].argmax()]


# ---------------------------------------------------------------------------------- answers


def encode(engine: Segmenter, labelled: LabelledSet) -> List[Encoded]:
    """Every image once."""
    return [Encoded(scene, engine.encode(scene.image)) for scene in labelled.scenes]


def predictions(
    engine: Segmenter, embedding: Embedding, prompts: Sequence[Prompts]
) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
    """(m, H, W) masks and (m,) scores for each prompt."""
    for start in range(0, len(prompts), BATCH):
        answer = engine.predict(embedding, prompts[start : start + BATCH])
        yield from zip(answer.masks, answer.scores)


def picked(masks: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(H, W) bool: the mask with the highest score."""
    return masks[choose(masks, scores, MaskRule.BEST)]


def ask(engine: Segmenter, encoded: Encoded, prompts: Sequence[Prompts]) -> List[Answer]:
    """Answers to one prompt for each field of a scene."""
    found = predictions(engine, encoded.embedding, prompts)
    luminance = encoded.scene.image.mean(axis=2) / 255
    return [
        _compared(encoded.scene, field, masks, scores, luminance)
        for field, (masks, scores) in zip(encoded.scene.fields, found)
    ]


def corrected(engine: Segmenter, encoded: Encoded, clicks: int = CLICKS) -> List[Prompts]:
    """For each field the clicks of a user who corrects the chosen mask, from the inner point on."""
    prompts = [click(field) for field in encoded.scene.fields]
    for _ in range(clicks - 1):
        found = predictions(engine, encoded.embedding, prompts)
        prompts = [
            correction(asked, field.mask, picked(*answer))
            for asked, field, answer in zip(list(prompts), encoded.scene.fields, found)
        ]
    return prompts


def interview(engine: Segmenter, scenes: Sequence[Encoded]) -> Answers:
    """All kinds of prompts for all fields of a set."""
    rng = np.random.default_rng(RANDOM_SEED)
    times = -(-RANDOM_CLICKS // sum(len(encoded.scene.fields) for encoded in scenes))
    kinds: Tuple[List[Answer], ...] = ([], [], [], [])
    for encoded in scenes:
        fields = encoded.scene.fields
        asked = (
            [[click(field) for field in fields]],
            [corrected(engine, encoded)],
            [[box(field) for field in fields]],
            [[random_click(field, rng) for field in fields] for _ in range(times)],
        )
        for kind, rounds in zip(kinds, asked):
            for prompts in rounds:
                kind.extend(ask(engine, encoded, prompts))
    return Answers(*map(tuple, kinds))


def _compared(
    scene: Scene, field: Field, masks: np.ndarray, scores: np.ndarray, luminance: np.ndarray
) -> Answer:
    overlaps = np.array([iou(mask, field.mask) for mask in masks])
    picks = {rule: choose(masks, scores, rule, luminance, LUMINANCE_LIMIT) for rule in MaskRule}
    by_rule = {rule.value: float(overlaps[pick]) for rule, pick in picks.items()}
    rivals = [] if scene.rivals is None else scene.rivals
    pair = max((iou(mask, rival) for mask in masks for rival in rivals), default=None)
    return Answer(scene, field, scores, overlaps, by_rule, picks[MaskRule.BEST], pair)
