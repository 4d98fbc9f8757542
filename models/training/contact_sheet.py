"""Training scenes beside their truth, to look at.

Blocks of several fields are outlined in cyan, fields in yellow, parts in red.
"""

from __future__ import annotations

from pathlib import Path
from typing import List

import numpy as np
from matplotlib.image import imsave

from .scenes import TrainingScene, generate

PARTS, FIELDS, BLOCKS = (230, 40, 40), (255, 230, 0), (0, 230, 255)
PER_ROW = 3
ZOOM = 2
GAP = 6


def draw(path: Path, seed: int, size: int, count: int) -> None:
    """Write a picture of the scenes seed, seed + 1, ... with `size` pixels a side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, sheet([generate(number, size) for number in range(seed, seed + count)]))


def sheet(scenes: List[TrainingScene]) -> np.ndarray:
    """Pairs of image and truth in rows: (height, width, 3) uint8."""
    tiles = [pair(scene) for scene in scenes]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % PER_ROW)
    rows = [np.concatenate(tiles[i : i + PER_ROW], axis=1) for i in range(0, len(tiles), PER_ROW)]
    return np.concatenate(rows)


def pair(scene: TrainingScene) -> np.ndarray:
    """The image, and beside it the image with outlines, both enlarged."""
    image = _enlarged(scene.image)
    drawn = image.copy()
    layers = ((scene.parts, PARTS), (scene.fields, FIELDS), (_true_blocks(scene), BLOCKS))
    for labels, colour in layers:
        drawn[_outline(_enlarged(labels))] = colour
    both = np.concatenate([image, drawn], axis=1)
    return np.pad(both, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)


def _true_blocks(scene) -> np.ndarray:  # noqa: ANN001
    """The blocks that hold several fields; the others would hide the fields' outlines."""
    block_of_field = np.zeros(scene.fields.max() + 1, int)
    block_of_field[scene.fields] = scene.blocks
    several = np.bincount(block_of_field[1:], minlength=scene.blocks.max() + 1) > 1
    return np.where(several[scene.blocks], scene.blocks, 0)


def _enlarged(pixels: np.ndarray) -> np.ndarray:
    return pixels.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)


def _outline(labels: np.ndarray) -> np.ndarray:
    """Where a label differs from the one to the right or below."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    edge[:-1] |= labels[1:] != labels[:-1]
    return edge
