"""What one scene looks like: every habit of its land, its crops and its camera, drawn at random.

The ranges are deliberately wider than any one sensor or region. Lengths are image pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LandStyle:
    """How the land is divided.

    side: typical length of a field's side. spread: deviation of log area between fields.
    slender: length over width. tilt: deviation of the boundaries' direction in radians; turn: how
    much estates are turned against each other. bend, bend_length: amplitude and wave length of
    bent boundaries. regular: cuts halve exactly. gap_share: share of cuts that leave a margin;
    gap_width: its typical width; gap_mix: shares of grass, track, hedge, ditch, road, belt.
    pivots, rounded, merged, parted, alike: shares of fields that are circles, have rounded
    corners, are joined to a neighbour, have visible parts, belong to a block of look-alikes.
    part_mix: shares of stripes, halves and zones. rough: share of plots that are no field.
    """

    side: float
    spread: float
    slender: float
    tilt: float
    turn: float
    bend: float
    bend_length: float
    regular: bool
    gap_share: float
    gap_width: float
    gap_mix: np.ndarray
    road_share: float
    pivots: float
    rounded: float
    merged: float
    parted: float
    part_mix: np.ndarray
    alike: float
    rough: float


@dataclass(frozen=True)
class GroundStyle:
    """What stands in the way of the plough: shares of the land, widths, counts."""

    woods: float
    lakes: float
    river_width: float
    villages: int
    main_roads: int
    farmsteads: int
    lone_trees: float


@dataclass(frozen=True)
class PaintStyle:
    """How strong the differences are; 1 is the usual deviation between crops.

    crops: how many share the land. contrast: deviation between them. deviation: between fields of
    one crop. mottle: strength of patterns within a field; nothing keeps it below the contrast.
    soil: share of it that runs on across boundaries. rows, headlands: shares of the fields that
    have them. part_contrast: between the parts of a field.
    """

    crops: int
    contrast: float
    deviation: float
    mottle: float
    soil: float
    rows: float
    row_strength: float
    headlands: float
    part_contrast: float


@dataclass(frozen=True)
class Style:
    """All habits of a scene; `size` is its side."""

    size: int
    land: LandStyle
    ground: GroundStyle
    paint: PaintStyle


def draw_style(size: int, rng: np.random.Generator) -> Style:
    """Draw the habits of a scene of `size` pixels."""
    pivots = float(rng.choice([0.0, 0.05, 0.85], p=[0.80, 0.13, 0.07]))
    return Style(size, _land(size, pivots, rng), _ground(rng), _paint(rng))


def log_uniform(low: float, high: float, rng: np.random.Generator) -> float:
    """A number whose logarithm is evenly spread."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _field_side(size: int, pivots: float, rng: np.random.Generator) -> float:
    """Typical side: 8 to 150 pixels; now and then one field fills the whole picture."""
    if rng.random() < 0.06:
        return size * float(rng.uniform(0.7, 1.5))
    return log_uniform(16.0 if pivots > 0.5 else 8.0, 150.0, rng)


def _land(size: int, pivots: float, rng: np.random.Generator) -> LandStyle:
    grid = pivots > 0.5
    side = _field_side(size, pivots, rng)
    bend_length = log_uniform(30, 250, rng)
    bend = float(rng.choice([0.0, 0.004, 0.02, 0.06], p=[0.2, 0.35, 0.3, 0.15])) * bend_length
    slender = float(rng.choice([1.2, 1.8, 3.0, 6.0, 12.0], p=[0.32, 0.26, 0.2, 0.13, 0.09]))
    return LandStyle(
        side=side,
        spread=float(rng.choice([0.15, 0.5, 0.9])),
        slender=1.2 if grid else slender,
        tilt=0.0 if grid else float(rng.choice([0.0, 0.02, 0.08, 0.25], p=[0.2, 0.4, 0.3, 0.1])),
        turn=0.0 if grid else float(rng.choice([0.0, 0.15, 1.0], p=[0.3, 0.4, 0.3])),
        bend=0.0 if grid else bend,
        bend_length=bend_length,
        regular=bool(grid or rng.random() < 0.15),
        gap_share=float(rng.choice([0.05, 0.35, 0.7, 1.0])),
        gap_width=log_uniform(0.5, 2.2, rng),
        gap_mix=rng.dirichlet([1.6, 0.6, 0.6, 0.4, 0.15, 0.08]),
        road_share=float(rng.uniform(0, 1)),
        pivots=pivots,
        rounded=float(rng.choice([0.0, 0.3, 1.0], p=[0.65, 0.2, 0.15])),
        merged=float(rng.choice([0.0, 0.15, 0.4])),
        parted=float(rng.choice([0.05, 0.25, 0.6])),
        part_mix=rng.dirichlet([0.6, 0.6, 0.9]),
        alike=float(rng.choice([0.0, 0.12, 0.4], p=[0.3, 0.4, 0.3])),
        rough=float(rng.choice([0.02, 0.1, 0.25], p=[0.4, 0.4, 0.2])),
    )


def _ground(rng: np.random.Generator) -> GroundStyle:
    return GroundStyle(
        woods=float(rng.choice([0.0, 0.04, 0.15, 0.4], p=[0.4, 0.3, 0.2, 0.1])),
        lakes=float(rng.choice([0.0, 0.02, 0.1], p=[0.8, 0.14, 0.06])),
        river_width=log_uniform(1, 22, rng) if rng.random() < 0.25 else 0.0,
        villages=int(rng.choice([0, 1, 2], p=[0.72, 0.23, 0.05])),
        main_roads=int(rng.choice([0, 1, 2, 3], p=[0.45, 0.3, 0.15, 0.1])),
        farmsteads=int(rng.poisson(rng.choice([0, 2, 6]))),
        lone_trees=float(rng.choice([0.0, 2.0, 12.0], p=[0.55, 0.3, 0.15])),
    )


def _paint(rng: np.random.Generator) -> PaintStyle:
    return PaintStyle(
        crops=int(rng.integers(2, 10)),
        contrast=float(rng.choice([1.0, 0.6, 0.3], p=[0.5, 0.3, 0.2])),
        deviation=log_uniform(0.08, 0.6, rng),
        mottle=float(rng.choice([0.12, 0.3, 0.6, 1.1], p=[0.22, 0.26, 0.26, 0.26])),
        soil=float(rng.choice([0.0, 0.5, 1.0])),
        rows=float(rng.choice([0.0, 0.2, 0.7])),
        row_strength=log_uniform(0.05, 0.5, rng),
        headlands=float(rng.choice([0.0, 0.15, 0.5])),
        part_contrast=log_uniform(0.35, 1.4, rng),
    )
