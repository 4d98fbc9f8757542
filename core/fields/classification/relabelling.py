"""Labels that a person changed, brought back to the fields that they belong to."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Dict, List, Mapping, Sequence, Tuple

from .labelme import LabelledShape


@dataclass(frozen=True)
class Relabelled:
    """What became of n fields."""

    labels: Mapping[int, str]
    """Number of the field and its new label, where that differs."""
    missing: Tuple[int, ...]
    """Fields without a shape: the person deleted them, or they lie in other pictures."""
    unclear: Mapping[int, Tuple[str, ...]]
    """Fields whose shapes were given different new labels, which then count for nothing."""
    new: Tuple[int, ...]
    """Positions of shapes that belong to no field."""


def relabelled(shapes: Sequence[LabelledShape], known: Mapping[int, str]) -> Relabelled:
    """Compare shapes with the fields that they were exported from.

    A field may have several shapes: its parts, and one on each picture that it reaches into. The
    person need not change them all: those that still have the label that they came with are silent.

    :param known: number of each field and its label; '' where it has none.
    """
    wanted: Dict[int, List[str]] = defaultdict(list)
    new: List[int] = []
    for position, shape in enumerate(shapes):
        if shape.group is None or shape.group not in known:
            new.append(position)
            continue
        given = known[shape.group] if shape.given is None else shape.given
        changed = wanted[shape.group]
        if shape.label != given and shape.label not in changed:
            changed.append(shape.label)
    labels, unclear = {}, {}
    for field, said in wanted.items():
        if len(said) > 1:
            unclear[field] = tuple(said)
        elif said and said[0] != known[field]:
            labels[field] = said[0]
        elif not said and not known[field]:
            labels[field] = _given_label(shapes, field)
    missing = tuple(field for field in known if field not in wanted)
    return Relabelled(labels, missing, unclear, tuple(new))


def _given_label(shapes: Sequence[LabelledShape], field: int) -> str:
    """The label that a field without one was exported with, which nobody has objected to."""
    return next(shape.label for shape in shapes if shape.group == field)
