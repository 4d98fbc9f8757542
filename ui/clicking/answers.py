"""The fields that a sketch gets: asked of the windows that are in memory, in growing ones."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Optional, Tuple

from ...core.fields.answering import answer, first_size, larger_size, window_for
from ...core.fields.field_mask import FieldMask, grown
from ...core.fields.segmenter import Segmenter
from ...core.fields.sketch import Mark, Sketch
from ...core.imagery.grid import Grid, Window
from .encoding import View, WindowEncoder

_REMEMBERED = 64
"""Answers kept, so that a click where the cursor rested costs nothing."""

Masks = Tuple[FieldMask, ...]


@dataclass(frozen=True)
class Offer:
    """What can be said of a sketch now."""

    masks: Masks = ()
    """The finest first; empty where there is no field or nothing is known yet."""
    position: int = 0
    """Which of the masks is shown."""
    field: Optional[FieldMask] = None
    """The mask that is shown, grown as the sketch says."""
    missing: Optional[Window] = None
    """A window that has to be encoded before the answer is final."""
    window: Optional[Window] = None
    """The window that the first answer comes from."""


class Answers:
    """Asks the engine of one view; remembers its last answers."""

    def __init__(self, encoder: WindowEncoder, view: View, size: int) -> None:
        """:param size: side of the window that answers a click, in pixels."""
        self._encoder = encoder
        self._view = view
        self._size = size
        self._known: OrderedDict[Tuple[Tuple[Mark, ...], Window], Masks] = OrderedDict()

    @property
    def grid(self) -> Grid:
        """Of the image."""
        return self._view.pictures.grid

    @property
    def size(self) -> int:
        """Side of the window that answers a click, in pixels."""
        return self._size

    def offer(self, sketch: Sketch, enlarge: bool = True) -> Offer:
        """The fields of a sketch that is ready.

        :param enlarge: ask for a larger window where the field is cut off by this one's edge.
        """
        prompts = sketch.prompts
        size = first_size(prompts, self._size)
        first = window_for(prompts, size, self.grid)
        offer, window = Offer(window=first), first
        while True:
            masks = self._masks(sketch, window)
            if masks is None:
                waits = window == first or enlarge and not self._encoder.trouble(window)
                return replace(offer, missing=window) if waits else offer
            if masks or not offer.masks:
                offer = _shown(sketch, masks, first, self.grid)
            larger = larger_size(size, self.grid)
            if offer.field is None or not offer.field.cut_off or larger == size:
                return offer
            size, window = larger, window_for(prompts, larger, self.grid)

    def _masks(self, sketch: Sketch, window: Window) -> Optional[Masks]:
        """The answer of one window; None where it is not encoded yet."""
        key = (sketch.marks, window)
        if key not in self._known:
            segmenter: Optional[Segmenter] = self._view.engine.started
            encoded = self._encoder.get(window)
            if segmenter is None or encoded is None:
                return None
            self._known[key] = answer(segmenter, encoded, sketch.prompts, self.grid)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return self._known[key]


def _shown(sketch: Sketch, masks: Masks, first: Window, grid: Grid) -> Offer:
    if not masks:
        return Offer(window=first)
    position = sketch.position(masks)
    return Offer(masks, position, grown(masks[position], sketch.growth, grid), None, first)
