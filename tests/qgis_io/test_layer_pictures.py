"""Pictures of raster layers: files as `FilePictures` reads them, styles, failures."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal
from qgis.core import (
    QgsColorRampShader,
    QgsMultiBandColorRenderer,
    QgsPalettedRasterRenderer,
    QgsProject,
    QgsRasterBlockFeedback,
    QgsRasterLayer,
    QgsRasterRange,
    QgsRasterShader,
    QgsRectangle,
    QgsSingleBandPseudoColorRenderer,
)
from qgis.PyQt.QtGui import QColor

from furrow.core.errors import BandError, Cancelled, RasterError
from furrow.core.imagery.grid import Grid, Window
from furrow.core.imagery.pictures import FilePictures, Picture
from furrow.core.imagery.raster_gdal import describe, same_grid
from furrow.qgis_io.layer_pictures import (
    LayerLook,
    LayerPictures,
    Look,
    band_names,
    bands_for,
    is_web,
    looks_of,
)
from furrow.tests.core.series_files import TRANSFORM, WGS84, shorten, wkt, write_image

STYLED, BANDS = LayerLook(Look.STYLED), LayerLook(Look.BANDS)
SOUTH_UP = (500000.0, 10.0, 0.0, 4999000.0, 0.0, 10.0)
ROTATED = (500000.0, 8.0, 6.0, 5000000.0, 6.0, -8.0)
SENTINEL = ("B02", "B03", "B04", "B08")

pytestmark = pytest.mark.usefixtures("qgis_app")


def noise(kind: str, height: int = 90, width: int = 130, count: int = 4) -> dict[str, np.ndarray]:
    """Bands of Sentinel's names; zeros and, in floats, NaN and infinity among the values."""
    random = np.random.default_rng(7)
    values = random.integers(0, 250 if kind == "uint8" else 9000, (count, height, width))
    values = values.astype(kind)
    if kind == "float32":
        values /= 9000
        values[:, 4:9, 3:30] = np.nan
        values[1, 60, 60] = np.inf
    return dict(zip(SENTINEL, values))


def opened(path: Path, name: str = "a layer") -> QgsRasterLayer:
    layer = QgsRasterLayer(str(path), name)
    assert layer.isValid()
    return layer


def assert_same(picture: Picture, other: Picture) -> None:
    assert (picture.valid == other.valid).all()
    assert (picture.image == other.image).all()
    np.testing.assert_array_equal(picture.feature, other.feature)
    assert picture.feature.dtype == other.feature.dtype
    assert (picture.date, picture.name) == (other.date, other.name)


def windows_of(grid: Grid, size: int = 37) -> list[Window]:
    """The whole, all corners and a few places between."""
    random = np.random.default_rng(3)
    rows = [0, grid.height - size, *random.integers(0, grid.height - size, 4)]
    cols = [0, grid.width - size, *random.integers(0, grid.width - size, 4)]
    return [grid.whole, *(Window(int(r), int(c), size, size + 1 if c else size)
                          for r in rows for c in cols if c + size < grid.width)]  # fmt: skip


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("nodata", [None, 0, 77])
def test_a_file_looks_as_file_pictures_show_it(tmp_path, kind, nodata):
    bands = noise(kind)
    for values in bands.values():
        values[20:40, 50:70] = 77
    path = write_image(tmp_path / "field_20230617.tif", bands, dtype=kind, nodata=nodata)
    layer, known = opened(path), FilePictures(str(path))
    pictures = LayerPictures(layer, LayerLook(Look.FALSE_COLOUR))
    assert same_grid(pictures.grid, known.grid)
    for window in windows_of(known.grid):
        assert_same(pictures.pictures(window)[0], known.pictures(window)[0])
        assert (pictures.patch(window, "") == known.patch(window, "")).all()


