"""The tab Season in a QGIS without a window, on made-up series of known truth."""

from __future__ import annotations

import datetime as dt
import gc
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsGeometry,
    QgsProject,
    QgsVectorLayer,
)
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QCoreApplication, QEvent
from qgis.PyQt.QtGui import QColor, QPalette
from qgis.PyQt.QtTest import QTest

from furrow.core.imagery.grid import Grid
from furrow.core.imagery.indices import parse_index
from furrow.core.imagery.series import open_series
from furrow.core.monitor import SILENT
from furrow.core.samples.profiles import read_profiles
from furrow.qgis_io.shapes import polygon_of
from furrow.tests.core.series_files import day, shorten, write_dates, write_image
from furrow.tests.ui.waiting import wait_until
from furrow.ui.background_task import BackgroundTask
from furrow.ui.season import season_reading
from furrow.ui.season.season_fields import FieldPixels, Reading, cut_field, place_field
from furrow.ui.season.season_panel import SeasonPanel

SIDE = 40
DAYS = range(60, 320, 20)
EARLY = np.array([0.2, 0.35, 0.6, 0.8, 0.85, 0.7, 0.35, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2])
LATE = EARLY[::-1].copy()
CUT = 16
"""First column of the late crop."""
CLOUDY_DATE = 4
UTM = QgsCoordinateReferenceSystem("EPSG:32632")


# --- what the tests share ---


def write_two_crops(folder: Path) -> Path:
    """Early crop in the west, late crop in the east, one date with clouds all over the north."""
    cols = np.arange(SIDE)[None, None, :]
    ndvi = np.where(cols < CUT, EARLY[:, None, None], LATE[:, None, None])
    ndvi = ndvi.repeat(SIDE, 1) + np.random.default_rng(2).normal(0, 0.01, (13, SIDE, SIDE))
    scl = np.full(ndvi.shape, 4)
    scl[CLOUDY_DATE, :30] = 9
    return write_dates(folder, ndvi, DAYS, scl)


@pytest.fixture(scope="module")
def two_crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_two_crops(tmp_path_factory.mktemp("two_crops") / "series")


def rectangle(row: float, col: float, height: float, width: float) -> QgsGeometry:
    """A polygon in map units, given in pixels of the series."""
    left, top = 500000 + 10 * col, 5000000 - 10 * row
    right, bottom = left + 10 * width, top - 10 * height
    return QgsGeometry.fromWkt(
        f"Polygon (({left} {top}, {right} {top}, {right} {bottom}, {left} {bottom}, {left} {top}))"
    )


def early_field(row: int = 2) -> QgsGeometry:
    return rectangle(row, 1, 10, 14)


def late_field() -> QgsGeometry:
    return rectangle(3, 18, 12, 15)


def both_fields() -> QgsGeometry:
    return rectangle(2.3, 3.2, 25.1, 30.4)


def settle(panel: SeasonPanel) -> None:
    wait_until(lambda: not panel.reader.busy and not panel.chart.waiting)


@pytest.fixture
def panel(qgis_app: Any) -> Iterator[SeasonPanel]:
    made = SeasonPanel()
    made.resize(320, 430)
    made.said = []
    made.message.connect(made.said.append)
    yield made
    if not sip.isdeleted(made):
        made.shut_down()
        sip.delete(made)
    QCoreApplication.processEvents()


@pytest.fixture
def shown(panel: SeasonPanel, two_crops: Path) -> SeasonPanel:
    """The panel in a window, its series open."""
    panel.show()
    panel.set_series(str(two_crops))
    settle(panel)
    assert panel.reader.series is not None
    return panel


def show_field(panel: SeasonPanel, polygon: QgsGeometry, crs: Any = UTM, name: str = "") -> Any:
    panel.set_field(polygon, crs, name, "#009e73", day(160))
    settle(panel)
    return panel.reader.reading


