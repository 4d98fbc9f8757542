"""What a user has drawn so far for one field: clicks, a box, which mask, how far grown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Sequence, Tuple

import numpy as np

from .field_mask import FieldMask
from .segmenter import Prompts


@dataclass(frozen=True)
class Mark:
    """One click or one box, in pixel coordinates of the grid."""

    places: Tuple[float, ...]
    """x and y of a click; x minimum, y minimum, x maximum, y maximum of a box."""
    foreground: bool = True
    """A click on the wanted field, or off it; a box is always on it."""

    @property
    def is_box(self) -> bool:
        """Whether it is a box."""
        return len(self.places) == 4


@dataclass(frozen=True)
class Sketch:
    """The marks of one field in the order they were made. Every change gives a new sketch."""

    marks: Tuple[Mark, ...] = ()
    turns: int = 0
    """How many masks further than the best one."""
    growth: int = 0
    """Pixels that the outline is moved outwards."""

    def with_click(self, x: float, y: float, foreground: bool = True) -> Sketch:
        """One more click. The best mask of the new answer is shown."""
        return replace(self, marks=(*self.marks, Mark((x, y), foreground)), turns=0)

    def with_box(self, x0: float, y0: float, x1: float, y1: float) -> Sketch:
        """A box from any corner to the opposite one; the box before it no longer counts."""
        box = Mark((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)))
        return replace(self, marks=(*self.marks, box), turns=0)

    def without_last(self) -> Sketch:
        """The sketch before its last mark."""
        return replace(self, marks=self.marks[:-1], turns=0)

    def turned(self, step: int = 1) -> Sketch:
        """The next mask, or the one before with -1."""
        return replace(self, turns=self.turns + step)

    def grown(self, pixels: int) -> Sketch:
        """The outline moved out by some pixels, in where negative."""
        return replace(self, growth=self.growth + pixels)

    @property
    def ready(self) -> bool:
        """Whether an engine can answer: there is a click on the field or a box."""
        return any(mark.is_box or mark.foreground for mark in self.marks)

    @property
    def prompts(self) -> Prompts:
        """What an engine is asked; only where the sketch is ready."""
        clicks = [mark for mark in self.marks if not mark.is_box]
        boxes = [mark.places for mark in self.marks if mark.is_box]
        return Prompts(
            np.array([mark.places for mark in clicks], dtype=np.float64).reshape(-1, 2),
            np.array([mark.foreground for mark in clicks], dtype=bool),
            np.array(boxes[-1], dtype=np.float64) if boxes else None,
        )

    def position(self, masks: Sequence[FieldMask]) -> int:
        """Which of the masks is shown: the best one, or as many further as was asked for.

        :param masks: at least one, the finest first.
        """
        best = int(np.argmax([mask.score for mask in masks]))
        return (best + self.turns) % len(masks)
