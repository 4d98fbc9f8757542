"""Fields in the map of the real QGIS window while they are found."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from furrow.tests.qgis.test_plugin_gui import session


@pytest.mark.gui
def test_fields_are_shown_while_they_are_found(
    root: Path, tmp_path: Path, qgis_cli: ModuleType, shared_data: Path
) -> None:
    image = shared_data / "naip_dakota" / "naip_20170827.tif"
    picture = root / "build" / "screens" / "delineate_preview.png"
    picture.unlink(missing_ok=True)
    status, said = session(
        qgis_cli, root, tmp_path, "delineate_preview.py", FURROW_IMAGE=str(image)
    )
    assert status == 0, said
    assert picture.stat().st_size > 10_000
