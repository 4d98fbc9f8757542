"""Names, dates and keys of the pictures of a layer: where its pixels come from."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal
from qgis.core import QgsMultiBandColorRenderer, QgsRasterLayer

from furrow.qgis_io.layer_pictures import LayerLook, LayerPictures, Look
from furrow.qgis_io.layer_sources import without_credentials
from furrow.tests.core.series_files import write_image

STYLED, BANDS = LayerLook(Look.STYLED), LayerLook(Look.BANDS)

pytestmark = pytest.mark.usefixtures("qgis_app")


def bands_of(seed: int) -> dict[str, np.ndarray]:
    values = np.random.default_rng(seed).integers(1, 9000, (4, 40, 50))
    return dict(zip(("B02", "B03", "B04", "B08"), values))


def opened(path: Path, name: str = "a layer") -> QgsRasterLayer:
    layer = QgsRasterLayer(str(path), name)
    assert layer.isValid()
    return layer


def test_name_and_date_are_those_of_the_file(tmp_path):
    dated = write_image(tmp_path / "S2_20230617.tif", bands_of(1))
    tagged = write_image(tmp_path / "b.tif", bands_of(1), tags={"DATE": "2022-05-04"})
    bare = write_image(tmp_path / "c.tif", bands_of(1))
    pictures = [LayerPictures(opened(path, name), BANDS) for path, name in
                ((dated, "x"), (tagged, "x"), (bare, "of 2021-04-03"), (bare, "x"))]  # fmt: skip
    assert [p.name for p in pictures] == ["S2_20230617.tif", "b.tif", "c.tif", "c.tif"]
    assert [p.date for p in pictures] == [
        dt.date(2023, 6, 17), dt.date(2022, 5, 4), dt.date(2021, 4, 3), None]  # fmt: skip


def test_a_key_says_which_image_and_look_it_is(tmp_path):
    path = write_image(tmp_path / "a.tif", bands_of(1))
    looks = [LayerLook(Look.FALSE_COLOUR), LayerLook(Look.TRUE_COLOUR), BANDS, STYLED,
             LayerLook(Look.BANDS, (4, 4, 1))]  # fmt: skip
    keys = [LayerPictures(opened(path), look).key for look in looks]
    again = [LayerPictures(opened(path, "another"), look).key for look in looks]
    assert keys == again and len(set(keys)) == len(keys)
    assert all(len(key) == 64 and int(key, 16) for key in keys)
    styled = opened(path)
    styled.setRenderer(QgsMultiBandColorRenderer(styled.dataProvider(), 4, 2, 1))
    assert LayerPictures(styled, STYLED).key not in keys
    write_image(path, bands_of(2))
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
    assert LayerPictures(opened(path), looks[0]).key not in keys


def test_a_virtual_raster_changes_with_its_file(tmp_path):
    path = write_image(tmp_path / "a.tif", bands_of(1))
    virtual = tmp_path / "a.vrt"
    gdal.BuildVRT(str(virtual), [str(path)]).FlushCache()
    key = LayerPictures(opened(virtual), BANDS).key
    assert key not in (LayerPictures(opened(path), BANDS).key, None)
    write_image(path, bands_of(2))
    os.utime(path, (1, 1))
    assert LayerPictures(opened(virtual), BANDS).key != key


def test_statistics_beside_a_file_do_not_change_its_key(tmp_path):
    path = write_image(tmp_path / "a.tif", bands_of(1))
    key = LayerPictures(opened(path), BANDS).key
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset></PAMDataset>", encoding="utf-8")
    assert LayerPictures(opened(path), BANDS).key == key


RESTARTED = """
import importlib.util, os, sys
from qgis.core import QgsApplication, QgsRasterLayer
application = QgsApplication([], False)
application.initQgis()
root = sys.argv[1]
spec = importlib.util.spec_from_file_location(
    "furrow", root + "/__init__.py", submodule_search_locations=[root])
sys.modules["furrow"] = importlib.util.module_from_spec(spec)
from furrow.qgis_io.layer_pictures import LayerLook, LayerPictures, Look
layer = QgsRasterLayer(sys.argv[2], "x")
print("KEY", LayerPictures(layer, LayerLook(Look.STYLED)).key, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("seed", ["1", "2"])
def test_a_key_outlives_the_program(tmp_path, root, seed):
    path = write_image(tmp_path / "a.tif", bands_of(1))
    key = LayerPictures(opened(path), STYLED).key
    environment = {**os.environ, "QT_HASH_SEED": seed, "QT_QPA_PLATFORM": "offscreen"}
    told = subprocess.run([sys.executable, "-c", RESTARTED, str(root), str(path)], text=True,
                          env=environment, capture_output=True, timeout=120)  # fmt: skip
    assert f"KEY {key}" in told.stdout, told.stderr


def test_sources_are_told_apart_without_credentials():
    plain = "type=xyz&url=https://tiles.example/{z}/{x}/{y}.png?layer=a&zmax=18"
    secret = ("type=xyz&username=me&password=a%26b&authcfg=abc1234&http-header:referer=x"
              "&url=https%3A//me:pw@tiles.example/%7Bz%7D/%7Bx%7D/%7By%7D.png"
              "?layer%3Da%26api_key%3Dzzz%26access_token%3Dyyy&zmax=18")  # fmt: skip
    bare = without_credentials(secret)
    for text in ("me", "a&b", "abc1234", "zzz", "yyy", "pw"):
        assert text not in bare.replace("tiles.example", "").replace("name", "")
    assert "layer=a" in bare and "zmax=18" in bare and "tiles.example" in bare
    assert without_credentials(plain) == plain
    assert without_credentials("PG: host=h user='u u' password=p table=t").split() == [
        "PG:", "host=h", "table=t"]  # fmt: skip
