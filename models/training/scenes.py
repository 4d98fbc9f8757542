"""Made-up farmland with known fields, as many and as different as a network needs to learn from.

The land is drawn on cells half as large as a pixel, so that edges are mixed pixels; the truth is
what most of a pixel's cells belong to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scenery.camera import take_picture
from .scenery.canvas import Canvas
from .scenery.crops import paint_land
from .scenery.division import divide
from .scenery.ground import add_farmsteads, lay_ground, scatter_trees
from .scenery.plots import Frame, make_plots
from .scenery.style import draw_style
from .scenery.surfaces import make_bank
from .scenery.truth import reduce_truth
from .scenery.zones import divide_plots

LARGE = (45.0, 140.0)
"""Typical sides of large fields in pixels."""
MOTTLED = 0.6
"""Patterns within fields from this strength on, in deviations between crops."""


@dataclass(frozen=True)
class TrainingScene:
    """An image and its nested truth.

    image: (H, W, 3) uint8.
    parts: (H, W) int32, visible part of a field: moisture zone, strip, harvested half.
    fields: (H, W) int32, field: what is managed as one.
    blocks: (H, W) int32, block of neighbouring fields that look alike with no or a hardly visible
    boundary between them; thin margins inside a block belong to it.

    0 is no field. Ids are 1..n, each one piece connected by sides. Each part lies in one field,
    each field in one block. A field without parts is its own part, one without neighbours of its
    looks its own block.
    """

    image: np.ndarray
    parts: np.ndarray
    fields: np.ndarray
    blocks: np.ndarray


def generate(seed: int, size: int) -> TrainingScene:
    """Draw scene number `seed` with `size` pixels a side (48 or more); always the same one."""
    rng = np.random.default_rng(seed)
    style = draw_style(size, rng)
    canvas = Canvas(size, style.land.bend, style.land.bend_length, rng)
    bank = make_bank(rng)
    lay_ground(canvas, style.ground)
    block, *axes = divide(canvas, style.land)
    frame = Frame(*axes)
    plots = make_plots(canvas, frame, block, style.land)
    add_farmsteads(canvas, style.ground.farmsteads)
    scatter_trees(canvas, style.ground.lone_trees)
    parts = divide_plots(canvas, plots, frame, bank, style.land)
    land = paint_land(canvas, plots, parts, frame, bank, style.paint)
    truth = reduce_truth(parts.labels, parts.plot, plots.is_field, canvas.blocks)
    return TrainingScene(take_picture(land, rng), *truth)


def is_large_and_mottled(seed: int, size: int) -> bool:
    """Whether scene number `seed` has large fields with patterns as strong as their contrast.

    They are the hardest for the network, and only about a tenth of all scenes.
    """
    style = draw_style(size, np.random.default_rng(seed))
    large = LARGE[0] < style.land.side < LARGE[1] and style.land.slender < 7
    return large and style.paint.mottle >= MOTTLED
