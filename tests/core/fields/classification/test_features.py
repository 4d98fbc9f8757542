"""What the features of a field say, on fields that are known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from furrow.core.errors import BandError
from furrow.core.fields.classification.bands import Bands, band_names, bands_of, with_ranges
from furrow.core.fields.classification.colour import colour_features, hue, mean_direction
from furrow.core.fields.classification.features import (
    GROUPS,
    feature_names,
    features_of,
)
from furrow.core.fields.classification.texture import texture_features
from furrow.core.fields.classification.views import FieldShape, FieldView, shape_of

SHAPE = FieldShape(10_000.0, 400.0, 0.785, 1.0, 1.0)
RGB = Bands(("red", "green", "blue"), (1, 2, 3), (0, 1, 2), (0.0,) * 3, (255.0,) * 3)


def pure(red, green, blue, count=100):
    return np.tile(np.array([[red], [green], [blue]], np.float32), (1, count))


def named(values, bands=RGB, groups=GROUPS):
    return dict(zip(feature_names(bands, groups), values.tolist()))


def test_hues_of_the_pure_colours():
    colours = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1]], float).T
    assert np.rad2deg(hue(colours)) == pytest.approx([0, 60, 120, 180, 240, 300])
    assert hue(pure(0.4, 0.4, 0.4)).max() == 0


def test_hue_is_averaged_as_an_angle():
    """Reds on both sides of 0 degrees are red, not cyan as a plain mean of 175 would have it."""
    reds = np.concatenate([pure(1, 0, 1 / 6), pure(1, 1 / 6, 0)], axis=1)
    assert np.rad2deg(hue(reds)).mean() == pytest.approx(180)
    found = colour_features(reds)
    assert found["hue_cos"] == pytest.approx(np.cos(np.deg2rad(10)))
    assert found["hue_sin"] == pytest.approx(0, abs=1e-6)
    assert found["hue_length"] == pytest.approx(np.cos(np.deg2rad(10)))


def test_opposite_hues_cancel_out_and_grey_has_none():
    both = np.concatenate([pure(1, 0, 0), pure(0, 1, 1)], axis=1)
    assert colour_features(both)["hue_length"] == pytest.approx(0, abs=1e-7)
    assert colour_features(pure(0.5, 0.5, 0.5))["hue_length"] == 0
    assert mean_direction(np.zeros(3), np.zeros(3)) == 0


def test_entropy_and_richness():
    one = colour_features(pure(0.2, 0.3, 0.4))
    assert one["entropy"] == 0 and one["richness"] == pytest.approx(1 / 256)
    ramp = np.tile((np.arange(256) + 0.5) / 256, (3, 1))
    every = colour_features(ramp)
    assert every["entropy"] == pytest.approx(1) and every["richness"] == 1


def test_shape_of_a_turned_rectangle_with_a_hole():
    turn = np.deg2rad(33.3)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    ring = np.array([[0, 0], [200, 0], [200, 50], [0, 50], [0, 0]], float) @ matrix + 4e5
    hole = np.array([[10, 10], [10, 20], [20, 20], [20, 10], [10, 10]], float) @ matrix + 4e5
    shape = shape_of([[ring, hole]], 9900.0, 540.0)
    assert shape.elongation == pytest.approx(4, rel=1e-2)
    assert shape.rectangularity == pytest.approx(0.99, rel=1e-2)
    assert shape.compactness == pytest.approx(4 * np.pi * 9900 / 540**2)


def test_only_the_fields_own_pixels_count():
    rng = np.random.default_rng(0)
    inside = rng.integers(80, 120, (3, 20, 20)).astype(np.float32)
    mask = np.zeros((20, 20), bool)
    mask[4:15, 5:17] = True
    first = features_of(FieldView(np.where(mask, inside, 0), mask, SHAPE), RGB)
    second = features_of(FieldView(np.where(mask, inside, 255), mask, SHAPE), RGB)
    assert np.array_equal(first, second)


def test_missing_pixels_do_not_count():
    rng = np.random.default_rng(0)
    values = rng.integers(80, 120, (3, 20, 20)).astype(np.float32)
    mask = np.ones((20, 20), bool)
    values[1, :6] = np.nan
    view = FieldView(values, mask, SHAPE)
    assert view.own.sum() == 14 * 20
    cut = FieldView(values[:, 6:], mask[6:], SHAPE)
    assert named(features_of(view, RGB)) == pytest.approx(named(features_of(cut, RGB)))


def test_texture_tells_smooth_from_rough_and_counts_edges():
    own = np.ones((30, 30), bool)
    smooth = np.tile(np.linspace(0.2, 0.8, 30), (30, 1))
    stripes = np.tile(np.where(np.arange(30) % 6 < 3, 0.2, 0.8), (30, 1))
    a, b = texture_features(smooth, own), texture_features(stripes, own)
    assert a["edge_share"] == 0 and a["local_share"] < 0.2
    assert b["edge_share"] == pytest.approx(2 / 3, abs=0.05) and b["local_std"] > a["local_std"]


def test_a_field_too_narrow_for_texture_has_none():
    own = np.zeros((3, 30), bool)
    own[1] = True
    found = texture_features(np.ones((3, 30)) * 0.5, own)
    assert np.isnan(found["gradient_mean"]) and np.isnan(found["edge_share"])
    view = FieldView(np.full((3, 3, 30), 99, np.float32), own, SHAPE)
    values = named(features_of(view, RGB))
    assert np.isnan(values["edge_share"]) and values["red_mean"] == pytest.approx(99 / 255)


def test_groups_choose_features():
    view = FieldView(np.full((3, 9, 9), 99, np.float32), np.ones((9, 9), bool), SHAPE)
    assert len(features_of(view, RGB)) == len(feature_names(RGB)) == 9 + 15 + 5 + 5
    assert feature_names(RGB, ("shape",)) == (
        "area", "perimeter", "compactness", "elongation", "rectangularity",
    )  # fmt: skip
    assert list(features_of(view, RGB, ("shape",))) == pytest.approx([1e4, 400, 0.785, 1, 1])


def test_band_names_and_their_roles():
    assert band_names(["B04", "red", "", "NDVI"]) == ("red", "band_2", "band_3", "ndvi")
    assert bands_of(["B02", "B03", "B04"]).colour == (2, 1, 0)
    assert bands_of(["", "", ""], (3, 2, 1)).colour == (2, 1, 0)
    assert bands_of([""]).colour == (0, 0, 0)
    with pytest.raises(BandError, match="3 band"):
        bands_of(["", "", ""], (4, 2, 1))


def test_bands_are_found_by_name_else_by_number():
    trained = bands_of(["B02", "B03", "B04", "B08"])
    assert trained.in_picture(["B08", "B04", "B03", "B02"], "x") == (4, 3, 2, 1)
    assert trained.in_picture(["", "", "", ""], "x") == (1, 2, 3, 4)
    with pytest.raises(BandError, match="no band nir"):
        trained.in_picture(["B02", "B03", "B04", "B05"], "x")
    with pytest.raises(BandError, match="3 band"):
        trained.in_picture(["", "", ""], "x")


def test_ranges_of_bands():
    bands = bands_of(["", "", ""])
    wide = with_ranges(bands, np.tile(np.arange(1001.0), (3, 1)), False)
    assert wide.low == pytest.approx((10,) * 3) and wide.high == pytest.approx((990,) * 3)
    even = with_ranges(bands, np.full((3, 9), 7.0), False)
    assert np.isfinite(even.scaled(np.full((3, 2), 7.0))).all()
    assert Bands.from_json(wide.as_json()) == wide
