"""The JSON files of LabelMe and X-AnyLabeling: outlines with a label each, beside a picture.

Neither program knows holes, and whoever reads a hole as a shape of its own takes it for a field. A
field with holes is therefore one closed line that runs into each hole and back the same way: filled
by any rule, it is the field without its holes. Parts of one field share its number, `group_id`.
Both programs keep what they do not know, so a file also says where its picture lies on the map.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ...errors import ParameterError
from ...imagery.grid import Transform

VERSION = "2.3.0"
"""Of X-AnyLabeling, whose files have had this form since."""
_OURS, _GIVEN = "furrow", "given_label"
_DECIMALS = 3
_KINDS = ("polygon", "rectangle", "rotation", None)


@dataclass(frozen=True)
class LabelledShape:
    """One closed line with a label."""

    label: str
    points: np.ndarray
    """(k, 2) float, x and y in pixels, the corner of the picture being 0, 0; not closed."""
    group: Optional[int] = None
    """Number of its field; None where a person drew it."""
    given: Optional[str] = None
    """The label that it was exported with; None where it was not."""


@dataclass(frozen=True)
class Placement:
    """Where a picture lies on the map."""

    transform: Transform
    crs: str
    """Well-known text; empty where there is none."""


@dataclass(frozen=True)
class LabelledPicture:
    """A picture and the shapes on it."""

    picture: str
    """File name, relative to the JSON."""
    height: int
    width: int
    shapes: Tuple[LabelledShape, ...]
    placement: Optional[Placement] = None


def to_json(picture: LabelledPicture) -> str:
    """The file's text."""
    content: Dict[str, Any] = {
        "version": VERSION,
        "flags": {},
        "shapes": [_shape(shape) for shape in picture.shapes],
        "imagePath": picture.picture,
        "imageData": None,
        "imageHeight": picture.height,
        "imageWidth": picture.width,
    }
    if picture.placement is not None:
        content[_OURS] = {
            "transform": list(picture.placement.transform),
            "crs": picture.placement.crs,
        }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def read_json(path: Path) -> LabelledPicture:
    """Read a file; shapes that enclose nothing (points, lines) are passed over.

    :raises ParameterError: it is no such file.
    """
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        shapes = [_read_shape(shape) for shape in said["shapes"]]
        return LabelledPicture(
            str(said["imagePath"] or ""),
            int(said.get("imageHeight") or 0),
            int(said.get("imageWidth") or 0),
            tuple(shape for shape in shapes if shape is not None),
            _placement(said.get(_OURS)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ParameterError(
            f"LABELS: {path} cannot be read as a file of LabelMe or X-AnyLabeling ({error}); save "
            "it there again or take it away."
        ) from error


def keyhole(rings: Sequence[np.ndarray]) -> np.ndarray:
    """(k, 2) one line around a polygon with holes; not closed.

    :param rings: (n, 2) each, closed or not; the exterior first.
    """
    line = _turned(_opened(rings[0]), anticlockwise=True)
    for hole in rings[1:]:
        inner = _turned(_opened(hole), anticlockwise=False)
        distance = ((line[:, None] - inner[None]) ** 2).sum(axis=2)
        here, there = np.unravel_index(int(distance.argmin()), distance.shape)
        around = np.concatenate([inner[there:], inner[: there + 1]])
        line = np.concatenate([line[: here + 1], around, line[here:]])
    return line


def _shape(shape: LabelledShape) -> Dict[str, Any]:
    return {
        "label": shape.label,
        "points": np.round(shape.points, _DECIMALS).tolist(),
        "group_id": shape.group,
        "shape_type": "polygon",
        "flags": {},
        _GIVEN: shape.given,
    }


def _read_shape(said: Mapping[str, Any]) -> Optional[LabelledShape]:
    """None where it encloses nothing."""
    if said.get("shape_type") not in _KINDS:
        return None
    points = np.array(said["points"], np.float64).reshape(-1, 2)
    if said.get("shape_type") == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        points = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    if len(points) < 3 or not np.isfinite(points).all():
        return None
    group, given = said.get("group_id"), said.get(_GIVEN)
    return LabelledShape(
        str(said["label"]),
        points,
        None if group is None else int(group),
        None if given is None else str(given),
    )


def _placement(said: Optional[Mapping[str, Any]]) -> Optional[Placement]:
    if not said:
        return None
    transform: List[float] = [float(value) for value in said["transform"]]
    if len(transform) != 6:
        raise ValueError("its transform has not six numbers")
    return Placement(tuple(transform), str(said.get("crs") or ""))


def _opened(ring: np.ndarray) -> np.ndarray:
    return ring[:-1] if len(ring) > 1 and (ring[0] == ring[-1]).all() else ring


def _turned(ring: np.ndarray, anticlockwise: bool) -> np.ndarray:
    """The ring run in one way, in the sense of y upwards."""
    x, y = ring.T
    area = float(x @ np.roll(y, -1) - np.roll(x, -1) @ y)
    return ring if (area > 0) == anticlockwise else ring[::-1]
