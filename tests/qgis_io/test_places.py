"""Where Furrow's folders are: in the profile unless the settings say otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator

import pytest
from qgis.core import QgsApplication, QgsSettings

from furrow.core.places import Places
from furrow.qgis_io.places import EMBEDDINGS_SETTING, MODELS_SETTING, places, profile_folder
from furrow.ui.preferences import Preferences, cache_path, write_preferences


@pytest.fixture(autouse=True)
def settings(qgis_app: Any) -> Iterator[QgsSettings]:
    settings = QgsSettings()
    settings.remove("furrow")
    yield settings
    settings.remove("furrow")


def test_all_folders_are_in_the_profile() -> None:
    assert profile_folder() == Path(QgsApplication.qgisSettingsDirPath()) / "furrow"
    assert places() == Places.under(profile_folder())
    assert {path.parent for path in vars(places()).values()} == {profile_folder()}
    assert len(set(vars(places()).values())) == 4


def test_folders_of_the_settings_count(settings: QgsSettings) -> None:
    settings.setValue(MODELS_SETTING, "/data/models of all")
    settings.setValue(EMBEDDINGS_SETTING, "/scratch/embeddings")
    assert places().models == Path("/data/models of all")
    assert places().embeddings == Path("/scratch/embeddings")
    assert places().packages == Places.under(profile_folder()).packages


@pytest.mark.parametrize("value", ["", "  ", ["a", "b"], None])
def test_settings_that_name_no_folder(settings: QgsSettings, value: Any) -> None:
    settings.setValue(MODELS_SETTING, value)
    assert places() == Places.under(profile_folder())


@pytest.mark.parametrize("folder", ["", "/scratch/cache"])
def test_the_dock_and_the_algorithms_use_one_cache(folder: str) -> None:
    chosen = Preferences(cache_folder=folder)
    write_preferences(chosen)
    assert cache_path(chosen) == places().embeddings
