"""furrow:delineate with a model for super-resolution: what is asked, kept, told and refused."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from furrow.core.fields.delineation import scene as scene_delineation  # noqa: E402
from furrow.core.fields.delineation.options import DelineationOptions  # noqa: E402
from furrow.core.fields.delineation.scene import TileJob  # noqa: E402
from furrow.core.fields.delineation.tiling import Lattice  # noqa: E402
from furrow.core.imagery.raster_gdal import describe  # noqa: E402
from furrow.core.imagery.scene_images import measured_image  # noqa: E402
from furrow.core.places import Places  # noqa: E402
from furrow.core.plain_data import from_plain, to_plain  # noqa: E402
from furrow.core.report.run_record import read  # noqa: E402
from furrow.models.segmenters.file_hash import file_hash  # noqa: E402
from furrow.models.segmenters.tiles.tile_work import (  # noqa: E402
    ModelChoice,
    SceneWork,
    scene_zoom,
    work_on_tile,
)
from furrow.models.super_resolution.onnx_enlarger import OnnxEnlarger  # noqa: E402
from furrow.tests.algorithms.test_delineate import (  # noqa: E402
    CORNER,
    PIXEL,
    SIDE,
    TILE,
    assert_cancelled_soon,
    paint,
    shapes,
    shown,
)
from furrow.tests.models.super_resolution import small_files  # noqa: E402

pytestmark = pytest.mark.qgis


@pytest.fixture
def twice(tmp_path: Path) -> Path:
    return small_files.repeating(tmp_path / "twice.onnx", 2)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return paint(tmp_path / "land.tif", shown())


@pytest.fixture
def delineate(run_algorithm: Any, image: Path, tmp_path: Path, twice: Path) -> Callable[..., dict]:
    """Run delineate with the classical engine, in four tiles that are enlarged twice."""

    def run(**more: Any) -> dict:
        given = {
            "INPUT": str(image), "MODEL": "classical", "TILE": TILE, "REFINE": False,
            "MIN_AREA_HA": 0.5, "SUPER_RESOLUTION": str(twice),
            "OUTPUT": str(tmp_path / "fields.gpkg"),
        }  # fmt: skip
        how = {"feedback": more.pop("feedback")} if "feedback" in more else {}
        return run_algorithm("delineate", {**given, **more}, **how)

    return run


@pytest.fixture
def scene(image: Path, twice: Path, tmp_path: Path) -> SceneWork:
    seen, grid = measured_image(str(image), (1, 2, 3)), describe(str(image)).grid
    model = ModelChoice("classical", None, Places.under(tmp_path))
    return SceneWork((seen,), grid, None, DelineationOptions(), None, model, str(twice))


@pytest.mark.parametrize("factor", [2, 4])
def test_fields_lie_on_the_pixels_of_the_image(
    delineate: Any, table: Any, tmp_path: Path, factor: int
) -> None:
    model = small_files.repeating(tmp_path / "model.onnx", factor)
    result = delineate(SUPER_RESOLUTION=str(model), SIMPLIFY_M=0, REPORT=str(tmp_path / "r.html"))
    rows = table(result["OUTPUT"])
    assert 22 <= sum(2.8 < row["area_ha"] < 4.1 for row in rows) <= 25
    for shape in shapes(result["OUTPUT"]):
        for vertex in shape.vertices():
            cells = (vertex.x() - CORNER[0]) / PIXEL, (CORNER[1] - vertex.y()) / PIXEL
            assert np.allclose(cells, np.rint(cells), atol=1e-6)
            assert min(cells) > -1e-6 and max(cells) < SIDE + 1e-6
    record = read(f"{result['OUTPUT']}.run.json")
    assert record.model["super_resolution"] == file_hash(model)
    assert record.model["id"] == "classical"
    assert record.parameters["SUPER_RESOLUTION"] == str(model)
    assert record.seconds["enlarge"] > 0
    assert "Super-resolution" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_without_it_nothing_is_told_of_it(
    delineate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise RuntimeError("nobody asked for this")

    monkeypatch.setattr(OnnxEnlarger, "__init__", never)
    result = delineate(SUPER_RESOLUTION="", REPORT=str(tmp_path / "r.html"))
    record = read(f"{result['OUTPUT']}.run.json")
    assert "super_resolution" not in record.model and record.seconds["enlarge"] == 0
    assert "Super-resolution" not in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_processes_enlarge_as_this_one_does(delineate: Any, table: Any) -> None:
    alone = table(delineate(OUTPUT="memory:")["OUTPUT"])
    assert table(delineate(OUTPUT="memory:", WORKERS=2)["OUTPUT"]) == alone
    assert table(delineate(OUTPUT="memory:", WORKERS="threads:2")["OUTPUT"]) == alone
    assert table(delineate(OUTPUT="memory:", SUPER_RESOLUTION="")["OUTPUT"]) != alone


def test_another_file_makes_other_tiles(
    delineate: Any, tmp_path: Path, twice: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All tiles are done when the disk is full: what follows shows whether they are used again."""
    from qgis.core import QgsProcessingException, QgsProcessingFeedback

    def no_room(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(scene_delineation, "joined", no_room)

    def reused(**more: Any) -> bool:
        feedback = QgsProcessingFeedback(False)
        with pytest.raises(QgsProcessingException, match="make room on the disk"):
            delineate(feedback=feedback, **more)
        return "4 of 4 tiles are there from an earlier run" in feedback.textLog()

    assert not reused() and reused()
    assert not reused(SUPER_RESOLUTION="")
    assert not reused() and reused()
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(twice.read_bytes())
    assert reused(SUPER_RESOLUTION=str(copy)), "the same network under another name"
    small_files.times(twice, 1.0)
    assert not reused()


def test_the_scene_asks_the_file_how_much_it_is_enlarged(scene: SceneWork) -> None:
    assert scene_zoom(scene) == 2
    record = work_on_tile(scene, TileJob(Lattice((SIDE, SIDE), TILE, 16).tiles[0]))
    assert record.count > 0 and record.labels.shape == record.valid.shape
    assert from_plain(SceneWork, json.loads(json.dumps(to_plain(scene)))) == scene


def test_cancelling_takes_less_than_a_second(
    delineate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_cancelled_soon(delineate, tmp_path, monkeypatch, OnnxEnlarger, "__call__")


def test_bad_files_are_refused_before_the_work(
    refused: Any, image: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    (tmp_path / "weights.pth").write_bytes(b"PK\x03\x04")
    for words, path in (
        (("does not exist", "leave SUPER_RESOLUTION empty"), tmp_path / "missing.onnx"),
        (("not an ONNX file", "export-super-resolution"), tmp_path / "text.onnx"),
        (("not an ONNX file", "weights.pth"), tmp_path / "weights.pth"),
        (("2 inputs",), small_files.two_inputs(tmp_path / "two.onnx")),
        (("one size only",), small_files.repeating(tmp_path / "a.onnx", shape=(1, 3, 64, 64))),
        (("5 times as high",), small_files.repeating(tmp_path / "five.onnx", 5)),
        (("no numbers",), small_files.no_numbers(tmp_path / "nan.onnx")),
    ):
        given = {"INPUT": str(image), "MODEL": "classical", "TILE": TILE, "OUTPUT": "memory:"}
        refused("delineate", {**given, "SUPER_RESOLUTION": str(path)}, "SUPER_RESOLUTION", *words)


def test_a_network_that_fails_on_a_tile_ends_the_run_with_a_sentence(
    delineate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qgis.core import QgsProcessingException

    from furrow.core.errors import ModelError

    def fails(self: Any, image: np.ndarray) -> Any:
        raise ModelError("SUPER_RESOLUTION: the memory is full; give a smaller TILE.")

    monkeypatch.setattr(OnnxEnlarger, "__call__", fails)
    with pytest.raises(QgsProcessingException, match="SUPER_RESOLUTION: the memory is full"):
        delineate()
    assert not (tmp_path / "fields.gpkg").exists()
