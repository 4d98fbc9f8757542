"""Crops of the field model: which levels a prompt is decoded at, and what the decoder is given.

The encoder's features come at four levels. A cell of a level is `stride` pixels wide; the decoder
sees GRID x GRID cells around the prompt's anchor, and finer features with twice the resolution, in
which its masks are given too ("fine cells"). `models/training/network.py` and `prompting.py` do
the same in training; tests/models/training/test_export.py compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ....core.fields.segmenter import Prompts

LEVELS = (2, 4, 8, 16)
"""Strides of the feature levels in pixels."""
GRID = 32
"""Side of a crop in cells."""
FINE = 2 * GRID
"""Side of a crop and its masks in fine cells."""
_LEAST_LEVELS = 3
COMFORT = 11.0
"""Side of a field in cells that a level is best at; boxes are decoded from there to twice that."""
_RIM = 0.5
"""Foreground points beyond the crop are brought this many cells within it."""
UNUSED = -1
"""Label of a point that is not there."""


@dataclass(frozen=True)
class View:
    """A part of an image, enlarged, that the encoder has seen by itself."""

    corner: Tuple[int, int]
    """x and y of its upper left corner in pixels of the image."""
    shape: Tuple[int, int]
    """Height and width in pixels of the image."""
    zoom: int
    """Pixels of the view along a side of a pixel of the image."""


@dataclass(frozen=True)
class Decode:
    """One prompt at one level; measures are in pixels of the image."""

    level: int
    """Position in LEVELS."""
    corner: Tuple[int, int]
    """x and y of the crop's upper left corner in cells; may be negative."""
    view: Optional[View] = None
    """None: the whole image, as it is."""

    @property
    def stride(self) -> float:
        """Pixels of a cell."""
        return LEVELS[self.level] / (self.view.zoom if self.view else 1)

    @property
    def step(self) -> float:
        """Pixels of a fine cell."""
        return self.stride / 2

    @property
    def offset(self) -> Tuple[float, float]:
        """x and y of the crop's upper left corner in pixels."""
        x, y = self.view.corner if self.view else (0, 0)
        return x + self.corner[0] * self.stride, y + self.corner[1] * self.stride

    def known(self, shape: Tuple[int, int]) -> Tuple[slice, slice]:
        """Rows and columns of fine cells that lie in the image or the view, if only in part.

        :param shape: height and width of the image in pixels.
        """
        height, width = self.view.shape if self.view else shape
        x, y = self.corner
        rows, columns = (int(np.ceil(side / self.step - 1e-9)) for side in (height, width))
        return _within(2 * y, rows), _within(2 * x, columns)


def _within(start: int, size: int) -> slice:
    low = min(max(-start, 0), FINE)
    return slice(low, max(min(size - start, FINE), low))


def anchor_within(shape: Tuple[int, int], prompt: Prompts) -> Tuple[float, float]:
    """x and y of the prompt's anchor, brought into the image where it lies beyond.

    :param shape: height and width in pixels.
    """
    x, y = prompt.anchor
    return min(max(x, 0.0), shape[1] - 1e-6), min(max(y, 0.0), shape[0] - 1e-6)


def decodes(shape: Tuple[int, int], prompt: Prompts) -> List[Decode]:
    """The levels at which a prompt is decoded, from fine to coarse, and where.

    :param shape: height and width of the image in pixels.
    """
    x, y = anchor_within(shape, prompt)
    if prompt.box is None:
        levels = _levels_of_click(max(shape), prompt.side)
    else:
        levels = _levels_of_box(prompt.box)
    return [Decode(k, corner_around(x, y, k)) for k in levels]