def test_a_real_image_looks_as_file_pictures_show_it(shared_data):
    path = shared_data / "denmark" / "s2_rgb.tif"
    layer, known = opened(path), FilePictures(str(path))
    assert looks_of(layer) == (Look.TRUE_COLOUR, Look.BANDS, Look.STYLED)
    pictures = LayerPictures(layer, LayerLook(Look.TRUE_COLOUR))
    assert same_grid(pictures.grid, known.grid) and pictures.name == known.name
    for window in windows_of(known.grid):
        assert_same(pictures.read(window), known.pictures(window)[0])


@pytest.mark.parametrize(
    ("transform", "epsg"),
    [
        ((499980.0, 10.0, 0.0, 6200040.0, 0.0, -10.0), 32632),
        ((11.0000000001, 1 / 11131.9, 0.0, 48.123456789, 0.0, -1 / 16699.3), WGS84),
        (None, None),
    ],
    ids=["metres", "degrees", "unplaced"],
)
def test_every_corner_of_a_large_image_is_hit(tmp_path, transform, epsg):
    side, patch = 10980, 256
    path = tmp_path / "large.tif"
    write_sparse(path, side, patch, transform, epsg)
    pictures, known = LayerPictures(opened(path), BANDS), FilePictures(str(path))
    assert same_grid(pictures.grid, known.grid)
    far = side - patch
    for row, col in [(0, 0), (0, far), (far, 0), (far, far), (far + 7, far + 1), (5000, 7001)]:
        window = Window(row, col, min(patch, side - row), min(200, side - col))
        assert_same(pictures.read(window), known.pictures(window)[0])


def write_sparse(path, side, patch, transform, epsg):
    """A large file of which only the corners and a place inside take room."""
    options = ["TILED=YES", "SPARSE_OK=TRUE", "BLOCKXSIZE=256", "BLOCKYSIZE=256"]
    data = gdal.GetDriverByName("GTiff").Create(str(path), side, side, 1, gdal.GDT_UInt16, options)
    if transform:
        data.SetGeoTransform(transform)
        data.SetProjection(wkt(epsg))
    random = np.random.default_rng(1)
    far = side - patch
    for row, col in [(0, 0), (0, far), (far, 0), (far, far), (5000, 7000)]:
        values = random.integers(1, 60000, (patch, patch)).astype(np.uint16)
        data.GetRasterBand(1).WriteArray(values, col, row)


def test_only_the_blocks_of_a_window_are_read(tmp_path):
    counter = Path("/proc/self/io")
    if not counter.exists():
        pytest.skip("this system does not count what is read")
    bands = noise("uint16", 3000, 3000, 1)
    options = ["TILED=YES", "BLOCKXSIZE=256", "BLOCKYSIZE=256"]
    path = write_image(tmp_path / "a.tif", bands, options=options)
    pictures = LayerPictures(opened(path), BANDS)

    def bytes_read() -> int:
        return int(counter.read_text().split("rchar:")[1].split()[0])

    before = bytes_read()
    pictures.read(Window(1700, 900, 200, 200))
    assert bytes_read() - before < 1_500_000 < path.stat().st_size / 10


def test_a_south_up_file_is_shown_north_up(tmp_path):
    path = write_image(tmp_path / "a.tif", noise("uint16"), transform=SOUTH_UP)
    pictures, known = LayerPictures(opened(path), BANDS), FilePictures(str(path), bands=(1, 2, 3))
    assert pictures.grid.transform[5] < 0
    window, mirrored = Window(0, 5, 30, 40), Window(60, 5, 30, 40)
    picture, other = pictures.read(window), known.pictures(mirrored)[0]
    assert (picture.image == other.image[::-1]).all() and picture.valid.all()


def test_a_rotated_file_is_valid_where_its_own_pixels_are(tmp_path):
    bands = {name: values + 1 for name, values in noise("uint16").items()}
    bands["B03"][:] = 0
    path = write_image(tmp_path / "a.tif", bands, transform=ROTATED)
    own = describe(str(path)).grid
    for look in (BANDS, STYLED):
        pictures = LayerPictures(opened(path), look)
        picture = pictures.read(pictures.grid.whole)
        assert picture.valid.sum() == pytest.approx(own.width * own.height, rel=0.01)
        assert not picture.valid[0, 0] and (picture.image[~picture.valid] == 0).all()
    rows, cols = np.nonzero(picture.valid)
    px, py = own.to_pixel(*pictures.grid.centres(rows, cols))
    assert (px.min() >= 0) and (px.max() < own.width) and (py.max() < own.height)


