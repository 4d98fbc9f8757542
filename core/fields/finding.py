"""From prompts to field masks: windows, one encoding for all prompts that share a window.

A window is laid out on a fixed lattice, so the same prompt gives the same field whatever other
prompts there are. A mask that runs into the window's edge is looked for again in a larger one.
Where a window is shown on several dates, the mask that agrees best with those of the other
dates is taken: a single date may hide an edge or show one that is none.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from scipy import ndimage

from ..imagery.grid import Grid, Window
from ..imagery.pictures import Picture, Pictures
from ..monitor import SILENT, Monitor, watched
from .masks import MINIMUM_PIXELS, MaskRule, choose, component_at, fill_holes
from .segmenter import Prompts, Segmenter

_EDGE_CONTACT = 10
"""A mask with more pixels than this on the window's edge is cut off (specification A6, 20)."""
_ENLARGEMENTS = 2
_LARGEST_WINDOW = 1024
_BOX_SPACE, _BOX_RIM = 2.0, 8
"""A window is at least this many times as wide as the box of a prompt, and some pixels more: a
quarter of a shared window may lie on one side of the box's centre, and half of the box does."""


@dataclass(frozen=True)
class FieldOptions:
    """How fields are looked for."""

    window: int = 200
    """Side of the window in pixels."""
    rule: MaskRule = MaskRule.FINEST
    all_masks: bool = False
    """Give every mask of a prompt, not only the one that the rule chooses."""


@dataclass(frozen=True)
class FieldMask:
    """A field found for a prompt."""

    prompt: int
    """Position of the prompt in the list that was handed in."""
    window: Window
    """The mask's bounding rectangle on the grid."""
    mask: np.ndarray
    """(h, w) bool within `window`: one connected piece at the prompt, holes filled."""
    score: float
    """0..1, the engine's own."""
    rank: int
    """0 is the finest of the masks offered."""
    cut_off: bool
    """It runs into the edge of the largest window that was tried."""
    date: Optional[dt.date]
    image: str

    @property
    def pixels(self) -> Tuple[np.ndarray, np.ndarray]:
        """Rows and columns of its pixels on the grid."""
        rows, cols = np.nonzero(self.mask)
        return rows + self.window.row, cols + self.window.col


@dataclass(frozen=True)
class FoundFields:
    """Masks of all prompts, and what it took."""

    masks: Tuple[FieldMask, ...]
    missing: Tuple[int, ...]
    """Positions of prompts that no mask was found for."""
    encodes: int
    """How many pictures of windows were encoded."""


def find_fields(
    prompts: Sequence[Prompts],
    pictures: Pictures,
    segmenter: Segmenter,
    options: FieldOptions,
    monitor: Monitor = SILENT,
) -> FoundFields:
    """Ask the segmenter for the field of each prompt.

    :param prompts: in pixel coordinates of `pictures.grid`; their anchors are inside it.
    :raises Cancelled: between windows.
    """
    todo = {k: _first_size(prompt, options.window) for k, prompt in enumerate(prompts)}
    found: Dict[int, List[FieldMask]] = {}
    encodes = 0
    for attempt in range(_ENLARGEMENTS + 1):
        if not todo:
            break
        step = monitor.part(attempt / (attempt + 1), (attempt + 1) / (attempt + 2))
        groups = _windows(pictures.grid, prompts, todo)
        pictures.prepare(groups, step.part(0, 0.3))
        for done, (window, members) in enumerate(sorted(groups.items())):
            step.check()
            shown = [p for p in pictures.pictures(window) if p.valid.any()]
            encodes += len(shown)
            answers = _ask(prompts, members, window, shown, pictures.grid, segmenter, options, step)
            # A larger window may show nothing where a smaller one showed a field cut off.
            found.update({k: masks for k, masks in answers.items() if masks or k not in found})
            step.progress(0.3 + 0.7 * (done + 1) / len(groups))
        todo = _again(found, todo, pictures.grid)
    masks = tuple(mask for k in sorted(found) for mask in found[k])
    missing = tuple(k for k in range(len(prompts)) if not found.get(k))
    return FoundFields(masks, missing, encodes)


def _first_size(prompt: Prompts, window: int) -> int:
    if prompt.box is None:
        return window
    side = max(prompt.box[2] - prompt.box[0], prompt.box[3] - prompt.box[1])
    wide = np.ceil(side * _BOX_SPACE) + _BOX_RIM
    return int(min(max(window, wide), max(window, _LARGEST_WINDOW)))


def _windows(
    grid: Grid, prompts: Sequence[Prompts], sizes: Dict[int, int]
) -> Dict[Window, List[int]]:
    groups: Dict[Window, List[int]] = defaultdict(list)
    for k, size in sizes.items():
        x, y = prompts[k].anchor
        groups[grid.shared_window(int(y), int(x), size)].append(k)
    return dict(groups)


def _again(found: Dict[int, List[FieldMask]], sizes: Dict[int, int], grid: Grid) -> Dict[int, int]:
    """Prompts whose mask was cut off, with a window twice as large where that is larger."""
    largest = min(_LARGEST_WINDOW, max(grid.height, grid.width))
    return {
        k: min(2 * size, largest)
        for k, size in sizes.items()
        if size < largest and any(mask.cut_off for mask in found.get(k, ()))
    }


