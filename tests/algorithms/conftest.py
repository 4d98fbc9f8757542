"""What the tests of the algorithms share: a series with a known answer, layers, refusals."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from furrow.tests.core.series_files import UTM32, WGS84, write_dates

SIDE = 24
"""Pixels along a side of each of the four fields."""
DAYS = range(90, 300, 20)
EARLY = np.array([0.3, 0.5, 0.7, 0.85, 0.8, 0.5, 0.3, 0.2, 0.2, 0.2, 0.2])
LATE = EARLY[::-1]
CORNER = (500000.0, 5300000.0)
DEGREES = (15.0, 48.0)
STEP = 0.0001
"""Pixel of the series in degrees: 11.1 m from north to south, 7.5 m from west to east."""


@pytest.fixture(scope="module", autouse=True)
def layers_go_before_qgis() -> Iterator[None]:
    """Tracebacks of refusals hold layers in circles, and QGIS must outlive those."""
    yield
    gc.collect()


@dataclass(frozen=True)
class Quarters:
    """Four square fields: early and late crop above, late and early below."""

    series: Path
    corner: tuple[float, float]
    pixel: float
    crs: str

    @property
    def image(self) -> Path:
        """The date on which the two crops differ most."""
        return sorted(self.series.iterdir())[3]

    def at(self, col: float, row: float) -> tuple[float, float]:
        """Map coordinates of a place in pixels."""
        return self.corner[0] + col * self.pixel, self.corner[1] - row * self.pixel

    def wkt(self, col: float, row: float) -> str:
        x, y = self.at(col, row)
        return f"Point ({x!r} {y!r})"

    def square(self, col: float, row: float, side: float) -> str:
        """A square polygon whose upper left corner is at (col, row)."""
        places = [(col, row), (col + side, row), (col + side, row + side), (col, row + side)]
        ring = ", ".join("{!r} {!r}".format(*self.at(*p)) for p in [*places, places[0]])
        return f"Polygon (({ring}))"

    def pixel_of(self, x: float, y: float) -> tuple[float, float]:
        """Column and row, pixel centres at .5."""
        return (x - self.corner[0]) / self.pixel, (self.corner[1] - y) / self.pixel


CLICKS = ((6.5, 5.5, "early"), (36.5, 8.5, "late"), (10.5, 40.5, "late"), (30.5, 30.5, "early"))
"""Column, row and class of a reference in each field."""


def season() -> np.ndarray:
    """NDVI (T, h, w) of the four fields."""
    early = np.zeros((2 * SIDE, 2 * SIDE), dtype=bool)
    early[:SIDE, :SIDE] = early[SIDE:, SIDE:] = True
    ndvi = np.where(early, EARLY[:, None, None], LATE[:, None, None])
    return ndvi + np.random.default_rng(1).normal(0, 0.004, ndvi.shape)


def write_quarters(folder: Path, degrees: bool = False) -> Quarters:
    corner, pixel, epsg = (DEGREES, STEP, WGS84) if degrees else (CORNER, 10.0, UTM32)
    transform = (corner[0], pixel, 0.0, corner[1], 0.0, -pixel)
    write_dates(folder, season(), DAYS, epsg=epsg, transform=transform)
    return Quarters(folder, corner, pixel, f"EPSG:{epsg}")


@pytest.fixture(scope="session")
def quarters(tmp_path_factory: pytest.TempPathFactory) -> Quarters:
    """Four fields, 10 m pixels."""
    return write_quarters(tmp_path_factory.mktemp("quarters") / "series")


@pytest.fixture(scope="session")
def quarters_in_degrees(tmp_path_factory: pytest.TempPathFactory) -> Quarters:
    """The same with pixels in degrees."""
    return write_quarters(tmp_path_factory.mktemp("degrees") / "series", degrees=True)


@pytest.fixture
def own_quarters(tmp_path: Path) -> Quarters:
    """Four fields whose files a test may spoil."""
    return write_quarters(tmp_path / "series")


@pytest.fixture(scope="session")
def run_once(furrow_provider: Any) -> Callable[..., dict]:
    """`processing.run` for fixtures that live longer than one test."""
    import processing

    return lambda name, parameters, **how: processing.run(f"furrow:{name}", parameters, **how)


@pytest.fixture(scope="session")
def make_layer(qgis_app: Any) -> Callable[..., Any]:
    """make_layer("Point", crs, {"crop": QVariant.String}, [(wkt or None, [values])])."""
    from qgis.core import QgsFeature, QgsField, QgsGeometry, QgsVectorLayer

    def make(kind: str, crs: str, fields: dict[str, Any], rows: Sequence[tuple]) -> Any:
        layer = QgsVectorLayer(f"{kind}?crs={crs}" if crs else kind, "given", "memory")
        provider = layer.dataProvider()
        if fields:
            assert provider.addAttributes([QgsField(name, t) for name, t in fields.items()])
        layer.updateFields()
        for wkt, values in rows:
            feature = QgsFeature(layer.fields())
            if wkt is not None:
                feature.setGeometry(QgsGeometry.fromWkt(wkt))
            feature.setAttributes(list(values))
            assert provider.addFeature(feature)
        layer.updateExtents()
        return layer

    return make


@pytest.fixture(scope="session")
def make_points(make_layer: Any) -> Callable[..., Any]:
    """make_points(quarters, [(col, row, class)]): points with `ref_id` and `crop`."""
    from qgis.PyQt.QtCore import QVariant

    def make(place: Quarters, clicks: Sequence[tuple] = CLICKS) -> Any:
        rows = [(place.wkt(c, r), [k, label]) for k, (c, r, label) in enumerate(clicks, start=1)]
        fields = {"ref_id": QVariant.Int, "crop": QVariant.String}
        return make_layer("Point", place.crs, fields, rows)

    return make


@pytest.fixture(scope="session")
def write_gpkg(qgis_app: Any) -> Callable[[Any, Path], str]:
    """Save a layer as GeoPackage and return the path."""
    from qgis.core import QgsCoordinateTransformContext, QgsVectorFileWriter

    def write(layer: Any, path: Path) -> str:
        how = QgsVectorFileWriter.SaveVectorOptions()
        how.layerName = path.stem
        done = QgsVectorFileWriter.writeAsVectorFormatV3(
            layer, str(path), QgsCoordinateTransformContext(), how
        )
        assert done[0] == QgsVectorFileWriter.WriterError.NoError, done
        return str(path)

    return write


@pytest.fixture(scope="session")
def open_layer(qgis_app: Any) -> Callable[[Any], Any]:
    """The layer behind an output: itself, or the file opened anew."""
    from qgis.core import QgsVectorLayer

    def open_(output: Any) -> Any:
        layer = output if isinstance(output, QgsVectorLayer) else QgsVectorLayer(str(output), "x")
        assert layer.isValid(), output
        return layer

    return open_


@pytest.fixture(scope="session")
def table(open_layer: Any) -> Callable[[Any], list[dict]]:
    """The rows of an output as dicts; the key of a file is left out, `wkt` is the geometry."""
    from qgis.core import NULL

    def read(output: Any) -> list[dict]:
        layer = open_layer(output)
        keys = {layer.fields().at(k).name() for k in layer.primaryKeyAttributes()}
        names = [name for name in layer.fields().names() if name not in keys]
        return [
            {
                **{n: None if f[n] == NULL else f[n] for n in names},
                "wkt": f.geometry().asWkt(6) if f.hasGeometry() else None,
            }
            for f in layer.getFeatures()
        ]

    return read


@pytest.fixture(scope="session")
def places() -> Callable[[list[dict]], np.ndarray]:
    """(n, 2) coordinates of rows with points."""
    pattern = re.compile(r"Point \((\S+) (\S+)\)")

    def read(rows: list[dict]) -> np.ndarray:
        found = [pattern.fullmatch(row["wkt"]).groups() for row in rows]
        return np.array(found, dtype=np.float64).reshape(-1, 2)

    return read


@pytest.fixture
def samples_of(run_algorithm: Any, make_points: Any) -> Callable[..., dict]:
    """Run generatesamples on four fields: on one date, into memory, unless told otherwise."""

    def run(place: Quarters, references: Any = None, **more: Any) -> dict:
        given = {
            "SERIES": str(place.series),
            "REFERENCES": make_points(place) if references is None else references,
            "CLASS_FIELD": "crop",
            "MODEL": "classical",
            "DATES": 1,
            "OUTPUT": "memory:",
        }
        how = {"feedback": more.pop("feedback")} if "feedback" in more else {}
        return run_algorithm("generatesamples", {**given, **more}, **how)

    return run


@pytest.fixture
def said(qgis_app: Any, capfd: Any) -> Callable[[], str]:
    """All that was printed or logged since the test began."""
    from qgis.core import QgsApplication

    lines: list[str] = []

    def note(text: str, tag: str, *_: Any) -> None:
        lines.append(f"{tag}: {text}")

    log = QgsApplication.messageLog()
    log.messageReceived.connect(note)
    yield lambda: "\n".join([*lines, *capfd.readouterr()])
    log.messageReceived.disconnect(note)


@pytest.fixture
def refused(run_algorithm: Any, said: Any, tmp_path: Path) -> Callable[..., str]:
    """Run what must be refused: one sentence with all `words`, no traceback, nothing written."""
    from qgis.core import QgsProcessingException, QgsProcessingFeedback

    def run(name: str, parameters: dict, *words: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        feedback = QgsProcessingFeedback(False)
        with pytest.raises(QgsProcessingException) as caught:
            run_algorithm(name, parameters, feedback=feedback)
        sentence = str(caught.value).replace("Unable to execute algorithm\n", "")
        del caught  # its traceback holds this frame, the parameters and their layers
        assert_one_sentence(sentence)
        for word in words:
            assert word in sentence
        assert "Traceback" not in said() + feedback.textLog()
        assert sorted(tmp_path.rglob("*")) == before
        return sentence

    return run


def assert_one_sentence(text: str) -> None:
    """A single line that ends in its only full stop."""
    assert "\n" not in text, text
    assert re.findall(r"[.!?](?=\s|$)", text) == ["."], text
    assert text.endswith("."), text
