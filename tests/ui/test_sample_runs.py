"""Samples made from fields: what the algorithms are given, and their runs in the background."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, List

import pytest
from qgis.core import (
    QgsApplication,
    QgsFeature,
    QgsGeometry,
    QgsProject,
    QgsVectorLayer,
)
from qgis.gui import QgsMessageBar

from furrow.core.errors import ParameterError
from furrow.tests.ui.waiting import wait_until
from furrow.ui.messages import Messages
from furrow.ui.sample_runs import (
    CLEAN,
    GENERATE,
    SampleOrder,
    SampleRuns,
    innermost,
    parameters_of,
    reference_points,
)


def fields_layer(shapes: List[Any], crs: str = "EPSG:32633") -> QgsVectorLayer:
    """Polygons with a class each; None for none."""
    layer = QgsVectorLayer(f"Polygon?crs={crs}&field=crop:string", "my fields", "memory")
    for shape, crop in shapes:
        feature = QgsFeature(layer.fields())
        feature.setGeometry(shape)
        feature.setAttributes([crop])
        layer.dataProvider().addFeatures([feature])
    return layer


def ell() -> QgsGeometry:
    """An L, whose centroid lies outside."""
    return QgsGeometry.fromWkt("Polygon((0 0, 100 0, 100 10, 10 10, 10 100, 0 100, 0 0))")


def order(fields: QgsVectorLayer, **more: Any) -> SampleOrder:
    given = {"series": "/some/series", "class_column": "crop", "model": "classical"}
    return SampleOrder(fields=fields, **{**given, **more})


@pytest.fixture
def fields(qgis_app: Any) -> QgsVectorLayer:
    return fields_layer([(ell(), "wheat"), (ell(), None), (QgsGeometry(), "maize")])


@pytest.fixture
def demo_fields(furrow_provider: Any, demo_scene: Any) -> Any:
    """The demo scene's true fields, in the project."""
    layer = QgsVectorLayer(str(demo_scene.fields), "fields", "ogr")
    QgsProject.instance().addMapLayer(layer)
    yield layer
    QgsProject.instance().clear()


@pytest.fixture
def runs(qgis_app: Any) -> Any:
    bar = QgsMessageBar()
    made = SampleRuns(Messages(bar))
    made.bar = bar
    yield made
    made.close()


def said(runs: SampleRuns) -> str:
    item = runs.bar.currentItem()
    return "" if item is None else item.text()


def test_a_point_lies_within_its_field() -> None:
    assert ell().contains(innermost(ell()))


def test_only_fields_with_a_class_give_points(fields: QgsVectorLayer) -> None:
    (point,) = reference_points(fields, "crop").getFeatures()
    assert point["crop"] == "wheat" and ell().contains(point.geometry())


def test_what_generating_is_given(fields: QgsVectorLayer) -> None:
    given = parameters_of(order(fields), GENERATE)
    points = given.pop("REFERENCES")
    assert points.featureCount() == 1 and points.crs() == fields.crs()
    assert given == {"SERIES": "/some/series", "CLASS_FIELD": "crop", "MODEL": "classical",
                     "OUTPUT": "TEMPORARY_OUTPUT", "FIELDS": "TEMPORARY_OUTPUT"}  # fmt: skip


def test_what_cleaning_is_given(fields: QgsVectorLayer) -> None:
    assert parameters_of(order(fields), CLEAN) == {
        "SERIES": "/some/series", "CLASS_FIELD": "crop", "SAMPLES": fields,
        "OUTPUT": "TEMPORARY_OUTPUT",
    }  # fmt: skip


@pytest.mark.parametrize("algorithm", [GENERATE, CLEAN])
@pytest.mark.parametrize(("missing", "sentence"), [
    ({"series": ""}, "choose the folder of dated images"),
    ({"class_column": ""}, "choose the column"),
    ({"class_column": "gone"}, "no column gone any more"),
])  # fmt: skip
def test_what_is_missing_is_named(
    fields: QgsVectorLayer, algorithm: str, missing: dict, sentence: str
) -> None:
    with pytest.raises(ParameterError, match=sentence):
        parameters_of(order(fields, **missing), algorithm)


def test_fields_without_a_class_are_not_enough(qgis_app: Any) -> None:
    with pytest.raises(ParameterError, match="my fields has no field with a class"):
        parameters_of(order(fields_layer([(ell(), None)])), GENERATE)


def of_scene(layer: QgsVectorLayer, scene: Any) -> SampleOrder:
    column = next(name for name in ("crop", "class") if layer.fields().lookupField(name) >= 0)
    return order(layer, series=str(scene.series), class_column=column)


def test_a_run_loads_its_layers(
    runs: SampleRuns, demo_fields: QgsVectorLayer, demo_scene: Any, qgis_iface: Any
) -> None:
    before = set(QgsProject.instance().mapLayers())
    runs.make("generate", of_scene(demo_fields, demo_scene))
    assert runs._running
    wait_until(lambda: not runs._running)
    new = set(QgsProject.instance().mapLayers()) - before
    layers = [QgsProject.instance().mapLayer(each) for each in new]
    assert len(layers) == 2 and all(layer.featureCount() for layer in layers), said(runs)
    assert said(runs)


@pytest.mark.parametrize("kind", ["generate", "clean"])
def test_a_run_that_cannot_work_says_why(
    runs: SampleRuns, demo_fields: QgsVectorLayer, demo_scene: Any, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "empty").mkdir()
    wanted = of_scene(demo_fields, demo_scene)
    runs.make(kind, order(demo_fields, series=str(tmp_path / "empty"),
                          class_column=wanted.class_column))  # fmt: skip
    wait_until(lambda: not runs._running)
    assert "empty" in said(runs) and "Traceback" not in said(runs)


def test_a_run_can_be_cancelled(
    runs: SampleRuns, demo_fields: QgsVectorLayer, demo_scene: Any
) -> None:
    before = set(QgsProject.instance().mapLayers())
    runs.make("generate", of_scene(demo_fields, demo_scene))
    runs.cancel()
    wait_until(lambda: not runs._running)
    assert set(QgsProject.instance().mapLayers()) == before
    assert said(runs)


def test_closing_amid_a_run_waits_and_tells_nothing(
    runs: SampleRuns, demo_fields: QgsVectorLayer, demo_scene: Any
) -> None:
    before = set(QgsProject.instance().mapLayers())
    runs.make("generate", of_scene(demo_fields, demo_scene))
    task = runs._running[0]._task
    wait_until(lambda: task.progress() > 0)
    assert task.isActive()
    started = time.monotonic()
    runs.close()
    runs.close()
    assert time.monotonic() - started < 5 and not runs._running
    wait_until(lambda: QgsApplication.taskManager().countActiveTasks() == 0)
    assert set(QgsProject.instance().mapLayers()) == before and said(runs) == ""


def test_a_run_that_is_refused_leaves_nothing(runs: SampleRuns, fields: QgsVectorLayer) -> None:
    runs.make("clean", order(fields, series=""))
    assert not runs._running and "Samples need a series" in said(runs)