def test_a_virtual_raster_looks_like_its_file(tmp_path):
    path = write_image(tmp_path / "a.tif", noise("uint16"))
    virtual = tmp_path / "a.vrt"
    gdal.BuildVRT(str(virtual), [str(path)]).FlushCache()
    window = Window(10, 20, 30, 40)
    first = LayerPictures(opened(virtual), BANDS)
    other = LayerPictures(opened(path), BANDS)
    assert (first.read(window).image == other.read(window).image).all()


def test_scaled_values_look_the_same(tmp_path):
    path = write_image(tmp_path / "a.tif", noise("uint16"), scale=0.0001, offset=-0.1)
    pictures, known = LayerPictures(opened(path), BANDS), FilePictures(str(path), bands=(1, 2, 3))
    picture, other = pictures.read(pictures.grid.whole), known.pictures(known.grid.whole)[0]
    assert np.abs(picture.image.astype(int) - other.image).max() <= 1


def test_the_users_no_data_is_honoured(tmp_path):
    bands = noise("uint16")
    for values in bands.values():
        values[values == 5000] = 1
        values[10:20, 10:30] = 5000
    path = write_image(tmp_path / "a.tif", bands)
    layer = opened(path)
    before = LayerPictures(layer, BANDS)
    for band in range(1, 5):
        layer.dataProvider().setUserNoDataValue(band, [QgsRasterRange(5000, 5000)])
    after = LayerPictures(layer, BANDS)
    expected = np.ones((90, 130), dtype=bool)
    assert (before.read(before.grid.whole).valid == expected).all()
    expected[10:20, 10:30] = False
    assert (after.read(after.grid.whole).valid == expected).all()
    assert before.key != after.key


def test_no_data_that_the_user_switched_off_is_data(tmp_path):
    path = write_image(tmp_path / "a.tif", noise("uint8", count=1), dtype="uint8", nodata=3)
    layer = opened(path)
    on = LayerPictures(layer, BANDS)
    layer.dataProvider().setUseSourceNoDataValue(1, False)
    off = LayerPictures(layer, BANDS)
    assert not on.read(on.grid.whole).valid.all()
    assert off.read(off.grid.whole).valid.all()


def test_a_transparent_band_is_honoured_unless_it_is_a_measurement(tmp_path):
    bands = noise("uint8")
    bands["B08"][:] = 255
    bands["B08"][:30] = 0
    path = write_image(tmp_path / "a.tif", bands, dtype="uint8", named=False)
    pictures = LayerPictures(opened(path), BANDS)  # GDAL calls the fourth of four bytes alpha
    valid = pictures.read(pictures.grid.whole).valid
    assert not valid[:30].any() and valid[30:].all()
    named = write_image(tmp_path / "b.tif", bands, dtype="uint8")
    pictures = LayerPictures(opened(named), LayerLook(Look.BANDS, (3, 2, 1)))
    assert pictures.read(pictures.grid.whole).valid.all()


def test_a_window_without_data_is_no_error(tmp_path):
    bands = {name: np.zeros_like(values) for name, values in noise("uint16").items()}
    path = write_image(tmp_path / "a.tif", bands, nodata=0)
    for look in (BANDS, STYLED):
        picture = LayerPictures(opened(path), look).read(Window(0, 0, 20, 20))
        assert not picture.valid.any() and np.isnan(picture.feature).all()
        assert (picture.image == 0).all()


