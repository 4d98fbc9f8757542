"""Preferences of the profile, the state in the project, and the page in QGIS' settings."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Iterator

import pytest
from qgis.core import QgsApplication, QgsProject, QgsSettings
from qgis.PyQt.QtWidgets import QApplication, QLabel

from furrow.core.places import Places
from furrow.tests.ui.widgets import press
from furrow.ui.models.model_manager import ModelManager
from furrow.ui.preferences import (
    LIMITS,
    PREFIX,
    Preferences,
    ProjectState,
    cache_path,
    read_preferences,
    read_project,
    write_preferences,
    write_project,
)
from furrow.ui.settings_page import SettingsFactory, SettingsPage

OTHERS = Preferences(
    model="classical", window=128, memory_mb=64, disk_mb=0, cache_folder="/tmp/a, b",
    hover=False, share_edges=False, simplify=1.25, web_metres=2.5, new_layer="geopackage",
)  # fmt: skip
pytestmark = pytest.mark.usefixtures("settings")


def stored(name: str, value: Any) -> Any:
    QgsSettings().setValue(PREFIX + name, value)
    return getattr(read_preferences(), name)


def test_defaults() -> None:
    assert read_preferences() == Preferences()


def test_preferences_are_kept(settings: QgsSettings) -> None:
    write_preferences(OTHERS)
    settings.sync()
    assert read_preferences() == OTHERS


def test_settings_file_gives_texts(settings: QgsSettings) -> None:
    for field in fields(OTHERS):
        settings.setValue(PREFIX + field.name, str(getattr(OTHERS, field.name)).lower())
    assert read_preferences() == OTHERS


@pytest.mark.parametrize("name", sorted(LIMITS))
@pytest.mark.parametrize("value", ["", "many", "nan", "-1", "1e9", [1, 2], True, {"a": 1}, "1e999"])
def test_numbers_that_cannot_be(name: str, value: Any) -> None:
    assert stored(name, value) == getattr(Preferences(), name)


@pytest.mark.parametrize(
    ("name", "value"),
    [("window", 63), ("window", 1025), ("window", "200.5"), ("hover", "perhaps"), ("hover", [1]),
     ("new_layer", "cloud"), ("model", 5), ("cache_folder", ["a"])],
)  # fmt: skip
def test_other_values_that_cannot_be(name: str, value: Any) -> None:
    assert stored(name, value) == getattr(Preferences(), name)


def test_the_cache_is_in_the_profile_unless_told() -> None:
    profile = Path(QgsApplication.qgisSettingsDirPath())
    assert cache_path(Preferences()) == profile / "furrow" / "embeddings"
    assert cache_path(OTHERS) == Path("/tmp/a, b")


STATE = ProjectState(
    image_layer="image_1", look="bands", bands=(4, 3, 2), model="classical",
    target_layer="fields_2", class_name="Weizen «1»", mapping={"class": "crop", "code": ""},
)  # fmt: skip


def test_the_project_keeps_the_state() -> None:
    project = QgsProject()
    assert read_project(project) == ProjectState()
    write_project(project, STATE)
    assert read_project(project) == STATE


def test_the_folder_moves_with_the_project(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "series").mkdir(parents=True)
    project = QgsProject()
    project.setFileName(str(tmp_path / "a" / "my.qgs"))
    write_project(project, ProjectState(series_folder=str(tmp_path / "a" / "series")))
    assert read_project(project).series_folder == str(tmp_path / "a" / "series")
    project.setFileName(str(tmp_path / "b" / "my.qgs"))
    assert read_project(project).series_folder == str(tmp_path / "b" / "series")


@pytest.mark.parametrize("text", ["", "{", "[" * 100000, "[1]", "null", "5", '"look"'])
def test_a_strange_project(text: str) -> None:
    project = QgsProject()
    project.writeEntry("furrow", "state", text)
    assert read_project(project) == ProjectState()


def test_strange_values_of_the_state() -> None:
    entries = {
        "image_layer": 5, "look": ["bands"], "bands": [1, True, 3], "model": None,
        "target_layer": {}, "class_name": ["x"], "mapping": {"class": 1, "code": "c"}, "more": 1,
    }  # fmt: skip
    project = QgsProject()
    project.writeEntry("furrow", "state", json.dumps(entries))
    assert read_project(project) == ProjectState(mapping={"code": "c"})


class Cache:
    """Stands for the stored windows."""

    def __init__(self) -> None:
        self.bytes = 5_000_000
        self.applied = 0

    def clear(self) -> None:
        self.bytes = 0

    def apply(self) -> None:
        self.applied += 1


@pytest.fixture
def cache() -> Cache:
    return Cache()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ModelManager]:
    manager = ModelManager(Places.under(tmp_path))
    yield manager
    manager.shut_down()


@pytest.fixture
def page(cache: Cache, manager: ModelManager) -> Iterator[SettingsPage]:
    factory = SettingsFactory(lambda: cache.bytes, cache.clear, cache.apply, lambda: manager)
    assert factory.title() == "Furrow"
    assert not factory.icon().isNull()
    page = factory.createWidget(None)
    yield page
    page.close()


def test_the_page_shows_what_is_set(page: SettingsPage) -> None:
    assert page.preferences() == Preferences()
    page.show_preferences(OTHERS)
    assert page.preferences() == OTHERS
    page.show_preferences(replace(OTHERS, model="gone"))
    assert page.preferences().model == ""


def test_ok_writes(page: SettingsPage, cache: Cache) -> None:
    page.show_preferences(OTHERS)
    assert read_preferences() == Preferences()
    page.apply()
    assert read_preferences() == OTHERS
    assert cache.applied == 1


def test_numbers_stay_within_their_limits(page: SettingsPage) -> None:
    for name, (low, high) in LIMITS.items():
        box = getattr(page, f"{name}_box")
        assert (box.minimum(), box.maximum()) == (low, high)
        box.clear()
        assert box.value() == getattr(Preferences(), name)


def test_stored_windows_are_cleared(page: SettingsPage, cache: Cache) -> None:
    assert "5.0 MB" in page.cache_size_label.text()
    press(page.clear_cache_button)
    assert cache.bytes == 0
    assert "none" in page.cache_size_label.text()
    assert not page.clear_cache_button.isEnabled()


def test_the_page_follows_the_model_manager(page: SettingsPage, manager: ModelManager) -> None:
    page.show_preferences(replace(Preferences(), model="edge-sam"))
    press(page.models_button)
    manager.changed.emit()
    assert page.preferences().model == "edge-sam", "what the user has chosen meanwhile stays"
    manager.choose("classical")
    manager.set_default()
    assert page.preferences().model == "classical"


def test_everything_is_explained(page: SettingsPage) -> None:
    helps = [each for each in page.findChildren(QLabel) if each.objectName().endswith("_help")]
    assert len(helps) == len(fields(Preferences))
    assert all(each.text().endswith(".") for each in helps)
    buddies = [each for each in page.findChildren(QLabel) if each.buddy() is not None]
    assert all("&" in each.text() for each in buddies)


def test_the_page_needs_no_sideways_scrolling(page: SettingsPage) -> None:
    page.resize(500, 500)
    page.show()
    QApplication.processEvents()
    assert page.width() == 500
    assert not page.area.horizontalScrollBar().isVisible()
