"""Prompt layers: points, or polygons whose boxes are the prompts, as `Prompts` on a grid."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Dict, Hashable, List, Optional, Tuple

import numpy as np
from qgis.core import (
    QgsFeature,
    QgsFeatureSource,
    QgsGeometry,
    QgsProcessingContext,
    QgsWkbTypes,
)

from ..core.fields.segmenter import Prompts
from ..core.imagery.grid import Grid
from .compat import plain
from .ground import crs_of
from .sources import moved


@dataclass(frozen=True)
class PromptLayer:
    """Objects to segment, and the feature that each takes its attributes from."""

    prompts: Tuple[Prompts, ...]
    features: Tuple[QgsFeature, ...]
    """The first foreground feature of each object."""
    skipped: Tuple[Tuple[str, str], ...]
    """Feature id and reason."""


def read_prompts(
    source: QgsFeatureSource,
    grid: Grid,
    context: QgsProcessingContext,
    group_field: str = "",
    sign_field: str = "",
) -> PromptLayer:
    """Read prompts in pixel coordinates of the grid.

    :param group_field: features with one value there make one object; empty: each its own.
    :param sign_field: 1 foreground, 0 background; empty: all foreground.
    """
    features = list(source.getFeatures())
    shapes = list(moved(features, source, crs_of(grid), context))
    groups: Dict[Hashable, List[int]] = defaultdict(list)
    skipped: List[Tuple[str, str]] = []
    for k, (feature, shape) in enumerate(zip(features, shapes)):
        reason = _unusable(shape, grid)
        if reason:
            skipped.append((str(feature.id()), reason))
            continue
        value = plain(feature[group_field]) if group_field else None
        groups[("feature", k) if value is None else ("group", value)].append(k)
    prompts, chosen = [], []
    for members in groups.values():
        signs = [_sign(features[k], sign_field) for k in members]
        if not any(signs):
            skipped.extend((str(features[k].id()), "only_background") for k in members)
            continue
        prompts.append(_prompt([shapes[k] for k in members], signs, grid))
        chosen.append(features[members[signs.index(True)]])
    return PromptLayer(tuple(prompts), tuple(chosen), tuple(skipped))


def _unusable(shape: QgsGeometry, grid: Grid) -> Optional[str]:
    """Why a feature is no prompt; None where it is one."""
    if shape.isEmpty():
        return "no_geometry"
    x, y = _centre(shape, grid)
    return None if 0 <= x < grid.width and 0 <= y < grid.height else "outside_image"


def _centre(shape: QgsGeometry, grid: Grid) -> Tuple[float, float]:
    centre = shape.boundingBox().center()
    x, y = grid.to_pixel(np.float64(centre.x()), np.float64(centre.y()))
    return float(x), float(y)


def _sign(feature: QgsFeature, sign_field: str) -> bool:
    """Foreground unless the field says 0."""
    if not sign_field:
        return True
    value = plain(feature[sign_field])
    return value is None or str(value).strip() not in ("0", "0.0", "False", "false")


def _prompt(shapes: List[QgsGeometry], signs: List[bool], grid: Grid) -> Prompts:
    """Points as they are; the boxes of foreground polygons joined to one box."""
    points: List[Tuple[float, float]] = []
    foreground: List[bool] = []
    boxes: List[np.ndarray] = []
    for shape, sign in zip(shapes, signs):
        if shape.type() != QgsWkbTypes.GeometryType.PolygonGeometry:
            places = [(p.x(), p.y()) for p in shape.vertices()]
            x, y = grid.to_pixel(*np.array(places, dtype=np.float64).T)
            points.extend(zip(x.tolist(), y.tolist()))
            foreground.extend([sign] * len(places))
        elif sign:
            boxes.append(_box(shape, grid))
        else:
            points.append(_centre(shape, grid))
            foreground.append(False)
    box = None
    if boxes:
        table = np.array(boxes)
        box = np.concatenate([table[:, :2].min(axis=0), table[:, 2:].max(axis=0)])
    return Prompts(
        np.array(points, dtype=np.float64).reshape(-1, 2), np.array(foreground, dtype=bool), box
    )


def _box(shape: QgsGeometry, grid: Grid) -> np.ndarray:
    """x minimum, y minimum, x maximum, y maximum in pixels, cut at the grid."""
    box = shape.boundingBox()
    x, y = grid.to_pixel(
        np.array([box.xMinimum(), box.xMaximum(), box.xMinimum(), box.xMaximum()]),
        np.array([box.yMinimum(), box.yMinimum(), box.yMaximum(), box.yMaximum()]),
    )
    low = max(0.0, float(x.min())), max(0.0, float(y.min()))
    high = min(float(grid.width), float(x.max())), min(float(grid.height), float(y.max()))
    return np.array([*low, *high])