def _ask(
    prompts: Sequence[Prompts],
    members: Sequence[int],
    window: Window,
    shown: Sequence[Picture],
    grid: Grid,
    segmenter: Segmenter,
    options: FieldOptions,
    monitor: Monitor,
) -> Dict[int, List[FieldMask]]:
    """Encode the pictures of one window and answer its prompts."""
    local = [_shifted(prompts[k], window) for k in members]
    offers: Dict[int, List[List[FieldMask]]] = {k: [] for k in members}
    for picture in shown:
        answers = watched(
            lambda shown=picture: segmenter.predict(segmenter.encode(shown.image), local), monitor
        )
        for k, prompt, masks, scores in zip(members, local, answers.masks, answers.scores):
            chosen = _chosen(k, prompt, masks, scores, picture, window, grid, options)
            offers[k].append(chosen)
    return {k: _agreed([offer for offer in offers[k] if offer]) for k in members}


def _agreed(offers: Sequence[List[FieldMask]]) -> List[FieldMask]:
    """Of the masks of several dates the one most like the others; the first where they tie."""
    if len(offers) < 2:
        return list(offers[0]) if offers else []
    masks = [offer[0] for offer in offers]
    agreement = [sum(overlap(a, b) for b in masks) for a in masks]
    return list(offers[int(np.argmax(agreement))])


def overlap(a: FieldMask, b: FieldMask) -> float:
    """Intersection over union of two masks on one grid."""
    row, col = max(a.window.row, b.window.row), max(a.window.col, b.window.col)
    stop_row = min(a.window.row + a.window.height, b.window.row + b.window.height)
    stop_col = min(a.window.col + a.window.width, b.window.col + b.window.width)
    if row >= stop_row or col >= stop_col:
        return 0.0
    both = _part(a, row, col, stop_row, stop_col) & _part(b, row, col, stop_row, stop_col)
    shared = int(both.sum())
    return shared / (int(a.mask.sum()) + int(b.mask.sum()) - shared)


def _part(found: FieldMask, row: int, col: int, stop_row: int, stop_col: int) -> np.ndarray:
    top, left = found.window.row, found.window.col
    return found.mask[row - top : stop_row - top, col - left : stop_col - left]


def _shifted(prompt: Prompts, window: Window) -> Prompts:
    """The prompt in pixel coordinates of the window."""
    corner = np.array([window.col, window.row], dtype=np.float64)
    box = None if prompt.box is None else prompt.box - np.tile(corner, 2)
    return Prompts(prompt.points - corner, prompt.foreground, box)


def _chosen(
    position: int,
    prompt: Prompts,
    masks: np.ndarray,
    scores: np.ndarray,
    picture: Picture,
    window: Window,
    grid: Grid,
    options: FieldOptions,
) -> List[FieldMask]:
    """The mask that the rule picks (or all of them), tidied; none where all are empty."""
    tidy = np.stack([_tidy(mask & picture.valid, prompt, picture.valid) for mask in masks])
    if options.all_masks:
        ranks = [k for k in range(len(tidy)) if tidy[k].sum() >= MINIMUM_PIXELS]
    else:
        ranks = [choose(tidy, scores, options.rule, picture.feature)]
    return [
        _placed(position, tidy[rank], float(scores[rank]), rank, picture, window, grid)
        for rank in ranks
        if tidy[rank].any()
    ]


def _tidy(mask: np.ndarray, prompt: Prompts, valid: np.ndarray) -> np.ndarray:
    """The piece at the prompt, holes filled where there is data (specification A6, 8).

    Where several foreground points were given, the pieces at all of them.
    """
    points = prompt.points[prompt.foreground] if prompt.foreground.any() else [prompt.anchor]
    filled = fill_holes(_pieces(mask, points)) & valid
    return _pieces(filled, points)  # a hole may hold an island behind pixels without data


def _pieces(mask: np.ndarray, points: Sequence[Sequence[float]]) -> np.ndarray:
    """The connected pieces of a mask at some points."""
    pieces = np.zeros_like(mask)
    for x, y in points:
        pieces |= component_at(mask, x, y)
    return pieces


def _placed(
    position: int,
    mask: np.ndarray,
    score: float,
    rank: int,
    picture: Picture,
    window: Window,
    grid: Grid,
) -> FieldMask:
    rows, cols = ndimage.find_objects(mask.astype(np.uint8))[0]
    rectangle = Window(
        window.row + rows.start,
        window.col + cols.start,
        rows.stop - rows.start,
        cols.stop - cols.start,
    )
    cut_off = _inner_contact(mask, window, grid) > _EDGE_CONTACT
    return FieldMask(
        position, rectangle, mask[rows, cols].copy(), score, rank, cut_off, picture.date,
        picture.name,
    )  # fmt: skip


def _inner_contact(mask: np.ndarray, window: Window, grid: Grid) -> int:
    """Pixels of the mask on those edges of the window that are not edges of the grid."""
    edges = (
        (window.row > 0, mask[0]),
        (window.row + window.height < grid.height, mask[-1]),
        (window.col > 0, mask[:, 0]),
        (window.col + window.width < grid.width, mask[:, -1]),
    )
    return sum(int(edge.sum()) for inside, edge in edges if inside)
