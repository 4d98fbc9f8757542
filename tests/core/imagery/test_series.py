"""A folder of images as a series: what is used, what is set aside and why, what values mean."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from osgeo import gdal, osr

from furrow.core.errors import BandError, ParameterError, SeriesError
from furrow.core.imagery.grid import Window
from furrow.core.imagery.indices import parse_index
from furrow.core.imagery.quality import parse_invalid_codes
from furrow.core.imagery.series import Series, SeriesOptions, open_series
from furrow.core.samples.profiles import read_profiles
from furrow.tests.core.series_files import (
    TRANSFORM,
    UTM33,
    WGS84,
    day,
    ndvi_bands,
    shorten,
    wkt,
    write_dates,
    write_image,
)

NDVI = parse_index("NDVI")
ROLES = sorted(NDVI.roles)
SHAPE = (40, 50)
FLAT = np.full(SHAPE, 0.5)


def reasons(series: Series) -> dict[str, str]:
    return {item.item: item.reason for item in series.skipped}


def read(series: Series, position: int = 0, roles: tuple = ("red", "nir")):
    """Bands and validity of one whole image."""
    image = series.images[position]
    raster = series.open(image)
    try:
        return series.read(raster, image, roles, series.grid.whole)
    finally:
        raster.close()


def all_profiles(series: Series):
    rows, cols = np.indices((series.grid.height, series.grid.width)).reshape(2, -1)
    return read_profiles(series, rows, cols, NDVI)


def one_sentence(error: Exception) -> bool:
    text = str(error)
    return text.endswith(".") and "\n" not in text and len(text) < 400


# --- which files ------------------------------------------------------------------------------


def test_dates_from_names_and_tags_in_order(tmp_path):
    write_image(tmp_path / "c_2022-05-01.tif", ndvi_bands(FLAT))
    write_image(tmp_path / "d_2022074.TIF", ndvi_bands(FLAT))
    write_image(tmp_path / "a.tif", ndvi_bands(FLAT), tags={"TIFFTAG_DATETIME": "2022:04:02 10:00"})
    write_image(tmp_path / "b.tif", ndvi_bands(FLAT), tags={"ACQUISITIONDATETIME": "2022-04-09T1"})
    series = open_series(tmp_path, ROLES)
    assert [image.name for image in series.images] == [
        "d_2022074.TIF", "a.tif", "b.tif", "c_2022-05-01.tif",
    ]  # fmt: skip
    assert [f"{date:%m%d}" for date in series.dates] == ["0315", "0402", "0409", "0501"]
    assert series.skipped == ()


def test_a_date_in_the_name_goes_before_one_in_the_tags(tmp_path):
    write_image(tmp_path / "20220301.tif", ndvi_bands(FLAT), tags={"DATE": "2021-04-02"})
    assert open_series(tmp_path, ROLES).dates[0].year == 2022


def test_files_that_cannot_be_used_are_set_aside_with_a_reason(tmp_path):
    write_dates(tmp_path, np.stack([FLAT, FLAT]), [10, 20])
    write_image(tmp_path / "mosaic.tif", ndvi_bands(FLAT))
    (tmp_path / "20220301.tif").touch()
    write_image(tmp_path / "20220302.tif", ndvi_bands(FLAT))
    shorten(tmp_path / "20220302.tif", 0.001)
    (tmp_path / "20220303.tif").write_text("not a raster")
    write_image(tmp_path / "20220304.tif", {"B02": FLAT, "B04": FLAT})
    (tmp_path / "notes_20220305.txt").write_text("left alone")
    write_image(tmp_path / "deeper" / "20220306.tif", ndvi_bands(FLAT))
    series = open_series(tmp_path, ROLES)
    assert series.dates == (day(10), day(20))
    found = reasons(series)
    assert sorted(found) == [*(f"2022030{k}.tif" for k in (1, 2, 3, 4)), "mosaic.tif"]
    assert found["mosaic.tif"].startswith("no date")
    assert "0 bytes" in found["20220301.tif"]
    assert found["20220302.tif"].startswith("Cannot read")
    assert found["20220303.tif"].startswith("Cannot read")
    assert found["20220304.tif"] == "no band for nir; it has 2 bands: B02, B04"


def test_reasons_do_not_depend_on_gdals_way_to_report_errors(tmp_path):
    write_dates(tmp_path, FLAT[None], [10])
    (tmp_path / "20220303.tif").write_text("not a raster")
    before = gdal.GetUseExceptions()
    gdal.UseExceptions()
    try:
        series = open_series(tmp_path, ROLES)
    finally:
        if not before:
            gdal.DontUseExceptions()
    assert reasons(series)["20220303.tif"].startswith("Cannot read")


def test_no_folder(tmp_path):
    with pytest.raises(SeriesError, match="not a folder") as caught:
        open_series(tmp_path / "none", ROLES)
    assert one_sentence(caught.value)


def test_no_image(tmp_path):
    (tmp_path / "20220301.png").touch()
    with pytest.raises(SeriesError, match="no GeoTIFF") as caught:
        open_series(tmp_path, ROLES)
    assert one_sentence(caught.value)


def test_no_date_at_all(tmp_path):
    write_image(tmp_path / "a.tif", ndvi_bands(FLAT))
    write_image(tmp_path / "b.tif", ndvi_bands(FLAT))
    with pytest.raises(SeriesError, match="none of the 2 .*no date") as caught:
        open_series(tmp_path, ROLES)
    assert one_sentence(caught.value)


def test_only_broken_files(tmp_path):
    (tmp_path / "20220301.tif").touch()
    with pytest.raises(SeriesError, match="0 bytes") as caught:
        open_series(tmp_path, ROLES)
    assert one_sentence(caught.value)


def test_missing_bands_ask_for_their_numbers(tmp_path):
    write_image(tmp_path / "20220301.tif", ndvi_bands(FLAT), named=False)
    with pytest.raises(BandError, match="no band for nir, red; it has 3 bands without") as caught:
        open_series(tmp_path, ROLES)
    assert "BANDS" in str(caught.value)
    assert one_sentence(caught.value)


def test_one_date_is_too_few_where_two_are_needed(tmp_path):
    write_dates(tmp_path, FLAT[None], [10])
    shutil.copy(tmp_path / "S2_20220111.tif", tmp_path / "S2_20220111_b.tif")
    (tmp_path / "20220301.tif").touch()
    with pytest.raises(SeriesError, match="1 usable dated image.*at least 2.*0 bytes") as caught:
        open_series(tmp_path, ROLES, at_least=2)
    assert one_sentence(caught.value)
    assert len(open_series(tmp_path, ROLES, at_least=1).images) == 2


def test_bands_by_number(tmp_path):
    write_image(tmp_path / "20220301.tif", ndvi_bands(FLAT), named=False)
    options = SeriesOptions(bands={"red": 2, "nir": 3})
    series = open_series(tmp_path, ROLES, options)
    bands, valid = read(series)
    assert valid.all()
    assert np.allclose(NDVI(bands), 0.5, atol=1e-3)


@pytest.mark.parametrize("bands", [{"red": 2, "nir": 4}, {"red": 2, "nir": 3, "qa": 9}])
def test_band_numbers_that_a_file_lacks(tmp_path, bands):
    write_image(tmp_path / "20220301.tif", ndvi_bands(FLAT), named=False)
    with pytest.raises(SeriesError, match="asked for, but it has 3"):
        open_series(tmp_path, ROLES, SeriesOptions(bands=bands))


# --- what values mean -------------------------------------------------------------------------

STORED = {"B04": np.full(SHAPE, 1500), "B08": np.full(SHAPE, 4000)}


def reflectance(folder, **options) -> tuple[float, float]:
    """Red and near infrared of the first pixel."""
    series = open_series(folder, ROLES, SeriesOptions(**options))
    bands, valid = read(series)
    assert valid.all()
    return float(bands["red"][0, 0]), float(bands["nir"][0, 0])


def test_integers_are_sentinels_digital_numbers(tmp_path):
    write_image(tmp_path / "20220301.tif", STORED)
    assert reflectance(tmp_path) == pytest.approx((0.15, 0.4))


def test_floats_are_reflectances(tmp_path):
    stored = {name: values / 1e4 for name, values in STORED.items()}
    write_image(tmp_path / "20220301.tif", stored, dtype="float32")
    assert reflectance(tmp_path) == pytest.approx((0.15, 0.4))


def test_scale_and_offset_from_the_file(tmp_path):
    write_image(tmp_path / "20220301.tif", STORED, scale=0.0000275, offset=-0.2)
    assert reflectance(tmp_path) == pytest.approx((1500 * 2.75e-5 - 0.2, 4000 * 2.75e-5 - 0.2))


def test_scale_and_offset_by_parameter_go_before_the_files(tmp_path):
    write_image(tmp_path / "20220301.tif", STORED, scale=0.0000275, offset=-0.2)
    assert reflectance(tmp_path, scale=2e-4, offset=0.01) == pytest.approx((0.31, 0.81))
    assert reflectance(tmp_path, scale=2e-4) == pytest.approx((0.3 - 0.2, 0.8 - 0.2))


def test_offset_in_reflectance_or_digital_numbers(tmp_path):
    write_image(tmp_path / "20220301.tif", STORED)
    assert reflectance(tmp_path, offset=-0.1) == pytest.approx((0.05, 0.3))
    assert reflectance(tmp_path, offset=-1000) == pytest.approx((0.05, 0.3))


@pytest.mark.parametrize(
    ("name", "tags", "red"),
    [
        ("S2A_MSIL2A_20220301T101321_N0400_R022_T32TQR.tif", {}, 0.05),
        ("S2A_MSIL2A_20220301T101321_N0510_R022_T32TQR.tif", {}, 0.05),
        ("S2A_MSIL2A_20220301T101321_N0301_R022_T32TQR.tif", {}, 0.15),
        ("20220301.tif", {"PROCESSING_BASELINE": "04.00"}, 0.05),
        ("20220301.tif", {"PROCESSING_BASELINE": "05.11"}, 0.05),
        ("20220301.tif", {"PROCESSING_BASELINE": "03.01"}, 0.15),
        ("20220301.tif", {"BOA_ADD_OFFSET": "-1000"}, 0.05),
        ("20220301_N0400_.tif", {"BOA_ADD_OFFSET": "0"}, 0.15),
        ("20220301_N0400_.tif", {"EARTHSEARCH:BOA_OFFSET_APPLIED": "True"}, 0.15),
        ("20220301_N0400_.tif", {"BOA_OFFSET_APPLIED": "true"}, 0.15),
        ("20220301_N0400_.tif", {"EARTHSEARCH:BOA_OFFSET_APPLIED": "False"}, 0.05),
        ("20220301.tif", {}, 0.15),
    ],
)
def test_processing_baseline(tmp_path, name, tags, red):
    write_image(tmp_path / name, STORED, tags=tags)
    assert reflectance(tmp_path)[0] == pytest.approx(red)


def test_processing_baseline_gives_way_to_what_the_file_or_the_user_says(tmp_path):
    name = "S2A_MSIL2A_20220301T101321_N0400_R022.tif"
    write_image(tmp_path / name, STORED, scale=1e-4, offset=-0.05)
    assert reflectance(tmp_path)[0] == pytest.approx(0.1)
    assert reflectance(tmp_path, offset=0.0)[0] == pytest.approx(0.15)


def test_images_of_old_and_new_baselines_agree(tmp_path):
    write_image(tmp_path / "S2A_20220101_N0301_.tif", STORED)
    shifted = {name: values + 1000 for name, values in STORED.items()}
    write_image(tmp_path / "S2A_20220301_N0400_.tif", shifted)
    series = open_series(tmp_path, ROLES)
    assert np.allclose(read(series, 0)[0]["nir"], read(series, 1)[0]["nir"], atol=1e-6)


# --- which pixels count -----------------------------------------------------------------------


def test_no_data_and_zero_are_invalid(tmp_path):
    bands = {name: values.copy() for name, values in STORED.items()}
    bands["B04"][0, 0] = 0
    bands["B08"][0, 1] = 0
    bands["B08"][0, 2] = 65535
    write_image(tmp_path / "20220301.tif", bands, nodata=65535)
    valid = read(open_series(tmp_path, ROLES))[1]
    assert np.argwhere(~valid).tolist() == [[0, 0], [0, 1], [0, 2]]


def test_nan_and_infinity_are_invalid(tmp_path):
    bands = {name: values / 1e4 for name, values in STORED.items()}
    bands["B04"][2, 3] = np.nan
    bands["B08"][2, 4] = np.inf
    bands["B08"][2, 5] = -9999
    write_image(tmp_path / "20220301.tif", bands, dtype="float32", nodata=-9999)
    valid = read(open_series(tmp_path, ROLES))[1]
    assert np.argwhere(~valid).tolist() == [[2, 3], [2, 4], [2, 5]]


def test_quality_codes(tmp_path):
    codes = np.full(SHAPE, 4)
    codes[0, :12] = np.arange(12)
    write_image(tmp_path / "20220301.tif", ndvi_bands(FLAT, codes))
    default = open_series(tmp_path, ROLES)
    assert default.has_quality
    assert np.flatnonzero(~read(default)[1][0, :12]).tolist() == [0, 1, 3, 8, 9, 10, 11]
    own = open_series(tmp_path, ROLES, SeriesOptions(invalid_qa=parse_invalid_codes("2; 7")))
    assert np.flatnonzero(~read(own)[1][0, :12]).tolist() == [2, 7]
    none = open_series(tmp_path, ROLES, SeriesOptions(invalid_qa=parse_invalid_codes("")))
    assert read(none)[1].all()


def test_quality_codes_are_whole_numbers():
    assert parse_invalid_codes(" 3, 8;9,") == {3, 8, 9}
    with pytest.raises(ParameterError, match="INVALID_QA"):
        parse_invalid_codes("3,cloud")


def test_bands_without_reflectance_keep_their_values(tmp_path):
    height = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    write_image(tmp_path / "20220301.tif", {**STORED, "height": height})
    bands, valid = read(open_series(tmp_path, ROLES), roles=("height",))
    assert np.array_equal(bands["height"], height)
    assert valid.all()  # 0 is a height


# --- other grids ------------------------------------------------------------------------------

TALL = (60, 70)


def wave(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """An NDVI that varies smoothly, over map coordinates of UTM zone 32."""
    return 0.5 + 0.2 * np.sin((x - 500000) / 160) * np.cos((y - 4999500) / 130)


def map_coordinates(transform, shape):
    rows, cols = np.indices(shape)
    x0, xc, xr, y0, yc, yr = transform
    return x0 + (cols + 0.5) * xc + (rows + 0.5) * xr, y0 + (cols + 0.5) * yc + (rows + 0.5) * yr


def write_wave(path, transform=TRANSFORM, shape=TALL, epsg=32632, **how):
    x, y = map_coordinates(transform, shape)
    if epsg != 32632:
        x, y = reprojected(x, y, epsg)
    bands = ndvi_bands(wave(x, y), np.full(shape, 4))
    write_image(path, bands, transform=transform, epsg=epsg, **how)


def reprojected(x, y, epsg, to=32632):
    """Coordinates of one reference system in another, x (or longitude) first."""
    systems = []
    for code in (epsg, to):
        system = osr.SpatialReference()
        system.ImportFromWkt(wkt(code))
        system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
        systems.append(system)
    change = osr.CoordinateTransformation(*systems)
    points = change.TransformPoints(np.column_stack((x.ravel(), y.ravel())).tolist())
    return np.array(points)[:, 0].reshape(x.shape), np.array(points)[:, 1].reshape(x.shape)


def covering(epsg: int, step: float, shape) -> tuple:
    """A transform in another reference system around the grid of the series."""
    x, y = reprojected(*map_coordinates(TRANSFORM, TALL), 32632, epsg)
    return (x.min() - 3 * step, step, 0.0, y.max() + 3 * step, 0.0, -step)


@pytest.mark.parametrize(
    "other",
    [
        dict(transform=(499900.0, 10.0, 0.0, 5000100.0, 0.0, -10.0), shape=(90, 95)),
        dict(transform=(499933.0, 10.0, 0.0, 5000044.0, 0.0, -10.0), shape=(90, 95)),
        dict(transform=(499900.0, 20.0, 0.0, 5000100.0, 0.0, -20.0), shape=(50, 55)),
        dict(transform=(499900.0, 10.0, 0.0, 4999300.0, 0.0, 10.0), shape=(90, 95)),
        dict(epsg=UTM33, transform=covering(UTM33, 10.0, TALL), shape=(130, 130)),
        dict(epsg=WGS84, transform=covering(WGS84, 1e-4, TALL), shape=(90, 130)),
    ],
    ids=["larger", "between", "coarser", "south-up", "utm33", "degrees"],
)
def test_other_grids_are_warped_onto_the_common_one(tmp_path, other):
    for k in (10, 20):
        write_wave(tmp_path / f"{day(k):%Y%m%d}.tif")
    write_wave(tmp_path / "20220301.tif", **other)
    series = open_series(tmp_path, ROLES)
    assert [image.on_grid for image in series.images] == [True, True, False]
    assert (series.grid.height, series.grid.width) == TALL
    truth = wave(*map_coordinates(TRANSFORM, TALL))
    bands, valid = read(series, 2)
    assert valid.all()
    # Half a pixel off would be up to 0.006.
    error = np.abs(NDVI(bands) - truth)
    assert error.max() < 0.004


def test_beyond_a_smaller_image_there_is_no_data(tmp_path):
    for k in (10, 20):
        write_wave(tmp_path / f"{day(k):%Y%m%d}.tif")
    write_wave(tmp_path / "20220301.tif", shape=(30, 40))
    bands, valid = read(open_series(tmp_path, ROLES), 2)
    assert valid[:30, :40].all()
    assert valid.sum() == 30 * 40
    truth = wave(*map_coordinates(TRANSFORM, TALL))
    assert np.abs(NDVI(bands) - truth)[valid].max() < 2e-3


@pytest.mark.parametrize("nodata", [None, 0, 65535])
def test_no_data_does_not_blend_into_its_neighbours(tmp_path, nodata):
    """Half a pixel off the grid, so every warped pixel comes from four of the file's."""
    for k in (10, 20):
        write_image(tmp_path / f"{day(k):%Y%m%d}.tif", STORED)
    gap = np.indices(SHAPE)[1] >= 25
    bands = {name: np.where(gap, nodata or 0, values) for name, values in STORED.items()}
    moved = (500005.0, 10.0, 0.0, 5000005.0, 0.0, -10.0)
    write_image(tmp_path / "20220301.tif", bands, transform=moved, nodata=nodata)
    found, valid = read(open_series(tmp_path, ROLES), 2)
    assert valid[:39, :24].all() and not valid[:, 27:].any()
    assert np.allclose(found["nir"][valid], 0.4, atol=1e-4)
    assert np.allclose(found["red"][valid], 0.15, atol=1e-4)