def corner_around(x: float, y: float, level: int) -> Tuple[int, int]:
    """x and y of the upper left cell of the crop of a level around a point in pixels."""
    half = GRID // 2
    return int(x // LEVELS[level]) - half, int(y // LEVELS[level]) - half


def comfortable_levels(sides: np.ndarray) -> np.ndarray:
    """Positions in LEVELS at which fields measure about COMFORT cells.

    :param sides: (n,) pixels.
    :return: (n,) int64.
    """
    level = np.round(np.log2(np.maximum(sides, 1) / COMFORT) - 1)
    return np.clip(level, 0, len(LEVELS) - 1).astype(int)


def _levels_of_click(longest: int, side: Optional[float]) -> List[int]:
    """All that fit the image; where a least side is known, from the level that suits it."""
    fitting = max(sum(GRID * stride <= 2 * longest for stride in LEVELS), _LEAST_LEVELS)
    if side is None:
        return list(range(fitting))
    first = min(int(comfortable_levels(np.array([side]))[0]), fitting - _LEAST_LEVELS)
    return list(range(first, first + _LEAST_LEVELS))


def _levels_of_box(box: np.ndarray) -> List[int]:
    """The level that fits the box and its neighbours."""
    side = max(float(box[2] - box[0]), float(box[3] - box[1]), 1.0)
    last = len(LEVELS) - 1
    best = min(max(int(np.floor(np.log2(side / COMFORT))) - 1, 0), last)
    return list(range(max(best - 1, 0), min(best + 1, last) + 1))


def decoder_inputs(
    maps: Mapping[str, np.ndarray],
    asked: Sequence[Tuple[Prompts, Decode]],
) -> Dict[str, np.ndarray]:
    """What the decoder is given for some prompts at some levels.

    :param maps: the encoder's features, (channels, rows, columns) each, named as in the graph.
    :param asked: n prompts, in pixels of the image, each at one level.
    :return: names to arrays whose first axis has length n.
    """
    count = len(asked)
    most = max(1, *(len(prompt.points) for prompt, _ in asked))
    channels = {kind: maps[f"{kind}{LEVELS[0]}"].shape[0] for kind in ("context", "detail")}
    inputs = {
        "context": np.zeros((count, channels["context"], GRID, GRID), np.float16),
        "detail": np.zeros((count, channels["detail"], FINE, FINE), np.float16),
        "inside": np.zeros((count, 1, GRID, GRID), np.float32),
        "level": np.array([decode.level for _, decode in asked], np.int64),
        "points": np.zeros((count, most, 2), np.float32),
        "labels": np.full((count, most), UNUSED, np.int64),
        "boxes": np.zeros((count, 4), np.float32),
    }
    for k, (prompt, decode) in enumerate(asked):
        _fill({name: values[k] for name, values in inputs.items()}, maps, prompt, decode)
    return inputs


def _fill(
    row: Mapping[str, np.ndarray], maps: Mapping[str, np.ndarray], prompt: Prompts, decode: Decode
) -> None:
    """Write one prompt at one level into its row of the decoder's inputs."""
    x, y = decode.corner
    stride = LEVELS[decode.level]
    context = maps[f"context{stride}"]
    _paste(context, x, y, row["context"])
    _paste(maps[f"detail{stride}"], 2 * x, 2 * y, row["detail"])
    _paste(np.broadcast_to(np.float32(1), (1, *context.shape[1:])), x, y, row["inside"])
    used = len(prompt.points)
    row["points"][:used], row["labels"][:used] = _points(prompt, decode)
    row["boxes"][:] = _box(prompt, decode)


def _paste(source: np.ndarray, x: int, y: int, target: np.ndarray) -> None:
    """Copy the part of (c, h, w) from (x, y) on into (c, side, side); beyond it stays zero."""
    side = target.shape[1]
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + side, source.shape[1]), min(x + side, source.shape[2])
    if top < bottom and left < right:
        part = source[:, top:bottom, left:right]
        target[:, top - y : bottom - y, left - x : right - x] = part


def pasted(source: np.ndarray, x: int, y: int, side: int) -> np.ndarray:
    """The part of (c, h, w) from (x, y) on as (c, side, side); zeros beyond it."""
    target = np.zeros((len(source), side, side), source.dtype)
    _paste(source, x, y, target)
    return target


def _points(prompt: Prompts, decode: Decode) -> Tuple[np.ndarray, np.ndarray]:
    """(k, 2) points in cells of the crop and their (k,) labels.

    Foreground points beyond the crop are moved to its rim, background points there do not count.
    """
    cells = (prompt.points - np.array(decode.offset)) / decode.stride
    beyond = ((cells < 0) | (cells > GRID)).any(axis=1)
    labels = np.where(prompt.foreground, 1, np.where(beyond, UNUSED, 0))
    cells = np.where(beyond[:, None], np.clip(cells, _RIM, GRID - _RIM), cells)
    return cells, labels


def _box(prompt: Prompts, decode: Decode) -> np.ndarray:
    """(4,) box in cells of the crop; zeros without a box."""
    if prompt.box is None:
        return np.zeros(4)
    return (prompt.box - np.tile(np.array(decode.offset), 2)) / decode.stride
