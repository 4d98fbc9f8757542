"""From prompts to field masks: windows, one encoding for all prompts that share a window.

A window is laid out on a fixed lattice, so the same prompt gives the same field whatever other
prompts there are. A mask that runs into the window's edge is looked for again in a larger one.
Where a window is shown on several dates, the mask that agrees best with those of the other
dates is taken: a single date may hide an edge or show one that is none.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

import numpy as np

from ..imagery.grid import Grid, Window
from ..imagery.pictures import Picture, Pictures
from ..monitor import SILENT, Monitor, watched
from .answering import first_size, larger_size, placed_masks, shifted, usable, window_for
from .field_mask import FieldMask, overlap, tidied
from .masks import MaskRule, choose
from .segmenter import Prompts, Segmenter

_ENLARGEMENTS = 2


@dataclass(frozen=True)
class FieldOptions:
    """How fields are looked for."""

    window: int = 200
    """Side of the window in pixels."""
    rule: MaskRule = MaskRule.FINEST
    all_masks: bool = False
    """Give every mask of a prompt, not only the one that the rule chooses."""


@dataclass(frozen=True)
class FoundFields:
    """Masks of all prompts, and what it took."""

    masks: Tuple[FieldMask, ...]
    missing: Tuple[int, ...]
    """Positions of prompts that no mask was found for."""
    encodes: int
    """How many pictures of windows the segmenter was shown; it may remember some."""


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
    todo = {k: first_size(prompt, options.window) for k, prompt in enumerate(prompts)}
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


def _windows(
    grid: Grid, prompts: Sequence[Prompts], sizes: Dict[int, int]
) -> Dict[Window, List[int]]:
    groups: Dict[Window, List[int]] = defaultdict(list)
    for k, size in sizes.items():
        groups[window_for(prompts[k], size, grid)].append(k)
    return dict(groups)


def _again(found: Dict[int, List[FieldMask]], sizes: Dict[int, int], grid: Grid) -> Dict[int, int]:
    """Prompts whose mask was cut off, with a window twice as large where that is larger."""
    return {
        k: larger_size(size, grid)
        for k, size in sizes.items()
        if larger_size(size, grid) > size and any(mask.cut_off for mask in found.get(k, ()))
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
    local = [shifted(prompts[k], window) for k in members]
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
    tidy = tidied(masks, prompt, picture.valid)
    if options.all_masks:
        ranks = usable(tidy)
    else:
        ranks = [choose(tidy, scores, options.rule, picture.feature)]
    like = FieldMask(
        position, window, picture.valid, 0.0, 0, False, picture.date, picture.name
    )
    return placed_masks(tidy, scores, ranks, window, grid, like)