def test_the_looks_of_a_layer_follow_its_band_names(tmp_path):
    layer = opened(write_image(tmp_path / "a.tif", noise("uint16")))
    assert band_names(layer) == SENTINEL and not is_web(layer)
    assert looks_of(layer) == (Look.FALSE_COLOUR, Look.TRUE_COLOUR, Look.BANDS, Look.STYLED)
    assert bands_for(layer, Look.FALSE_COLOUR) == (4, 3, 2)
    assert bands_for(layer, Look.TRUE_COLOUR) == (3, 2, 1)
    assert bands_for(layer, Look.STYLED) is None
    layer.setRenderer(QgsMultiBandColorRenderer(layer.dataProvider(), 4, 2, 1))
    assert bands_for(layer, Look.BANDS) == (4, 2, 1)
    single = opened(write_image(tmp_path / "b.tif", noise("uint16", count=1), named=False))
    assert looks_of(single) == (Look.BANDS, Look.STYLED)
    assert bands_for(single, Look.BANDS) == (1, 1, 1) and len(band_names(single)) == 1


def coded(tmp_path: Path) -> QgsRasterLayer:
    """Classes 1 to 3 of which 3 has no colour, shown by a palette."""
    values = np.repeat([[1, 2, 3]], 30, axis=0).repeat(10, axis=1).astype(np.uint8)
    layer = opened(write_image(tmp_path / "c.tif", {"SCL": values}, dtype="uint8"))
    classes = [QgsPalettedRasterRenderer.Class(1, QColor(200, 10, 20), "one"),
               QgsPalettedRasterRenderer.Class(2, QColor(0, 90, 255, 128), "two")]  # fmt: skip
    layer.setRenderer(QgsPalettedRasterRenderer(layer.dataProvider(), 1, classes))
    return layer


def test_classes_are_shown_in_their_colours_whatever_the_opacity(tmp_path):
    layer = coded(tmp_path)
    assert looks_of(layer) == (Look.STYLED,)
    pictures = LayerPictures(layer, STYLED)
    layer.renderer().setOpacity(0.3)
    faint = LayerPictures(layer, STYLED)
    assert faint.key == pictures.key
    for shown in (pictures, faint):
        picture = shown.read(shown.grid.whole)
        assert (picture.image[:, :10] == (200, 10, 20)).all()
        assert np.abs(picture.image[:, 10:20].astype(int) - (0, 90, 255)).max() <= 1
        assert picture.valid[:, :20].all() and not picture.valid[:, 20:].any()
        assert np.nanmax(picture.feature[:, :10]) == pytest.approx(230 / 3 / 255)
    with pytest.raises(BandError, match="a layer"):
        LayerPictures(layer, BANDS)


def test_exact_colours_are_classes_and_a_ramp_is_not(tmp_path):
    layer = opened(write_image(tmp_path / "a.tif", noise("uint16", count=1)))
    kinds = QgsColorRampShader.Type
    ramped = (Look.BANDS, Look.STYLED)
    for kind, looks in ((kinds.Exact, (Look.STYLED,)), (kinds.Interpolated, ramped)):
        ramp = QgsColorRampShader(0, 9000, None, kind)
        shader = QgsRasterShader()
        shader.setRasterShaderFunction(ramp)
        layer.setRenderer(QgsSingleBandPseudoColorRenderer(layer.dataProvider(), 1, shader))
        assert looks_of(layer) == looks


def test_a_style_is_shown_as_the_renderer_shows_it(tmp_path):
    layer = opened(write_image(tmp_path / "a.tif", noise("uint16")))
    pictures = LayerPictures(layer, STYLED)
    picture = pictures.read(Window(10, 20, 30, 40))
    west, north = TRANSFORM[0], TRANSFORM[3]
    extent = QgsRectangle(west + 200, north - 400, west + 600, north - 100)
    shown = layer.renderer().block(1, extent, 40, 30).image()
    for row, col in [(0, 0), (29, 39), (11, 23)]:
        colour = shown.pixelColor(col, row)
        assert tuple(picture.image[row, col]) == (colour.red(), colour.green(), colour.blue())


def test_bands_that_a_layer_does_not_have_are_refused(tmp_path):
    layer = opened(write_image(tmp_path / "a.tif", noise("uint16", count=3)))
    for bands in ((1, 2, 4), (0, 1, 2)):
        with pytest.raises(BandError, match="3 band"):
            LayerPictures(layer, LayerLook(Look.BANDS, bands))
    with pytest.raises(BandError, match="choose another"):
        LayerPictures(layer, LayerLook(Look.FALSE_COLOUR))


