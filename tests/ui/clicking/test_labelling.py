"""Clicks on a canvas become fields: the map tool, the background encoder, the sketch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List

import numpy as np
import pytest
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsGeometry,
    QgsPointXY,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
)
from qgis.gui import QgsMapCanvas
from qgis.PyQt.QtCore import QPoint, Qt
from qgis.PyQt.QtTest import QTest

from furrow.models.segmenters.embeddings.embedding_store import EmbeddingStore
from furrow.qgis_io.layer_pictures import LayerLook, LayerPictures, looks_of
from furrow.tests.ui.waiting import wait_until
from furrow.ui.clicking.encoding import View, WindowEncoder
from furrow.ui.clicking.field_tool import FieldTool
from furrow.ui.clicking.labelling import Labelling, ShownField
from furrow.ui.engines import Engine


class Bench:
    """A canvas with an image, the tool, and what it said."""

    def __init__(self, layer: QgsRasterLayer, model: str, folder: Path) -> None:
        self.layer = layer
        self.canvas = QgsMapCanvas()
        self.canvas.resize(600, 600)
        self.canvas.setDestinationCrs(layer.crs())
        self.canvas.setLayers([layer])
        self.canvas.setExtent(layer.extent())
        self.canvas.show()
        self.store = EmbeddingStore(folder, 256 << 20, 256 << 20)
        self.encoder = WindowEncoder(self.store)
        self.labelling = Labelling(self.canvas, self.encoder)
        self.tool = FieldTool(self.canvas, self.labelling)
        self.canvas.setMapTool(self.tool)
        self.kept: List[ShownField] = []
        self.warnings: List[str] = []
        self.seen: List[Any] = []
        self.labelling.keep = lambda field: self.kept.append(field) or True
        self.labelling.warned.connect(self.warnings.append)
        self.labelling.shown.connect(self.seen.append)
        self.look(model)

    def look(self, model: str = "classical") -> None:
        pictures = LayerPictures(self.layer, LayerLook(looks_of(self.layer)[0]))
        self.labelling.look_at(View(pictures, Engine(model)), 200)

    def place(self, x: float, y: float) -> QPoint:
        """The point of the canvas over a place of the map."""
        point = self.canvas.getCoordinateTransform().transform(QgsPointXY(x, y))
        return QPoint(round(point.x()), round(point.y()))

    def click(self, x: float, y: float, button: Any = Qt.MouseButton.LeftButton,
              modifiers: Any = Qt.KeyboardModifier.NoModifier) -> None:  # fmt: skip
        QTest.mouseClick(self.canvas.viewport(), button, modifiers, self.place(x, y))

    def key(self, key: Any) -> None:
        QTest.keyClick(self.canvas, key)

    def answered(self) -> ShownField:
        wait_until(lambda: self.labelling.current is not None
                   and self.labelling._offer.missing is None)  # fmt: skip
        return self.labelling.current

    def close(self) -> None:
        self.canvas.unsetMapTool(self.tool)
        self.labelling.close()
        self.encoder.close()
        self.canvas.close()


@pytest.fixture
def bench(qgis_app: Any, shared_data: Path, tmp_path: Path) -> Any:
    layer = QgsRasterLayer(str(shared_data / "denmark" / "s2_rgb.tif"), "Denmark")
    made = Bench(layer, "classical", tmp_path / "store")
    yield made
    made.close()


def middle(layer: QgsRasterLayer) -> QgsPointXY:
    return layer.extent().center()


def overlap(a: QgsGeometry, b: QgsGeometry) -> float:
    return a.intersection(b).area() / a.combine(b).area()


def test_a_click_gives_the_field_and_enter_keeps_it(bench: Bench) -> None:
    place = middle(bench.layer)
    bench.click(place.x(), place.y())
    field = bench.answered()
    assert field.shape.contains(QgsGeometry.fromPointXY(place))
    assert 0 < field.mask.score <= 1 and field.marks == 1
    bench.key(Qt.Key.Key_Return)
    assert [kept.shape.asWkt() for kept in bench.kept] == [field.shape.asWkt()]
    assert bench.labelling.current is None
    assert not bench.warnings


def test_a_double_click_keeps_the_field_of_its_first_click(bench: Bench) -> None:
    place = middle(bench.layer)
    spot = bench.place(place.x(), place.y())
    viewport = bench.canvas.viewport()
    QTest.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=spot)
    QTest.mouseDClick(viewport, Qt.MouseButton.LeftButton, pos=spot)
    wait_until(lambda: bool(bench.kept))
    assert bench.kept[0].marks == 1
    assert bench.labelling.current is None


def test_background_clicks_undo_and_clear(bench: Bench) -> None:
    place = middle(bench.layer)
    bench.click(place.x(), place.y())
    first = bench.answered()
    edge = first.shape.boundingBox()
    bench.click(edge.xMinimum() + 15, edge.center().y(), Qt.MouseButton.RightButton)
    assert bench.answered().marks == 2
    bench.click(edge.xMaximum() - 15, edge.center().y(),
                modifiers=Qt.KeyboardModifier.ShiftModifier)  # fmt: skip
    sketch = bench.labelling._sketch
    assert [mark.foreground for mark in sketch.marks] == [True, False, False]
    bench.key(Qt.Key.Key_Backspace)
    bench.key(Qt.Key.Key_Backspace)
    assert bench.answered().shape.asWkt() == first.shape.asWkt()
    bench.key(Qt.Key.Key_Escape)
    assert bench.labelling.current is None and bench.seen[-1] is None


def test_tab_shows_the_masks_in_turn_and_the_wheel_grows_them(bench: Bench) -> None:
    place = middle(bench.layer)
    bench.click(place.x(), place.y())
    first = bench.answered()
    count = len(bench.labelling._offer.masks)
    ranks = [first.mask.rank]
    for _ in range(count):
        bench.key(Qt.Key.Key_Tab)
        ranks.append(bench.answered().mask.rank)
    assert ranks[-1] == ranks[0] and len(set(ranks)) == count
    area = bench.answered().shape.area()
    bench.key(Qt.Key.Key_Plus)
    assert bench.answered().shape.area() > area
    bench.key(Qt.Key.Key_Minus)
    bench.key(Qt.Key.Key_Minus)
    assert bench.answered().shape.area() < area


def test_dragging_is_a_box(bench: Bench) -> None:
    place = middle(bench.layer)
    start, stop = (bench.place(place.x() + d, place.y() + d) for d in (-150, 150))
    viewport = bench.canvas.viewport()
    QTest.mousePress(viewport, Qt.MouseButton.LeftButton, pos=start)
    QTest.mouseMove(viewport, (start + stop) / 2)
    QTest.mouseMove(viewport, stop)
    QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=stop)
    field = bench.answered()
    assert bench.labelling._sketch.marks[0].is_box
    assert field.shape.boundingBox().intersects(QgsRectangle(place, place).buffered(150))


def test_a_field_under_the_cursor_is_shown_before_the_click(bench: Bench) -> None:
    place = middle(bench.layer)
    bench.labelling.hover(place)
    wait_until(lambda: any(bench.seen))
    preview = bench.seen[-1]
    assert bench.labelling.current is None
    bench.click(place.x(), place.y())
    assert overlap(bench.answered().shape, preview.shape) > 0.99
    bench.key(Qt.Key.Key_Escape)
    bench.labelling.leave()
    assert bench.seen[-1] is None


def test_enter_before_the_answer_keeps_it_when_it_comes(bench: Bench) -> None:
    place = middle(bench.layer)
    bench.click(place.x(), place.y())
    bench.key(Qt.Key.Key_Return)
    wait_until(lambda: bool(bench.kept))


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:25832"])
def test_the_same_click_is_the_same_field_in_any_project(bench: Bench, crs: str) -> None:
    fields = []
    for system, scale in ((bench.layer.crs(), 1.0), (QgsCoordinateReferenceSystem(crs), 0.3)):
        bench.canvas.setDestinationCrs(system)
        settings = bench.canvas.mapSettings()
        there = settings.layerToMapCoordinates(bench.layer, middle(bench.layer))
        extent = settings.layerExtentToOutputExtent(bench.layer, bench.layer.extent())
        extent.scale(scale, there)
        bench.canvas.setExtent(extent)
        bench.labelling.clear()
        bench.labelling.click(there, True)
        fields.append(bench.answered().shape)
    assert overlap(*fields) == pytest.approx(1.0)


def test_a_second_visit_needs_no_encoding_also_after_a_restart(
    bench: Bench, shared_data: Path, tmp_path: Path
) -> None:
    place = middle(bench.layer)
    bench.click(place.x(), place.y())
    first = bench.answered()
    wait_until(lambda: not bench.encoder.busy)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").glob("*.npz")}
    again = Bench(bench.layer, "classical", tmp_path / "store")
    try:
        again.click(place.x(), place.y())
        assert again.answered().shape.asWkt() == first.shape.asWkt()
        wait_until(lambda: not again.encoder.busy)
    finally:
        again.close()
    assert files and set((tmp_path / "store").glob("*.npz")) == set(files)


def test_clicks_outside_and_without_an_image_say_what_to_do(bench: Bench) -> None:
    extent = bench.layer.extent()
    bench.labelling.click(QgsPointXY(extent.xMaximum() + 500, extent.yMaximum()), True)
    assert "outside the image" in bench.warnings[-1]
    bench.labelling.look_at(None, 200)
    bench.labelling.click(middle(bench.layer), True)
    assert "No image" in bench.warnings[-1]


def test_an_image_that_goes_away_while_it_is_encoded_harms_nothing(
    qgis_app: Any, shared_data: Path, tmp_path: Path
) -> None:
    layer = QgsRasterLayer(str(shared_data / "denmark" / "s2_rgb.tif"), "Denmark")
    bench = Bench(layer, "classical", tmp_path / "store")
    QgsProject.instance().addMapLayer(layer)
    place = middle(layer)
    bench.click(place.x(), place.y())
    bench.labelling.look_at(None, 200)
    QgsProject.instance().removeMapLayer(layer)
    bench.encoder.close()
    wait_until(lambda: QgsApplication.taskManager().countActiveTasks() == 0)
    assert bench.labelling.current is None
    bench.close()


def test_an_unknown_model_says_so_and_does_not_try_again_and_again(bench: Bench) -> None:
    bench.look("no-such-model")
    place = middle(bench.layer)
    bench.click(place.x(), place.y())
    wait_until(lambda: bool(bench.warnings))
    assert "no-such-model" in bench.warnings[-1]
    wait_until(lambda: not bench.encoder.busy)
    assert len(bench.warnings) == 1


def test_an_image_without_data_gives_no_field_and_a_sentence(
    qgis_app: Any, tmp_path: Path
) -> None:
    from osgeo import gdal

    path = tmp_path / "empty.tif"
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), 300, 300, 3, gdal.GDT_UInt16)
    dataset.SetGeoTransform((500000, 10, 0, 6000000, 0, -10))
    dataset.SetProjection(QgsCoordinateReferenceSystem("EPSG:32632").toWkt())
    for k in (1, 2, 3):
        dataset.GetRasterBand(k).SetNoDataValue(0)
        dataset.GetRasterBand(k).WriteArray(np.zeros((300, 300)))
    dataset = None
    bench = Bench(QgsRasterLayer(str(path), "empty"), "classical", tmp_path / "store")
    place = middle(bench.layer)
    bench.click(place.x(), place.y())
    wait_until(lambda: not bench.encoder.busy and bench.labelling._offer.missing is None)
    bench.key(Qt.Key.Key_Return)
    assert not bench.kept and "No field" in bench.warnings[-1]
    bench.close()
