"""Features of a field: what the forest sees of it, in a fixed order, each with a name.

    colour    hue_cos hue_sin hue_length saturation_mean saturation_std brightness_mean
              brightness_std entropy richness                              (colour.py)
    bands     NAME_mean NAME_std NAME_p10 NAME_p50 NAME_p90 for each band, its range being 0..1
    texture   local_std wide_std local_share gradient_mean edge_share      (texture.py)
    shape     area perimeter compactness elongation rectangularity         (views.py)

Only pixels whose centre lies in the field count, and of those only the ones with data in all bands.
"""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

import numpy as np

from .bands import Bands
from .colour import COLOUR_NAMES, colour_features
from .texture import TEXTURE_NAMES, texture_features
from .views import FieldShape, FieldView

FEATURES_VERSION = 1
"""To be raised with every change of what a feature of the same name means."""
COLOUR, BANDS, TEXTURE, SHAPE = "colour", "bands", "texture", "shape"
GROUPS = (COLOUR, BANDS, TEXTURE, SHAPE)
LEAST_PIXELS = 4
"""Of a field, with data; fewer tell nothing."""

_SHAPE_NAMES = ("area", "perimeter", "compactness", "elongation", "rectangularity")
_PERCENTILES = (10, 50, 90)
_STATISTICS = ("mean", "std", *(f"p{share}" for share in _PERCENTILES))


def feature_names(bands: Bands, groups: Sequence[str] = GROUPS) -> Tuple[str, ...]:
    """The features' names in their order.

    :param groups: of GROUPS, in any order.
    """
    by_group = {
        COLOUR: COLOUR_NAMES,
        BANDS: tuple(f"{name}_{statistic}" for name in bands.names for statistic in _STATISTICS),
        TEXTURE: TEXTURE_NAMES,
        SHAPE: _SHAPE_NAMES,
    }
    return tuple(name for group in GROUPS if group in groups for name in by_group[group])


def features_of(view: FieldView, bands: Bands, groups: Sequence[str] = GROUPS) -> np.ndarray:
    """(f,) float32: the features in the order of `feature_names`; NaN where one has no value.

    :param view: with at least one pixel that is its own.
    """
    own = view.own
    pixels = view.values[:, own]
    found: Dict[str, float] = {}
    if COLOUR in groups:
        found.update(colour_features(bands.coloured(pixels)))
    if BANDS in groups:
        found.update(_band_features(bands.scaled(pixels), bands))
    if TEXTURE in groups:
        found.update(texture_features(bands.coloured(view.values).mean(axis=0), own))
    if SHAPE in groups:
        found.update(_shape_features(view.shape))
    values = np.array([found[name] for name in feature_names(bands, groups)], np.float32)
    return np.where(np.isfinite(values), values, np.float32(np.nan))


def _band_features(pixels: np.ndarray, bands: Bands) -> Dict[str, float]:
    """:param pixels: (b, n) float."""
    table: List[np.ndarray] = [pixels.mean(axis=1), pixels.std(axis=1)]
    table.extend(np.percentile(pixels, _PERCENTILES, axis=1))
    return {
        f"{name}_{statistic}": float(values[place])
        for statistic, values in zip(_STATISTICS, table)
        for place, name in enumerate(bands.names)
    }


def _shape_features(shape: FieldShape) -> Dict[str, float]:
    return {name: float(getattr(shape, name)) for name in _SHAPE_NAMES}