def legend(panel: SeasonPanel) -> list[str]:
    return [text.get_text() for text in panel.chart.figure.axes[0].get_legend().get_texts()]


def title(panel: SeasonPanel) -> str:
    return panel.chart.figure._suptitle.get_text()  # get_suptitle came with matplotlib 3.8


def offered(panel: SeasonPanel) -> bool:
    return not panel.split_button.isHidden() and not panel.warning_label.isHidden()


# --- one field ---


def test_the_season_of_a_field_is_its_pixels_median(shown: SeasonPanel):
    reading = show_field(shown, early_field())
    assert reading.pixels == 140
    clear = np.delete(np.arange(13), CLOUDY_DATE)
    assert reading.season.median[clear] == pytest.approx(EARLY[clear], abs=0.01)
    assert reading.season.valid_share[CLOUDY_DATE] == 0
    assert reading.two is None and not offered(shown)
    assert shown.status_label.isHidden() and shown.said == []


def test_what_is_drawn(shown: SeasonPanel):
    show_field(shown, early_field())
    figure = shown.chart.figure
    assert legend(shown) == ["field", "10–90 %", "cloudy", "image"]
    line = figure.axes[0].get_lines()[0]
    assert line.get_color() == "#009e73"
    assert len(line.get_xdata()) == 12  # the cloudy date is left out
    assert dt.date.fromordinal(719163 + int(figure.axes[0].get_xlim()[0])) < day(60)
    assert title(shown).startswith("NDVI of 140 pixels")


def test_a_field_in_degrees(shown: SeasonPanel):
    degrees = QgsCoordinateReferenceSystem("EPSG:4326")
    field = early_field()
    field.transform(QgsCoordinateTransform(UTM, degrees, QgsProject.instance()))
    assert show_field(shown, field, degrees).pixels == 140


def test_no_field_shows_no_season(shown: SeasonPanel):
    show_field(shown, early_field())
    shown.set_field(None, UTM, "", "", None)
    assert shown.reader.reading is None
    assert "Point at a field" in shown.status_label.text()
    settle(shown)
    assert not shown.chart.figure.axes[0].get_lines()


@pytest.mark.parametrize(
    "polygon, word",
    [
        (rectangle(500, 500, 10, 10), "outside"),
        (rectangle(5.1, 5.1, 0.2, 0.2), "smaller"),
        (rectangle(-9, -9, 5, 5), "outside"),
    ],
)
def test_fields_without_pixels(shown: SeasonPanel, polygon: QgsGeometry, word: str):
    assert show_field(shown, polygon) is None
    assert word in shown.status_label.text()


def test_a_field_under_clouds_all_year(panel: SeasonPanel, tmp_path: Path):
    ndvi = np.full((3, 10, 10), 0.5)
    write_dates(tmp_path / "series", ndvi, (10, 20, 30), np.full(ndvi.shape, 9))
    panel.show()
    panel.set_series(str(tmp_path / "series"))
    show_field(panel, rectangle(1, 1, 8, 8))
    assert "No date shows this field" in panel.status_label.text()


def test_another_index_reads_again(shown: SeasonPanel):
    ndvi = show_field(shown, early_field()).season.median[0]
    shown.index_combo.setCurrentText("GNDVI")
    shown.index_combo.lineEdit().editingFinished.emit()
    settle(shown)
    reading = shown.reader.reading
    assert isinstance(reading, Reading) and reading.season.median[0] != ndvi
    assert title(shown).startswith("GNDVI")


def test_a_field_asked_for_before_the_series_is_open(panel: SeasonPanel, two_crops: Path):
    panel.set_field(early_field(), UTM, "", "", None)
    panel.set_series(str(two_crops))
    settle(panel)
    assert isinstance(panel.reader.reading, Reading)


def test_a_hidden_panel_opens_nothing(panel: SeasonPanel, two_crops: Path):
    panel.set_series(str(two_crops))
    assert not panel.reader.busy and panel.reader.series is None
    panel.show()
    settle(panel)
    assert panel.reader.series is not None


