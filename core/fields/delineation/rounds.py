"""All fields of one tile, found in rounds.

The tile is encoded once for each date. The engine's edges divide it into a tree of regions
(`edge_regions.py`). Each round asks the engine deep inside what no field covers yet (`seeds.py`).
Its masks speak for the regions that they resemble, and the best of both become fields, the best
first; what is taken is cut out of those that come later, so fields never overlap
(`acceptance.py`). What is left goes into the next round, with a prompt for weaker edges.

This is the method of the reference system without its paint (specification B5): what it kept as
white pixels of a picture is a mask here, so bright fields are fields like all others.
"""

from __future__ import annotations

from typing import List, Optional, Sequence, Set

import numpy as np

from ...monitor import SILENT, Monitor
from ..segmenter import Segmenter, check_picture
from .acceptance import Acceptance
from .edge_regions import edge_regions
from .enlarging import Enlarger
from .options import DelineationOptions
from .pieces import FieldPiece, RoundCount, TileFields
from .seeds import seeds, texture, what_is_left
from .sight import Place, Sight, look

_DEFAULT = DelineationOptions()
_LOOK_SHARE = 0.2
"""Share of the progress that encoding gets."""


def delineate_tile(
    images: Sequence[np.ndarray],
    valid: np.ndarray,
    segmenter: Segmenter,
    options: DelineationOptions = _DEFAULT,
    monitor: Monitor = SILENT,
    enlarger: Optional[Enlarger] = None,
    colours: Optional[Sequence[Optional[np.ndarray]]] = None,
) -> TileFields:
    """The fields of one tile.

    :param images: one to four (H, W, 3) uint8, dates on the same grid; never changed.
    :param valid: (H, W) bool: pixels with data that are to be looked at.
    :param enlarger: what the engine is shown is enlarged by it; fields lie on the images' own
        pixels all the same. None: as the options say.
    :param colours: what is around each pixel of each image, where the tile is a window of a larger
        scene; see `look`.
    :raises ValueError: no image, or the shapes differ.
    :raises Cancelled: within a second, also while the engine works.
    """
    _check(images, valid)
    if not valid.any() or all(_is_even(image, valid) for image in images):
        nothing = np.zeros(valid.shape, np.float32)
        return TileFields((), (), int(valid.sum()), valid.copy(), nothing)
    monitor.check()
    sight = look(images, valid, segmenter, options.zoom, monitor, enlarger, colours)
    monitor.progress(_LOOK_SHARE)
    return _rounds(sight, valid, options, monitor.part(_LOOK_SHARE, 1))


def _rounds(
    sight: Sight, valid: np.ndarray, options: DelineationOptions, monitor: Monitor
) -> TileFields:
    regions = edge_regions(sight.edges, valid)
    acceptance = Acceptance(regions, valid, options)
    pieces: List[FieldPiece] = []
    counts: List[RoundCount] = []
    total = int(valid.sum())
    asked: Set[Place] = set()
    for number in range(1, options.rounds + 1):
        left = what_is_left(valid, acceptance.done, options.growth, options.least_pixels)
        if number >= options.texture_from:
            left &= ~texture(sight.edges)
        grid = options.points_per_side if number >= options.grid_from else None
        level, least = options.level(number), options.least_pixels
        found = seeds(regions, left, sight.edges, level, least, grid, number == 1)
        # An answer would be the same as before.
        new_seeds = [seed for seed in found if seed.place not in asked]
        asked.update(seed.place for seed in new_seeds)
        part = monitor.part((number - 1) / options.rounds, number / options.rounds)
        answers = []
        for answer in sight.ask(new_seeds, valid, number, options.spare, part):
            answers.append(answer)
            part.progress(len(answers) / len(new_seeds))
        new = acceptance.take(answers, sight.edges, number)
        pieces += new
        added = sum(piece.pixels for piece in new)
        residual = total - int(acceptance.done.sum())
        counts.append(RoundCount(number, len(answers), len(new), added, residual))
        if added < options.min_gain * total or residual <= options.stop_residual * total:
            break
    residual = valid & ~acceptance.done
    return TileFields(tuple(pieces), tuple(counts), total, residual, sight.edges)


def _is_even(image: np.ndarray, valid: np.ndarray) -> bool:
    """Whether a picture shows nothing at all."""
    seen = image[valid]
    return bool((seen == seen[0]).all())


def _check(images: Sequence[np.ndarray], valid: np.ndarray) -> None:
    """:raises ValueError: no image, or the shapes differ."""
    if not images:
        raise ValueError("Expected at least one image.")
    for image in images:
        check_picture(image)
        if image.shape[:2] != valid.shape:
            raise ValueError(f"Expected images of {valid.shape}, got {image.shape[:2]}.")
