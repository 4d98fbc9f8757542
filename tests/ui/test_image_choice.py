"""Which looks an image offers, and when there is nothing to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Sequence

import numpy as np
import pytest
from osgeo import gdal
from qgis.core import QgsCoordinateReferenceSystem, QgsRasterLayer
from qgis.gui import QgsMapCanvas
from qgis.PyQt import sip

from furrow.models.segmenters.registry import Registry
from furrow.qgis_io.layer_pictures import LayerLook, Look
from furrow.qgis_io.places import places
from furrow.ui.image_choice import ImageChoice

SENTINEL = ("B02", "B03", "B04", "B08")


@pytest.fixture
def choice(qgis_app: Any) -> ImageChoice:
    canvas = QgsMapCanvas()
    made = ImageChoice(canvas)
    made.canvas = canvas  # as long as the choice
    made.set_model("classical")
    return made


def image(
    path: Path, bands: int = 3, names: Sequence[str] = (), crs: str = "EPSG:32632",
    kind: int = gdal.GDT_UInt16, palette: bool = False,
) -> QgsRasterLayer:  # fmt: skip
    data = gdal.GetDriverByName("GTiff").Create(str(path), 60, 40, bands, kind)
    data.SetGeoTransform((500000, 10, 0, 6000000, 0, -10))
    if crs:
        data.SetProjection(QgsCoordinateReferenceSystem(crs).toWkt())
    for k in range(bands):
        band = data.GetRasterBand(k + 1)
        band.WriteArray(np.arange(2400).reshape(40, 60) % 250)
        if names:
            band.SetDescription(names[k])
    if palette:
        colours = gdal.ColorTable()
        colours.SetColorEntry(1, (255, 0, 0))
        data.GetRasterBand(1).SetRasterColorTable(colours)
    data = None
    layer = QgsRasterLayer(str(path), path.stem)
    assert layer.isValid()
    return layer


def offered(choice: ImageChoice) -> List[str]:
    return [look for look, title in choice.offered() if title]


def test_a_sentinel_image_with_named_bands_is_looked_at_in_false_colour(
    choice: ImageChoice, tmp_path: Path
) -> None:
    choice.set_layer(image(tmp_path / "2024-06-01.tif", 4, SENTINEL))
    assert offered(choice) == ["false_colour", "true_colour", "bands", "styled"]
    assert choice.look == LayerLook(Look.FALSE_COLOUR)
    assert choice.view().pictures.date.isoformat() == "2024-06-01"


def test_a_plain_picture_is_looked_at_as_it_is_shown(choice: ImageChoice, tmp_path: Path) -> None:
    choice.set_layer(image(tmp_path / "rgb.tif", 3, kind=gdal.GDT_Byte))
    assert offered(choice)[-2:] == ["bands", "styled"] and "false_colour" not in offered(choice)
    assert choice.view() is not None


def test_classes_are_offered_as_they_are_styled_only(choice: ImageChoice, tmp_path: Path) -> None:
    choice.set_layer(image(tmp_path / "crops.tif", 1, kind=gdal.GDT_Byte, palette=True))
    assert offered(choice) == ["styled"] and choice.look.look is Look.STYLED
    assert choice.view() is not None


def test_without_an_image_there_is_nothing(choice: ImageChoice) -> None:
    choice.set_layer(None)
    choice.set_look("styled")
    assert choice.offered() == [] and choice.look is None and choice.view() is None


def test_looks_that_an_image_lacks_are_passed_over(choice: ImageChoice, tmp_path: Path) -> None:
    choice.set_layer(image(tmp_path / "rgb.tif"))
    before, told = choice.look, []
    choice.changed.connect(lambda: told.append(True))
    choice.set_look("false_colour")
    assert choice.look == before and not told
    choice.set_look("bands", [3, 2, 1])
    assert choice.look == LayerLook(Look.BANDS, (3, 2, 1)) and told == [True]


def test_bands_that_an_image_lacks_are_said(choice: ImageChoice, tmp_path: Path) -> None:
    said: List[str] = []
    choice.warned.connect(said.append)
    choice.set_layer(image(tmp_path / "rgb.tif"))
    choice.set_look("bands", (1, 2, 7))
    assert choice.view() is None and "3 band(s)" in said[-1]


def test_a_model_that_is_missing_gives_no_view(choice: ImageChoice, tmp_path: Path) -> None:
    choice.set_layer(image(tmp_path / "rgb.tif"))
    choice.set_model("no-such-model")
    assert not choice.ready and choice.view() is None and "no-such-model" in choice.advice
    choice.set_model("segment-anything-vit-h")
    assert not choice.ready and choice.view() is None and "2.6 GB" in choice.advice
    choice.set_model("")
    assert choice.engine.id == Registry(places()).ids()[0]
    assert choice.ready and choice.view() is not None


def test_the_same_model_again_keeps_its_engine(choice: ImageChoice) -> None:
    engine = choice.engine
    choice.set_model("classical")
    assert choice.engine is engine


def test_an_image_without_a_reference_system_can_be_looked_at(
    choice: ImageChoice, tmp_path: Path
) -> None:
    layer = image(tmp_path / "nowhere.tif", crs="")
    layer.setCrs(QgsCoordinateReferenceSystem())
    choice.set_layer(layer)
    assert choice.view().pictures.grid.crs == ""
    told: List[bool] = []
    choice.changed.connect(lambda: told.append(True))
    layer.setCrs(QgsCoordinateReferenceSystem("EPSG:32632"))
    assert told == [True] and "32632" in choice.view().pictures.grid.crs
    choice.set_layer(None)
    layer.setCrs(QgsCoordinateReferenceSystem("EPSG:32633"))
    assert told == [True, True]


def test_an_image_that_is_gone_can_be_left(choice: ImageChoice, tmp_path: Path) -> None:
    layer = image(tmp_path / "rgb.tif")
    choice.set_layer(layer)
    sip.delete(layer)
    choice.set_layer(None)
    assert choice.view() is None


def test_a_layer_that_cannot_be_read_is_said(choice: ImageChoice, tmp_path: Path) -> None:
    said: List[str] = []
    choice.warned.connect(said.append)
    choice.set_layer(QgsRasterLayer(str(tmp_path / "none.tif"), "lost"))
    assert choice.view() is None and "lost cannot be read" in said[-1]
    assert offered(choice) == ["styled"]
