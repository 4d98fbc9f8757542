"""The made-up scene keeps its promises: exact truth, plain difficulty, one seed."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, ogr
from scipy import ndimage

from furrow.core.errors import ParameterError
from furrow.core.simulation.landscape import Cover, lay_out
from furrow.core.simulation.phenology import (
    CROPS,
    field_look,
    field_ndvi,
)
from furrow.core.simulation.scene import Scene, SceneSpec, simulate
from furrow.core.simulation.weather import SCL_BARE, SCL_VEGETATION, Sky

ROOT = Path(__file__).resolve().parents[3]
SMALL = SceneSpec(size=160, dates=12, references=24, seed=5)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return simulate(SMALL)


@pytest.fixture(scope="module")
def images(scene) -> np.ndarray:
    return np.stack([image for _, image in scene.iter_images()])


def ndvi(image: np.ndarray) -> np.ndarray:
    red, nir = image[2].astype(float), image[3].astype(float)
    return (nir - red) / np.maximum(nir + red, 1)


def day_of_year(scene: Scene, index: int) -> int:
    return scene.dates[index].timetuple().tm_yday


def distance_inside(mask: np.ndarray) -> np.ndarray:
    return ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]


def test_full_size_has_many_fields_of_all_kinds():
    land = lay_out(512, np.random.default_rng(11))
    assert land.field_count >= 60
    assert len(land.pivots) >= 2
    assert set(np.unique(land.cover)) >= {
        Cover.FIELD,
        Cover.ROAD,
        Cover.TREES,
        Cover.HEDGE,
        Cover.GARDEN,
        Cover.WATER,
    }


@pytest.mark.parametrize("seed", range(6))
def test_labels_partition_the_scene(seed):
    land = lay_out(128, np.random.default_rng(seed))
    assert np.array_equal(land.fields > 0, land.cover == Cover.FIELD)
    assert Cover.OPEN not in land.cover
    assert np.array_equal(np.unique(land.fields), np.arange(land.field_count + 1))
    for field in range(1, land.field_count + 1):
        assert ndimage.label(land.fields == field)[1] == 1


def test_pivots_are_round():
    land = lay_out(512, np.random.default_rng(11))
    for field in land.pivots:
        member = land.fields == field
        radius = distance_inside(member).max()
        assert member.sum() == pytest.approx(np.pi * radius**2, rel=0.12)


def test_same_seed_gives_the_same_bits_and_another_does_not(scene, images):
    again = simulate(SMALL)
    assert again.references == scene.references
    assert np.array_equal(again.landscape.fields, scene.landscape.fields)
    # Dates have their own random streams: drawing one alone changes nothing.
    assert np.array_equal(again.image(7), images[7])
    other = simulate(SceneSpec(size=160, dates=12, references=24, seed=6))
    assert not np.array_equal(other.landscape.fields, scene.landscape.fields)


def test_dates_are_irregular_and_ordered(scene):
    gaps = np.diff([day.toordinal() for day in scene.dates])
    assert gaps.min() > 0
    assert len(set(gaps)) > 2


@pytest.mark.parametrize("dates", [2, 46])
def test_extreme_numbers_of_dates(dates):
    days = simulate(SceneSpec(size=96, dates=dates, references=4)).dates
    assert len(set(days)) == dates


@pytest.mark.parametrize("wrong", [{"size": 64}, {"dates": 1}, {"references": 1}])
def test_impossible_scenes_are_refused(wrong):
    with pytest.raises(ParameterError):
        SceneSpec(**wrong)


def test_every_crop_grows(scene):
    crops = scene.traits.crop[1:]
    assert set(crops) == {crop.code for crop in CROPS}
    assert np.array_equal(scene.crop_map > 0, scene.landscape.fields > 0)


def test_reflectance_gives_back_the_wanted_ndvi(scene):
    for day in (80, 125, 170, 230, 290):
        look = field_look(scene.traits, day)
        mixed = look.ground + look.green[:, None] * (look.leaf - look.ground)
        got = (mixed[:, 3] - mixed[:, 2]) / (mixed[:, 3] + mixed[:, 2])
        wanted = field_ndvi(scene.traits, day)
        assert np.abs(got - wanted)[1:].max() < 0.02


def test_crops_overlap_in_time_yet_differ_over_the_season(scene):
    days = np.arange(75, 305, 5)
    curves = np.stack([field_ndvi(scene.traits, day)[1:] for day in days])
    crops = scene.traits.crop[1:]
    means = np.stack([curves[:, crops == crop.code].mean(axis=1) for crop in CROPS])
    for first in range(len(CROPS)):
        for second in range(first):
            apart = np.abs(means[first] - means[second])
            assert apart.mean() > 0.05
            assert apart.min() < 0.05


def test_clear_pixels_follow_the_curve_of_their_field(scene, images):
    fields = scene.landscape.fields
    for index, image in enumerate(images):
        wanted = field_ndvi(scene.traits, day_of_year(scene, index))
        clear = scene.weather(index).clear & (fields > 0)
        for field in range(1, scene.landscape.field_count + 1):
            inside = clear & (distance_inside(fields == field) > 2)
            if inside.sum() < 30:
                continue
            values = ndvi(image)[inside]
            assert values.mean() == pytest.approx(wanted[field], abs=0.06)
            assert values.std() < 0.11


def test_fields_vary_inside_about_as_much_as_real_ones(scene, images):
    fields = scene.landscape.fields
    deviations = []
    for index, image in enumerate(images):
        if scene.skies[index] != Sky():
            continue
        for field in range(1, scene.landscape.field_count + 1):
            inside = distance_inside(fields == field) > 2
            if inside.sum() >= 30:
                deviations.append(ndvi(image)[inside].std())
    assert 0.015 < np.median(deviations) < 0.05


def test_scl_flags_clouds_shadows_and_gaps(scene, images):
    cloudy = 0
    for index, image in enumerate(images):
        weather, scl = scene.weather(index), image[4]
        assert np.isin(scl[weather.cloud > 0.1], (0, 8, 9)).all()
        assert not np.isin(scl[weather.shade > 0.15], (SCL_VEGETATION, SCL_BARE)).any()
        # Flags come on a 20 m grid and reach at most one pixel beyond what they flag.
        near = ndimage.maximum_filter(weather.cloud + weather.shade + weather.cirrus, 3)
        assert (near[np.isin(scl, (3, 8, 9, 10))] > 0.02).all()
        cloudy += np.isin(scl, (8, 9)).mean() > 0.3
    assert cloudy >= 1


def test_one_date_has_a_wedge_without_data(scene, images):
    share = (images == 0).all(axis=1).mean(axis=(1, 2))
    assert (share > 0.02).sum() == 1
    assert (share > 0).sum() == 1
    gap = images[share.argmax(), 4] == 0
    assert (images[share.argmax()][:, gap] == 0).all()
    assert (images[share.argmax()][:, ~gap] > 0).all()


def test_half_of_the_dates_are_quite_clear(scene):
    assert sum(sky == Sky() for sky in scene.skies) >= len(scene.skies) // 2 - 1


def test_exactly_two_labels_are_wrong(scene):
    wrong = [r for r in scene.references if r.wrong]
    assert len(wrong) == 2
    for reference in scene.references:
        assert reference.true_class == scene.traits.crop[reference.field_id]
        assert reference.label in {crop.code for crop in CROPS}


def test_references_lie_inside_their_fields(scene):
    fields = scene.landscape.fields
    deepest = 0
    for reference in scene.references:
        distance = distance_inside(fields == reference.field_id)
        here = distance[int(reference.y), int(reference.x)]
        assert here >= 2
        deepest += here == distance.max()
    assert deepest < len(scene.references) / 4


def test_references_spread_over_crops_and_fields():
    scene = simulate(SceneSpec(size=320, dates=2, seed=3))
    counts = np.bincount([r.true_class for r in scene.references])[1:]
    assert counts.tolist() == [10, 10, 10, 10]
    assert len({r.field_id for r in scene.references}) >= 36


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    sys.path.insert(0, str(ROOT / "demo"))
    try:
        import make_scene
    finally:
        sys.path.remove(str(ROOT / "demo"))
    spec = SceneSpec(size=128, dates=4, references=12)
    return make_scene.write_scene(tmp_path_factory.mktemp("scene"), spec)


def test_written_series_is_what_a_series_must_be(written):
    files = sorted(written.series.glob("S2_*.tif"))
    assert [f.stem for f in files] == [f"S2_{day:%Y%m%d}" for day in written.scene.dates]
    data = gdal.Open(str(files[0]))
    bands = [data.GetRasterBand(n) for n in range(1, 6)]
    assert [b.GetDescription() for b in bands] == ["B02", "B03", "B04", "B08", "SCL"]
    assert [b.GetScale() for b in bands] == [0.0001] * 4 + [None]
    assert all(b.GetNoDataValue() == 0 for b in bands)
    assert np.array_equal(data.ReadAsArray(), written.scene.image(0))


def test_written_truth_agrees_with_itself(written):
    source = ogr.Open(str(written.fields))
    rows = {f["field_id"]: (f["class_code"], f["area_ha"]) for f in source.GetLayer()}
    pixels = np.bincount(written.scene.landscape.fields.ravel())
    assert len(rows) == source.GetLayer().GetFeatureCount() == len(pixels) - 1
    for field, (code, area) in rows.items():
        assert code == written.scene.traits.crop[field]
        assert area == pytest.approx(pixels[field] / 100)
    crops = gdal.Open(str(written.crops))
    assert np.array_equal(crops.ReadAsArray(), written.scene.crop_map)


def test_written_references_do_not_betray_the_wrong_ones(written):
    source = ogr.Open(str(written.references))
    layer = source.GetLayer("reference_points")
    names = [layer.GetLayerDefn().GetFieldDefn(i).GetName() for i in range(3)]
    assert names == ["ref_id", "crop", "class_code"]
    assert layer.GetLayerDefn().GetFieldCount() == 3
    labels = {f["ref_id"]: f["class_code"] for f in layer}
    with written.reference_truth.open() as file:
        truth = list(csv.DictReader(file))
    assert {int(r["ref_id"]): int(r["label"]) for r in truth} == labels
    assert sum(int(r["wrong"]) for r in truth) == 2
    assert all((r["label"] != r["true_class"]) == (r["wrong"] == "1") for r in truth)
