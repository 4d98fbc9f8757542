"""What both ends of the worker's pipes agree on: whose fault an error is, and prompts as arrays."""

from __future__ import annotations

from typing import Dict, List, Mapping, Sequence

import numpy as np

from ...core.fields.segmenter import Prompts

MODEL_FAULT, MEMORY_FAULT, OTHER_FAULT = "model", "memory", "other"
"""What of an error: its text is a sentence for the user, twice; or what a library said."""
FEATURE = "feature_"
"""Before the names of features where they travel with prompts."""


def packed_prompts(prompts: Sequence[Prompts]) -> Dict[str, np.ndarray]:
    """Prompts as arrays: all points one after the other, and how many each has.

    :return: "points" (k, 2) and "boxes" (n, 4) float64, not-a-number where a prompt has no box;
        "foreground" (k,) bool; "counts" (n,) int64.
    """
    boxes = np.full((len(prompts), 4), np.nan)
    for row, prompt in zip(boxes, prompts):
        if prompt.box is not None:
            row[:] = prompt.box
    points = [np.asarray(prompt.points, np.float64).reshape(-1, 2) for prompt in prompts]
    foreground = [np.asarray(prompt.foreground, bool) for prompt in prompts]
    return {
        "points": np.concatenate([np.empty((0, 2)), *points]),
        "foreground": np.concatenate([np.empty(0, bool), *foreground]),
        "counts": np.array([len(own) for own in points], np.int64),
        "boxes": boxes,
    }


def unpacked_prompts(arrays: Mapping[str, np.ndarray]) -> List[Prompts]:
    """The prompts of :func:`packed_prompts`.

    :raises KeyError, ValueError: the arrays are no prompts.
    """
    ends = np.cumsum(arrays["counts"])
    points = np.split(arrays["points"], ends[:-1])
    foreground = np.split(arrays["foreground"], ends[:-1])
    boxes = [None if np.isnan(box).any() else box for box in arrays["boxes"]]
    total = ends[-1:].sum()
    if {len(arrays["points"]), len(arrays["foreground"])} != {total} or len(boxes) != len(ends):
        raise ValueError("The numbers of points, prompts and boxes differ.")
    return [Prompts(*parts) for parts in zip(points, foreground, boxes)]