@pytest.mark.parametrize("look", [BANDS, STYLED], ids=["bands", "styled"])
def test_threads_read_while_the_layer_goes_away(tmp_path, look):
    path = write_image(tmp_path / "a.tif", noise("uint16", 300, 300))
    layer = opened(path)
    project = QgsProject()
    project.addMapLayer(layer)
    pictures = LayerPictures(layer, look)
    windows = windows_of(pictures.grid, 100)
    known = [pictures.read(window) for window in windows]
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(pictures.read, window) for window in windows * 6]
        project.removeMapLayer(layer.id())
        del layer
        found = [future.result(timeout=60) for future in running]
    for picture, other in zip(found, known * 6):
        assert_same(picture, other)


def test_reading_keeps_no_files_open(tmp_path):
    listing = Path("/proc/self/fd")
    if not listing.exists():
        pytest.skip("this system does not list open files")
    path = write_image(tmp_path / "a.tif", noise("uint16"))
    pictures = LayerPictures(opened(path), BANDS)
    pictures.read(pictures.grid.whole)
    before = len(list(listing.iterdir()))
    for _ in range(30):
        pictures.read(pictures.grid.whole)
    assert len(list(listing.iterdir())) <= before + 2


def test_the_layer_is_left_as_it_is(tmp_path):
    layer = opened(write_image(tmp_path / "a.tif", noise("uint16")))
    layer.renderer().setOpacity(0.5)
    layer.dataProvider().enableProviderResampling(True)
    changes = []
    for signal in (layer.rendererChanged, layer.styleChanged, layer.repaintRequested,
                   layer.dataChanged, layer.configChanged):  # fmt: skip
        signal.connect(lambda *_: changes.append(1))
    for look in (BANDS, STYLED):
        LayerPictures(layer, look).read(Window(0, 0, 20, 20))
    assert not changes and layer.renderer().opacity() == 0.5
    assert layer.dataProvider().isProviderResamplingEnabled()


@pytest.mark.parametrize("look", [BANDS, STYLED], ids=["bands", "styled"])
def test_a_file_that_is_cut_off_is_named(tmp_path, look):
    path = write_image(tmp_path / "a.tif", noise("uint16", 600, 600), options=["TILED=YES"])
    pictures = LayerPictures(opened(shorten(path, 0.5), "my image"), look)
    with pytest.raises(RasterError, match="my image.* whole"):
        pictures.read(pictures.grid.whole)


def test_a_layer_without_source_is_named(tmp_path):
    layer = QgsRasterLayer(str(tmp_path / "none.tif"), "lost")
    with pytest.raises(RasterError, match="lost.*repair"):
        LayerPictures(layer, STYLED)
    assert looks_of(layer) == (Look.STYLED,) and band_names(layer) == () and not is_web(layer)


def test_a_cancelled_reading_is_cancelled(tmp_path):
    pictures = LayerPictures(opened(write_image(tmp_path / "a.tif", noise("uint16"))), BANDS)
    feedback = QgsRasterBlockFeedback()
    feedback.cancel()
    with pytest.raises(Cancelled):
        pictures.read(pictures.grid.whole, feedback)


def test_layers_that_come_and_go_are_read_in_threads(shared_data: Path) -> None:
    """The bindings once took the provider of a new layer for that of one that was gone."""
    path = str(shared_data / "denmark" / "s2_rgb.tif")
    window = Window(20, 20, 64, 64)
    wanted = None
    for _ in range(12):
        layer = QgsRasterLayer(path, "one of many")
        pictures = LayerPictures(layer, LayerLook(looks_of(layer)[0]))
        del layer
        with ThreadPoolExecutor(2) as pool:
            images = [p.image for p in pool.map(pictures.read, [window] * 6)]
        wanted = images[0] if wanted is None else wanted
        assert all(np.array_equal(image, wanted) for image in images)