def test_quality_codes_are_never_averaged(tmp_path):
    for k in (10, 20):
        write_wave(tmp_path / f"{day(k):%Y%m%d}.tif")
    codes = np.where(np.indices(TALL)[1] % 2, 4, 2)  # averages would be 3: cloud shadow
    write_image(
        tmp_path / "20220301.tif",
        ndvi_bands(np.full(TALL, 0.5), codes),
        transform=(499995.0, 10.0, 0.0, 5000005.0, 0.0, -10.0),
    )
    assert read(open_series(tmp_path, ROLES), 2)[1][:58, :68].all()


def test_a_missing_reference_system_equals_any(tmp_path):
    write_wave(tmp_path / "20220101.tif")
    write_image(tmp_path / "20220110.tif", ndvi_bands(np.full(TALL, 0.4)), epsg=None)
    assert all(image.on_grid for image in open_series(tmp_path, ROLES).images)


def test_windows_of_a_warped_image_fit_together(tmp_path):
    for k in (10, 20):
        write_wave(tmp_path / f"{day(k):%Y%m%d}.tif")
    transform = covering(UTM33, 10.0, TALL)
    write_wave(tmp_path / "20220301.tif", transform, (130, 130), UTM33)
    series = open_series(tmp_path, ROLES)
    image = series.images[2]
    raster = series.open(image)
    whole = series.read(raster, image, ["nir", "red"], series.grid.whole)[0]["red"]
    part = series.read(raster, image, ["nir", "red"], Window(20, 30, 25, 15))[0]["red"]
    assert np.allclose(part, whole[20:45, 30:45], atol=3e-4)


