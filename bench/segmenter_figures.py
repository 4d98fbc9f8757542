"""Figures on the answers of a segmentation engine: pure functions and what they return."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np
from segmenter_asking import Answer, Answers

SCORE_EDGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SIZE_EDGES = (0.0, 10.0, 20.0, 40.0, 80.0, float("inf"))
"""Side in pixels of a square of the field's area."""


@dataclass(frozen=True)
class Figure:
    """A mean over n values."""

    mean: float
    n: int


@dataclass(frozen=True)
class GroupFigures:
    """Mean IoU for one group of fields."""

    name: str
    chosen: Figure
    """One click at the inner point, the mask with the highest score."""
    best: Figure
    """The same, the best of the masks offered."""
    finest: Figure
    balanced: Figure
    clicks: Figure
    """Three clicks, chosen mask."""
    box: Figure
    random: Figure
    """One click anywhere in the field, chosen mask."""
    random_loss: Figure
    """What that costs against the inner point."""
    pairs: Optional[Figure]
    """Best of the masks with the best of another engine's."""


@dataclass(frozen=True)
class Bin:
    """Answers whose score, or field size, lies in a range."""

    low: float
    high: float
    value: float
    """Mean of the score or size."""
    overlap: float
    """Mean IoU."""
    n: int


@dataclass(frozen=True)
class Reliability:
    """How true the scores of one group are, after one click."""

    name: str
    chosen: Tuple[Bin, ...]
    every: Tuple[Bin, ...]
    """Over all masks offered."""


def mean_of(values: Iterable[float]) -> Figure:
    """Mean of any number of values; NaN of none."""
    array = np.array(list(values), dtype=np.float64)
    return Figure(float(array.mean()) if array.size else float("nan"), int(array.size))


def binned(
    values: Sequence[float], overlaps: Sequence[float], edges: Sequence[float]
) -> Tuple[Bin, ...]:
    """Mean value and mean IoU in each range low <= value < high; the last one holds its end."""
    value, overlap = np.asarray(values, np.float64), np.asarray(overlaps, np.float64)
    bins = []
    for low, high in zip(edges, edges[1:]):
        here = (value >= low) & ((value < high) | ((value == high) & (high == edges[-1])))
        means = (mean_of(value[here]).mean, mean_of(overlap[here]).mean)
        bins.append(Bin(low, high, *means, int(here.sum())))
    return tuple(bins)


def group_figures(name: str, answers: Answers) -> GroupFigures:
    """The figures of one group, from the answers for its fields only."""
    inner, anywhere = answers.click, answers.random
    middle, elsewhere = (mean_of(a.chosen for a in kind) for kind in (inner, anywhere))
    pairs = [a.pair for a in inner if a.pair is not None]
    return GroupFigures(
        name,
        chosen=middle,
        best=mean_of(a.best for a in inner),
        finest=mean_of(a.by_rule["finest"] for a in inner),
        balanced=mean_of(a.by_rule["balanced"] for a in inner),
        clicks=mean_of(a.chosen for a in answers.clicks),
        box=mean_of(a.chosen for a in answers.box),
        random=elsewhere,
        random_loss=Figure(middle.mean - elsewhere.mean, middle.n),
        pairs=mean_of(pairs) if pairs else None,
    )


def reliability(name: str, answers: Sequence[Answer]) -> Reliability:
    """Score against IoU, for the chosen masks and for all."""
    chosen = [(a.scores[a.picked], a.chosen) for a in answers]
    every = [pair for a in answers for pair in zip(a.scores, a.overlaps)]
    return Reliability(
        name,
        *(binned([s for s, _ in pairs], [o for _, o in pairs], SCORE_EDGES)
          for pairs in (chosen, every)),
    )  # fmt: skip


def by_size(answers: Sequence[Answer]) -> Tuple[Bin, ...]:
    """Chosen IoU by the side of a square of the field's area."""
    sides = [np.sqrt(a.field.area) for a in answers]
    return binned(sides, [a.chosen for a in answers], SIZE_EDGES)


def worst(answers: Sequence[Answer], least: int, count: int) -> Tuple[Answer, ...]:
    """The answers with the lowest chosen IoU among fields of at least `least` pixels."""
    large = [a for a in answers if a.field.area >= least]
    return tuple(sorted(large, key=lambda a: a.chosen)[:count])
