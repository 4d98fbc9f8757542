"""furrow:encodeimage: windows are encoded once, whoever looks at them afterwards."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

from furrow.core.report.run_record import read
from furrow.models.segmenters.embeddings.embedding_index import INDEX, read_index
from furrow.models.segmenters.embeddings.embedding_store import EmbeddingStore
from furrow.tests.core.series_files import UTM32, write_image

pytestmark = pytest.mark.qgis
PIXEL = 10.0
CORNER = (500000.0, 5300000.0)
BANDS = ("B02", "B03", "B04", "B08")


def paint(path: Path, side: int = 300, seed: int = 1) -> Path:
    """An image of square fields with four bands."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[0:side, 0:side]
    values = rng.integers(300, 4000, (4, 1 + side // 25, 1 + side // 25))
    shown = values[:, rows // 25, cols // 25] + rng.normal(0, 30, (4, side, side))
    bands = {name: band.astype(np.uint16) for name, band in zip(BANDS, shown)}
    place = (CORNER[0], PIXEL, 0.0, CORNER[1], 0.0, -PIXEL)
    return write_image(path, bands, nodata=0, epsg=UTM32, transform=place)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return paint(tmp_path / "fields_20220607.tif")


@pytest.fixture
def encode(run_algorithm: Any, image: Path, tmp_path: Path) -> Callable[..., dict]:
    """Run encodeimage on the image with the classical engine, into the folder `windows`."""

    def run(**more: Any) -> dict:
        given = {"INPUT": str(image), "MODEL": "classical", "OUTPUT": str(tmp_path / "windows")}
        how = {"feedback": more.pop("feedback")} if "feedback" in more else {}
        return run_algorithm("encodeimage", {**given, **more}, **how)

    return run


def points(make_layer: Any, *places: tuple[float, float]) -> Any:
    """Prompts at columns and rows."""
    rows = [(f"Point ({CORNER[0] + c * PIXEL} {CORNER[1] - r * PIXEL})", []) for c, r in places]
    return make_layer("Point", f"EPSG:{UTM32}", {}, rows)


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.npz")}


def record_of(path: Path) -> Any:
    return read(f"{path}.run.json")


# --- the folder -------------------------------------------------------------------------------


def test_all_windows_of_the_lattice_are_encoded(encode: Any, image: Path, tmp_path: Path) -> None:
    folder = tmp_path / "windows"
    assert encode() == {"OUTPUT": str(folder), "ENCODED": 4, "REUSED": 0}
    (listed,) = read_index(folder)
    assert sorted(w.row for w in listed.windows) == [0, 0, 100, 100]
    assert {f"{key}.npz" for key in listed.windows.values()} == entries(folder)
    assert (listed.path, listed.bytes) == (str(image.resolve()), image.stat().st_size)
    assert (listed.model, listed.tile, listed.bands) == ("classical", 200, (4, 3, 2))
    assert listed.changed.startswith("20") and listed.furrow_version
    names = {path.name for path in folder.iterdir()} - entries(folder)
    assert names == {INDEX, f"{INDEX}.run.json"}
    record = record_of(folder / INDEX)
    assert record.algorithm == "furrow:encodeimage"
    assert record.model["sha256"] == listed.fingerprint
    assert record.counts == {"WINDOWS": 4, "ENCODED": 4, "REUSED": 0, "EMPTY": 0}


def test_a_second_run_encodes_nothing(encode: Any, image: Path, tmp_path: Path) -> None:
    encode()
    written = {name: (tmp_path / "windows" / name).read_bytes() for name in
               entries(tmp_path / "windows")}  # fmt: skip
    assert encode()["REUSED"] == 4
    moved = tmp_path / "elsewhere.tif"
    shutil.copy(image, moved)
    result = encode(INPUT=str(moved))
    assert (result["ENCODED"], result["REUSED"]) == (0, 4)
    assert len(read_index(tmp_path / "windows")) == 2
    for name, content in written.items():
        assert (tmp_path / "windows" / name).read_bytes() == content


def test_bands_size_and_pixels_make_other_windows(
    encode: Any, image: Path, tmp_path: Path
) -> None:
    encode()
    assert encode(RED=3, GREEN=2, BLUE=1)["ENCODED"] == 4
    assert encode(TILE=300)["ENCODED"] == 1
    paint(image, seed=2)
    assert encode()["ENCODED"] == 4
    listed = read_index(tmp_path / "windows")
    assert [(item.bands, item.tile) for item in listed] == [
        ((3, 2, 1), 200), ((4, 3, 2), 300), ((4, 3, 2), 200)
    ]  # fmt: skip


def test_an_extent_means_the_windows_that_answer_there(encode: Any, tmp_path: Path) -> None:
    x, y = CORNER
    within = f"{x + 50},{x + 700},{y - 2990},{y - 2400} [EPSG:{UTM32}]"
    assert encode(EXTENT=within)["ENCODED"] == 1
    (listed,) = read_index(tmp_path / "windows")
    assert [(w.row, w.col) for w in listed.windows] == [(100, 0)]
    assert encode() == {"OUTPUT": str(tmp_path / "windows"), "ENCODED": 3, "REUSED": 1}
    assert len(read_index(tmp_path / "windows")[0].windows) == 4


def test_an_extent_in_another_reference_system(encode: Any) -> None:
    assert encode(EXTENT="9.0001,9.01,47.84,47.853 [EPSG:4326]")["ENCODED"] == 1


def test_windows_without_data_are_left_out(encode: Any, tmp_path: Path) -> None:
    values = np.zeros((500, 200), np.uint16)
    values[:100] = 1000 + np.arange(200)
    blank = write_image(tmp_path / "blank.tif", {"B04": values}, nodata=0)
    assert encode(INPUT=str(blank))["ENCODED"] == 1
    counts = record_of(tmp_path / "windows" / INDEX).counts
    assert (counts["WINDOWS"], counts["EMPTY"]) == (4, 3)


def test_damaged_entries_and_a_damaged_index_are_made_again(encode: Any, tmp_path: Path) -> None:
    encode()
    folder = tmp_path / "windows"
    first, second = sorted(folder.glob("*.npz"))[:2]
    whole = {path: path.read_bytes() for path in (first, second)}
    first.write_bytes(whole[first][:1000])
    second.write_bytes(whole[second].replace(b"descr", b"descx", 3))
    (folder / INDEX).write_bytes((folder / INDEX).read_bytes()[:-20])
    result = encode()
    assert (result["ENCODED"], result["REUSED"]) == (2, 2)
    assert len(read_index(folder)[0].windows) == 4
    store = EmbeddingStore(folder, 0, 10**9)
    assert all(store.get(path.stem) is not None for path in whole)


def test_without_an_output_it_is_the_click_tools_folder(
    encode: Any, tmp_path: Path, furrow_provider: Any
) -> None:
    from qgis.core import QgsSettings

    QgsSettings().setValue("furrow/cache_folder", str(tmp_path / "of the settings"))
    try:
        proposed = furrow_provider.algorithm("encodeimage").create()
        assert proposed.parameterDefinition("OUTPUT").defaultValue() == str(
            tmp_path / "of the settings"
        )
        assert encode(OUTPUT=None)["OUTPUT"] == str(tmp_path / "of the settings")
    finally:
        QgsSettings().remove("furrow")
    assert len(entries(tmp_path / "of the settings")) == 4


# --- who reuses it ----------------------------------------------------------------------------


def test_prompts_reuse_the_windows(
    encode: Any, image: Path, run_algorithm: Any, make_layer: Any, tmp_path: Path, table: Any
) -> None:
    encode()
    before = entries(tmp_path / "windows")
    clicks = points(make_layer, *((c + 0.5, r + 0.5) for c in range(30, 280, 60)
                                  for r in range(30, 280, 60)))  # fmt: skip
    given = {"INPUT": str(image), "PROMPTS": clicks, "MODEL": "classical"}
    plain = run_algorithm("segmentprompts", {**given, "OUTPUT": str(tmp_path / "a.gpkg")})
    found = run_algorithm(
        "segmentprompts",
        {**given, "OUTPUT": str(tmp_path / "b.gpkg"), "EMBEDDINGS": str(tmp_path / "windows")},
    )
    counts = record_of(tmp_path / "b.gpkg").counts
    assert counts["ENCODES"] == counts["REUSED"] == 4
    assert "REUSED" not in record_of(tmp_path / "a.gpkg").counts
    assert entries(tmp_path / "windows") == before
    assert table(plain["OUTPUT"]) == table(found["OUTPUT"])


def test_what_is_missing_is_encoded_and_kept(
    encode: Any, image: Path, run_algorithm: Any, make_layer: Any, tmp_path: Path
) -> None:
    from qgis.core import QgsProcessingFeedback

    encode(TILE=300)
    given = {
        "INPUT": str(image), "PROMPTS": points(make_layer, (50.5, 60.5)), "MODEL": "classical",
        "OUTPUT": str(tmp_path / "a.gpkg"), "EMBEDDINGS": str(tmp_path / "windows"),
    }  # fmt: skip
    feedback = QgsProcessingFeedback(False)
    run_algorithm("segmentprompts", given, feedback=feedback)
    assert record_of(tmp_path / "a.gpkg").counts["REUSED"] == 0
    assert f"{image.name} (classical, 300 px)" in feedback.textLog()
    run_algorithm("segmentprompts", {**given, "OUTPUT": str(tmp_path / "b.gpkg")})
    counts = record_of(tmp_path / "b.gpkg").counts
    assert counts["REUSED"] == counts["ENCODES"] == 1


def test_samples_reuse_the_windows_of_their_image(
    quarters: Any, run_algorithm: Any, samples_of: Any, tmp_path: Path
) -> None:
    folder = str(tmp_path / "windows")
    run_algorithm(
        "encodeimage", {"INPUT": str(quarters.image), "MODEL": "classical", "OUTPUT": folder}
    )
    samples_of(quarters, OUTPUT=str(tmp_path / "s.gpkg"), IMAGE=str(quarters.image),
               EMBEDDINGS=folder)  # fmt: skip
    counts = record_of(tmp_path / "s.gpkg").counts
    assert counts["REUSED"] == counts["ENCODES"] == 1


def test_samples_of_a_series_are_encoded_once_in_all_runs(
    quarters: Any, samples_of: Any, tmp_path: Path
) -> None:
    found = []
    (tmp_path / "windows").mkdir()
    for name in ("a", "b"):
        samples_of(quarters, OUTPUT=str(tmp_path / f"{name}.gpkg"), DATES=3,
                   EMBEDDINGS=str(tmp_path / "windows"))  # fmt: skip
        counts = record_of(tmp_path / f"{name}.gpkg").counts
        found.append((counts["ENCODES"], counts["REUSED"]))
    assert found[0][0] == found[1][0] == found[1][1] > 1 and found[0][1] == 0


@pytest.mark.parametrize("name", ["denmark/s2_rgb.tif", "innviertel/s2_two_dates_rgbn.tif"])
def test_the_click_tool_reads_the_very_same_pixels(
    qgis_app: Any, shared_data: Path, tmp_path: Path, name: str
) -> None:
    from qgis.core import QgsRasterLayer

    from furrow.core.imagery.lattice import windows_over
    from furrow.core.imagery.pictures import FilePictures
    from furrow.qgis_io.layer_pictures import LayerLook, LayerPictures, looks_of

    path = tmp_path / Path(name).name  # a copy: QGIS may write statistics beside it
    shutil.copy(shared_data / name, path)
    layer = QgsRasterLayer(str(path), "layer")
    clicked, read_ = LayerPictures(layer, LayerLook(looks_of(layer)[0])), FilePictures(str(path))
    for window in windows_over(read_.grid, read_.grid.whole, 200):
        assert np.array_equal(clicked.read(window).image, read_.pictures(window)[0].image)


def test_the_click_tool_encodes_nothing_again(encode: Any, image: Path, tmp_path: Path) -> None:
    from qgis.core import QgsRasterLayer

    from furrow.core.imagery.lattice import windows_over
    from furrow.qgis_io.layer_pictures import LayerLook, LayerPictures, looks_of
    from furrow.tests.ui.waiting import wait_until
    from furrow.ui.clicking.encoding import View, WindowEncoder
    from furrow.ui.engines import Engine

    encode()
    folder = tmp_path / "windows"
    before = {path: path.read_bytes() for path in folder.glob("*.npz")}
    layer = QgsRasterLayer(str(image), "layer")
    pictures = LayerPictures(layer, LayerLook(looks_of(layer)[0]))
    encoder = WindowEncoder(EmbeddingStore(folder, 2**28, 2000))  # no room for more on disk
    engine = Engine("classical")
    encoder.look_at(View(pictures, engine))
    windows = windows_over(pictures.grid, pictures.grid.whole, 200)
    segmenter = engine.start()
    segmenter.encode = lambda image: pytest.fail("it was encoded again")
    encoder.want(windows)
    wait_until(lambda: all(encoder.get(window) for window in windows) and not encoder.busy)
    encoder.close()
    assert {path: path.read_bytes() for path in folder.glob("*.npz")} == before


# --- what goes wrong --------------------------------------------------------------------------


def test_bad_input_is_refused_with_a_sentence(
    refused: Any, image: Path, tmp_path: Path
) -> None:
    given = {"INPUT": str(image), "MODEL": "classical", "OUTPUT": str(tmp_path / "windows")}
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / INDEX).write_text('{"pages": 3}')
    for words, bad in (
        (("RED", "all three"), {"RED": 1}),
        (("bands", "9"), {"RED": 9, "GREEN": 9, "BLUE": 9}),
        (("OUTPUT", "is a file"), {"OUTPUT": str(image)}),
        (("OUTPUT", "choose another folder"), {"OUTPUT": str(tmp_path / "site")}),
        (("EXTENT", "beside the image"), {"EXTENT": f"0,1,0,1 [EPSG:{UTM32}]"}),
        (("TILE",), {"TILE": 5000}),
    ):
        refused("encodeimage", {**given, **bad}, *words)


def test_a_folder_of_embeddings_must_be_there(
    refused: Any, image: Path, make_layer: Any, tmp_path: Path
) -> None:
    given = {"INPUT": str(image), "PROMPTS": points(make_layer, (5, 5)), "OUTPUT": "memory:"}
    refused("segmentprompts", {**given, "EMBEDDINGS": str(tmp_path / "none")}, "EMBEDDINGS",
            "none", "not a folder")  # fmt: skip


def test_a_disk_that_is_too_small_is_told_at_once(
    encode: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from qgis.core import QgsProcessingException

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**6))
    with pytest.raises(QgsProcessingException, match="OUTPUT: 3 more windows take .* MB are free"):
        encode()
    assert len(entries(tmp_path / "windows")) == 1


def test_a_stopped_run_ends_soon_and_goes_on_later(
    encode: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qgis.core import QgsProcessingFeedback

    from furrow.models.segmenters.regions.classical import ClassicalSegmenter

    feedback, begun, plain = QgsProcessingFeedback(False), [], ClassicalSegmenter.encode

    def slow(self: Any, image: np.ndarray) -> Any:
        """The user stops within the third window, which takes long."""
        begun.append(time.perf_counter())
        if len(begun) == 3:
            feedback.cancel()
            time.sleep(3)
        return plain(self, image)

    monkeypatch.setattr(ClassicalSegmenter, "encode", slow)
    assert encode(feedback=feedback) == {}
    assert time.perf_counter() - begun[2] < 1
    folder = tmp_path / "windows"
    assert len(entries(folder)) == len(read_index(folder)[0].windows) == 2
    assert "2 windows are kept" in feedback.textLog()
    assert not (folder / f"{INDEX}.run.json").exists()
    monkeypatch.setattr(ClassicalSegmenter, "encode", plain)
    assert encode()["REUSED"] >= 2
    assert len(entries(folder)) == 4
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_the_index_is_json_that_any_program_reads(encode: Any, tmp_path: Path) -> None:
    encode()
    found = json.loads((tmp_path / "windows" / INDEX).read_text(encoding="utf-8"))
    assert found["kind"] == "embeddings of furrow:encodeimage"
    assert found["images"][0]["count"] == 4
