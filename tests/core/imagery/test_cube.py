"""A cube folder as a series."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from furrow.core.errors import SeriesError
from furrow.core.imagery.series import open_series


def _write(folder: Path, scene: Path, **changes: object) -> None:
    files = sorted(scene.glob("*.tif"))[:4]
    part = {
        "bands": ["B02", "B03", "B04", "B08", "SCL"],
        "dates": ["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01"],
        "files": [str(path) for path in files],
        "scale": 0.0002,
    }
    radar = {"bands": ["VV"], "dates": [], "files": []}
    cube = {"series": {"s1": radar, "s2": {**part, **changes}}}
    (folder / "cube.json").write_text(json.dumps(cube))


def test_dates_bands_and_scale_come_from_the_cube(tmp_path: Path, demo_scene: object) -> None:
    _write(tmp_path, demo_scene.series)
    series = open_series(tmp_path, ["red", "nir"])
    assert [date.isoformat() for date in series.dates][-1] == "2020-04-01"
    assert series.images[0].scale == 0.0002
    assert series.has_quality


@pytest.mark.parametrize(
    "text", ["{", '{"series": []}', '{"series": {}}', '{"series": {"s2": {"bands": []}}}']
)
def test_a_cube_that_cannot_be_read_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "cube.json").write_text(text)
    with pytest.raises(SeriesError, match="cube.json"):
        open_series(tmp_path, ["red"])


def test_a_file_that_is_gone_is_left_out(tmp_path: Path, demo_scene: object) -> None:
    files = [str(path) for path in sorted(demo_scene.series.glob("*.tif"))[:3]]
    _write(tmp_path, demo_scene.series, files=[*files, "gone.tif"])
    series = open_series(tmp_path, ["red", "nir"])
    assert len(series.images) == 3
    assert [item.item for item in series.skipped] == ["gone.tif"]