def test_the_folder_typed_by_the_user(panel: SeasonPanel, two_crops: Path):
    chosen: list[str] = []
    panel.series_changed.connect(chosen.append)
    panel.show()
    panel.folder_widget.lineEdit().setText(str(two_crops))
    wait_until(lambda: panel.reader.series is not None)
    assert panel.series_folder() == str(two_crops)
    assert chosen == [str(two_crops)]


# --- classes ---


def test_the_median_of_a_class(shown: SeasonPanel):
    for row in (2, 14, 26):
        shown.add_to_class("wheat", early_field(row), UTM)
    shown.add_to_class("maize", late_field(), UTM)
    show_field(shown, late_field(), name="wheat")
    season = shown.reader.class_season
    assert season.median == pytest.approx(EARLY, abs=0.01)  # one field sees below the clouds
    assert season.valid_share[CLOUDY_DATE] == pytest.approx(1 / 3)
    assert "wheat" in legend(shown)
    show_field(shown, late_field(), name="none of them")
    assert shown.reader.class_season is None
    assert "none of them" not in legend(shown)


def test_seasons_are_kept(shown: SeasonPanel):
    shown.add_to_class("wheat", early_field(14), UTM)
    first = show_field(shown, early_field(), name="wheat")
    show_field(shown, late_field(), name="wheat")
    shown.set_field(early_field(), UTM, "wheat", "", None)
    assert shown.reader.reading is first and not shown.reader.busy
    assert shown.chart.waiting
    settle(shown)
    shown.set_field(early_field(), UTM, "wheat", "", None)
    assert not shown.chart.waiting  # nothing new to draw