# --- one day, several files; files that break while they are read --------------------------------


def test_two_files_of_one_day_are_one_date(tmp_path):
    cols = np.arange(SHAPE[1])
    for name, ndvi, seen in (("a", 0.3, cols < 30), ("b", 0.6, cols > 20)):
        bands = ndvi_bands(np.full(SHAPE, ndvi))
        bands = {band: np.where(seen, values, 0) for band, values in bands.items()}
        write_image(tmp_path / f"20220301_{name}.tif", bands)
    write_dates(tmp_path, FLAT[None], [10])
    series = open_series(tmp_path, ROLES)
    assert len(series.images) == 3
    profiles = all_profiles(series)
    assert profiles.dates == (day(10), day(59))
    merged = profiles.values[:, 1].reshape(SHAPE)
    assert np.allclose(merged[:, :30], 0.3, atol=1e-3)  # where both see: the first by name
    assert np.allclose(merged[:, 30:], 0.6, atol=1e-3)


MOVED = (500005.0, 10.0, 0.0, 5000005.0, 0.0, -10.0)


@pytest.mark.parametrize("exceptions", [False, True])
@pytest.mark.parametrize("transform", [TRANSFORM, MOVED], ids=["on the grid", "warped"])
def test_a_file_that_breaks_while_it_is_read_drops_only_itself(tmp_path, transform, exceptions):
    noise = np.random.default_rng(1).uniform(0.2, 0.8, (3, 120, 120))
    how = dict(options=["TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=64"])
    write_dates(tmp_path, noise, [10, 20, 30], **how)
    broken = tmp_path / "S2_20220125.tif"
    shorten(write_image(broken, ndvi_bands(noise[0]), transform=transform, **how), 0.7)
    before = gdal.GetUseExceptions()
    try:
        (gdal.UseExceptions if exceptions else gdal.DontUseExceptions)()
    except RuntimeError as error:
        pytest.skip(f"GDAL's way to tell of errors cannot be changed here: {error}")
    try:
        series = open_series(tmp_path, ROLES)
        profiles = all_profiles(series)
    finally:
        (gdal.UseExceptions if before else gdal.DontUseExceptions)()
    assert len(series.images) == 4 and series.skipped == ()
    assert [item.item for item in profiles.broken] == [broken.name]
    assert profiles.broken[0].reason.startswith("Cannot read")
    assert profiles.valid.all(axis=0).tolist() == [True, True, False, True]
    assert not profiles.valid[:, 2].any()


@pytest.mark.parametrize("step", [10.0, 11.0])
def test_windows_can_be_sampled_down(tmp_path, step):
    """On the grid and warped; the samples may lie anywhere within their 5 x 5 pixels."""
    for k in (10, 20):
        write_wave(tmp_path / f"{day(k):%Y%m%d}.tif")
    write_wave(tmp_path / "20220301.tif", (499980.0, step, 0.0, 5000020.0, 0.0, -step), (70, 80))
    series = open_series(tmp_path, ROLES)
    truth = wave(*map_coordinates(TRANSFORM, TALL)).reshape(12, 5, 14, 5)
    for image in series.images[1:]:
        raster = series.open(image)
        bands, valid = series.read(raster, image, ["nir", "red"], series.grid.whole, (12, 14))
        assert valid.shape == (12, 14) and valid.all()
        assert (NDVI(bands) >= truth.min(axis=(1, 3)) - 5e-3).all()
        assert (NDVI(bands) <= truth.max(axis=(1, 3)) + 5e-3).all()
