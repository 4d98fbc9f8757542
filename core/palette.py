"""Colours of classes, the same in maps and reports."""

from __future__ import annotations

from typing import Dict, Hashable, Iterable

PALETTE = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#8c8c8c",
    "#b8a800",
)
"""Okabe and Ito's colours, told apart with any colour vision; yellow darkened to show on white."""


def colours_of(classes: Iterable[Hashable]) -> Dict[Hashable, str]:
    """Class to #rrggbb, by the order of the class names."""
    ordered = sorted(set(classes), key=str)
    return {label: PALETTE[k % len(PALETTE)] for k, label in enumerate(ordered)}