def test_what_is_kept_is_bounded(shown: SeasonPanel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(season_reading, "_KEPT", 3)
    for row in range(2, 8):
        show_field(shown, early_field(row))
    assert len(shown.reader._cache) == 3
    assert isinstance(shown.reader.reading, Reading)


def test_clear_forgets_field_and_classes(shown: SeasonPanel, two_crops: Path):
    shown.add_to_class("wheat", early_field(), UTM)
    show_field(shown, late_field(), name="wheat")
    shown.clear()
    assert shown.reader.wanted is None and shown.series_folder() == str(two_crops)
    show_field(shown, late_field(), name="wheat")
    assert shown.reader.class_season is None


# --- two seasons ---


def test_two_seasons_are_told_and_drawn(shown: SeasonPanel):
    reading = show_field(shown, both_fields())
    assert reading.two is not None and offered(shown)
    share = round(100 * reading.two.shares[0])
    assert f"{share} %" in shown.warning_label.text()
    assert f"{share} %" in legend(shown)


def test_split_gives_two_polygons_that_make_the_field(shown: SeasonPanel):
    show_field(shown, both_fields())
    got: list[tuple] = []
    shown.split_wanted.connect(lambda shapes, crs: got.append((shapes, crs)))
    shown.split_button.click()
    shown.split_button.click()  # it waits for another field
    ((larger, smaller), crs), = got
    assert crs.authid() == "EPSG:32632"
    whole = both_fields()
    assert larger.isGeosValid() and smaller.isGeosValid()
    assert not larger.isMultipart() and not smaller.isMultipart()
    assert larger.area() + smaller.area() == pytest.approx(whole.area())
    assert larger.intersection(smaller).area() == pytest.approx(0, abs=1e-6)
    edge = 500000 + 10 * CUT
    assert smaller.boundingBox().xMaximum() == pytest.approx(edge)
    assert larger.boundingBox().xMinimum() == pytest.approx(edge)
    show_field(shown, early_field())
    assert shown.split_button.isEnabled()


def test_split_of_a_field_in_degrees_comes_in_the_series_system(shown: SeasonPanel):
    degrees = QgsCoordinateReferenceSystem("EPSG:4326")
    field = both_fields()
    field.transform(QgsCoordinateTransform(UTM, degrees, QgsProject.instance()))
    show_field(shown, field, degrees)
    got: list[tuple] = []
    shown.split_wanted.connect(lambda shapes, crs: got.append((shapes, crs)))
    shown.split_button.click()
    shapes, crs = got[0]
    assert crs == UTM
    assert sum(s.area() for s in shapes) == pytest.approx(both_fields().area(), rel=1e-6)


def test_a_field_that_crosses_itself_can_be_cut(shown: SeasonPanel, two_crops: Path):
    grid = shown.reader.series.grid
    bow = QgsGeometry.fromWkt(
        "Polygon ((500030 4999980, 500030 4999700, 500350 4999980, 500350 4999700, 500030 4999980))"
    )
    assert not bow.isGeosValid()
    pixels = place_field(bow, UTM, grid)
    series = open_series(two_crops, ["nir", "red"])
    ((_, reading),) = season_reading.read_fields(series, parse_index("NDVI"), [pixels], SILENT)
    assert reading.two is not None
    parts = cut_field(bow, pixels, reading.two, grid)
    assert all(part.isGeosValid() for part in parts)
    assert sum(p.area() for p in parts) == pytest.approx(bow.makeValid().area())


def test_fields_of_the_demo_scene(panel: SeasonPanel, demo_scene: Any):
    """Real outlines: hardly an alarm over a field, and the same series as the core reads."""
    layer = QgsVectorLayer(str(demo_scene.fields), "fields", "ogr")
    panel.show()
    panel.set_series(str(demo_scene.series))
    alarms, looked = 0, 0
    large = [f for f in layer.getFeatures() if f.geometry().area() > 20_000]
    for feature in large[:12]:
        reading = show_field(panel, feature.geometry(), layer.crs())
        alarms, looked = alarms + (reading.two is not None), looked + 1
    assert looked >= 8 and alarms <= 1
    rows, cols = panel.reader.pixels.places
    series = panel.reader.series
    plain = read_profiles(series, rows, cols, parse_index("NDVI"))
    assert np.nanmax(np.abs(np.nanmedian(plain.values, axis=0) - reading.season.median)) < 1e-6


# --- one task at a time ---


def test_hover_waits_a_moment(shown: SeasonPanel):
    started: list[str] = []
    QgsApplication.taskManager().taskAdded.connect(started.append)
    for row in range(2, 12):
        shown.set_field(early_field(row), UTM, "", "", None)
        QCoreApplication.processEvents()
    settle(shown)
    QgsApplication.taskManager().taskAdded.disconnect(started.append)
    assert len(started) == 1
    assert shown.reader.pixels.window.row == 11


def test_a_newer_field_cancels_the_older(shown: SeasonPanel, slow_reading: list):
    shown.set_field(early_field(), UTM, "", "", None)
    wait_until(lambda: len(slow_reading) == 1)
    shown.set_field(late_field(), UTM, "", "", None)
    settle(shown)
    assert [end for _, end in slow_reading] == ["cancelled", "done"]
    assert isinstance(shown.reader.reading, Reading)


@pytest.fixture
def slow_reading(monkeypatch: pytest.MonkeyPatch) -> list:
    """Reading takes half a second; [field, how it ended] of each."""
    calls: list[list] = []
    read = season_reading.read_fields

    def slowly(series: Any, index: Any, fields: Any, monitor: Any) -> Any:
        call = [fields, "cancelled"]
        calls.append(call)
        for _ in range(50):
            monitor.check()
            time.sleep(0.01)
        call[1] = "done"
        return read(series, index, fields, monitor)

    monkeypatch.setattr(season_reading, "read_fields", slowly)
    return calls


def test_another_series_while_one_is_read(
    shown: SeasonPanel, slow_reading: list, two_crops: Path, tmp_path: Path
):
    shown.set_field(early_field(), UTM, "", "", None)
    wait_until(lambda: len(slow_reading) == 1)
    ndvi = np.full((4, SIDE, SIDE), 0.5)
    shown.set_series(str(write_dates(tmp_path / "other", ndvi, (10, 20, 30, 40))))
    settle(shown)
    assert shown.reader.reading.season.median == pytest.approx([0.5] * 4, abs=0.01)


def test_the_class_is_read_after_the_field_in_small_portions(
    shown: SeasonPanel, slow_reading: list
):
    for row in range(2, 14):
        shown.add_to_class("wheat", early_field(row), UTM)
    show_field(shown, late_field(), name="wheat")
    assert [len(fields) for fields, _ in slow_reading] == [1, 8, 4]


def test_a_read_that_the_user_cancels_is_not_begun_again(shown: SeasonPanel, slow_reading: list):
    shown.set_field(early_field(), UTM, "", "", None)
    wait_until(lambda: len(slow_reading) == 1)
    shown.reader._task.cancel()  # as QGIS' list of tasks does
    settle(shown)
    assert "cancelled" in shown.status_label.text()
    assert len(slow_reading) == 1


# --- the end ---


def test_a_panel_destroyed_while_a_task_runs(shown: SeasonPanel, slow_reading: list):
    shown.set_field(early_field(), UTM, "", "", None)
    wait_until(lambda: len(slow_reading) == 1)
    sip.delete(shown)
    gc.collect()
    manager = QgsApplication.taskManager()
    wait_until(lambda: manager.countActiveTasks() == 0)
    assert slow_reading[0][1] == "cancelled"  # nobody waits for it
    QTest.qWait(100)


def test_shut_down_leaves_no_task(shown: SeasonPanel, slow_reading: list):
    shown.set_field(early_field(), UTM, "", "", None)
    wait_until(lambda: len(slow_reading) == 1)
    start = time.monotonic()
    shown.shut_down()
    assert time.monotonic() - start < 2
    assert slow_reading[0][1] == "cancelled"
    shown.set_field(late_field(), UTM, "", "", None)
    QTest.qWait(400)
    assert len(slow_reading) == 1
    shown.shut_down()


# --- what goes wrong ---


def refused(panel: SeasonPanel, folder: Path) -> str:
    panel.show()
    panel.set_series(str(folder))
    settle(panel)
    assert len(panel.said) == 1
    assert panel.status_label.text() == panel.said[0]
    return panel.said[0]


def test_no_folder_is_no_error(panel: SeasonPanel):
    panel.show()
    assert "Choose the folder" in panel.status_label.text() and panel.said == []


def test_a_folder_that_does_not_exist(panel: SeasonPanel, tmp_path: Path):
    assert str(tmp_path / "nowhere") in refused(panel, tmp_path / "nowhere")


def test_images_without_a_date(panel: SeasonPanel, tmp_path: Path):
    write_image(tmp_path / "scene.tif", {"B04": np.ones((9, 9)), "B08": np.ones((9, 9))})
    assert "no date in the file name" in refused(panel, tmp_path)


def test_images_without_a_near_infrared_band(panel: SeasonPanel, tmp_path: Path):
    write_image(tmp_path / "S2_20220101.tif", {"B03": np.ones((9, 9)), "B04": np.ones((9, 9))})
    assert "no band for nir" in refused(panel, tmp_path)


def test_an_index_that_cannot_be_read(shown: SeasonPanel):
    shown.index_combo.setCurrentText("nir /")
    shown.index_combo.lineEdit().editingFinished.emit()
    assert shown.status_label.text().startswith("Cannot read 'nir /'")
    shown.index_combo.setCurrentText("EVI2")
    shown.index_combo.lineEdit().editingFinished.emit()
    settle(shown)
    assert shown.reader.series is not None and len(shown.said) == 1


def test_the_same_folder_again_tries_again(panel: SeasonPanel, tmp_path: Path):
    refused(panel, tmp_path / "series")
    write_two_crops(tmp_path / "series")
    panel.set_series(str(tmp_path / "series"))
    settle(panel)
    assert isinstance(show_field(panel, early_field()), Reading)


def test_broken_files_are_counted(panel: SeasonPanel, tmp_path: Path):
    series = write_two_crops(tmp_path / "series")
    for path in sorted(series.iterdir())[:2]:
        shorten(path, 0.6)
    panel.show()
    panel.set_series(str(series))
    reading = show_field(panel, rectangle(28, 2, 10, 12))
    assert reading.broken == 2
    assert panel.status_label.text().startswith("2 image(s)")


def test_files_that_vanish_are_one_sentence(shown: SeasonPanel, tmp_path: Path):
    series = write_two_crops(tmp_path / "series")
    shown.set_series(str(series))
    settle(shown)
    for path in series.iterdir():
        path.unlink()
    assert isinstance(show_field(shown, early_field()), str)
    assert len(shown.said) == 1 and "can be read" in shown.said[0]


def test_no_exception_leaves_a_task(qgis_app: Any):
    def broken(monitor: Any) -> None:
        raise KeyError("a defect")

    logged: list[str] = []
    log = QgsApplication.messageLog()
    log.messageReceived.connect(lambda text, tag, level: logged.append(text))
    ended: list[BackgroundTask] = []
    task = BackgroundTask("broken", broken, threading.Event())
    task.ended.connect(ended.append)
    QgsApplication.taskManager().addTask(task)
    wait_until(lambda: bool(ended))
    assert "KeyError" in ended[0].trouble and "\n" not in ended[0].trouble
    wait_until(lambda: any("Traceback" in text for text in logged))


def test_without_matplotlib_the_panel_says_so_and_works(
    panel: SeasonPanel, two_crops: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in [n for n in sys.modules if n.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    panel.show()
    panel.set_series(str(two_crops))
    assert show_field(panel, both_fields()).two is not None
    assert panel.chart.figure is None and offered(panel)
    assert "matplotlib" in panel.chart.layout().itemAt(0).widget().text()


def test_matplotlib_is_left_alone_until_the_panel_is_shown(panel: SeasonPanel):
    assert panel.chart.figure is None
    panel.show()
    assert panel.chart.figure is not None


def test_the_chart_follows_a_dark_theme(shown: SeasonPanel):
    show_field(shown, early_field())
    dark = QPalette()
    for role, colour in (("Window", "#323232"), ("Base", "#232323"), ("WindowText", "#dcdcdc")):
        dark.setColor(getattr(QPalette.ColorRole, role), QColor(colour))
    shown.setPalette(dark)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.PaletteChange)
    from matplotlib.colors import to_hex

    axes = shown.chart.figure.axes[0]
    assert to_hex(shown.chart.figure.get_facecolor()) == "#323232"
    assert to_hex(axes.get_facecolor()) == "#232323"
    assert axes.get_legend().get_texts()[0].get_color() == "#dcdcdc"


def test_a_field_of_too_many_pixels_is_refused(shown: SeasonPanel):
    crs = shown.reader.series.grid.crs
    fine = Grid(5000, 5000, (500000.0, 0.1, 0.0, 5000000.0, 0.0, -0.1), crs)
    assert "too large" in place_field(both_fields(), UTM, fine)


def test_pixels_are_those_of_the_polygon(shown: SeasonPanel):
    grid = shown.reader.series.grid
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[3:9, 5:7] = mask[8, 7:30] = True
    pixels = place_field(polygon_of(mask, grid.whole, grid), UTM, grid)
    assert isinstance(pixels, FieldPixels)
    back = np.zeros_like(mask)
    back[pixels.places] = True
    assert np.array_equal(back, mask)
