"""furrow:trainfieldclassifier and furrow:classifyfields with a network."""

from __future__ import annotations

import importlib.util
import json
import shutil

import pytest

from furrow.tests.algorithms.field_scene import layer_of, scene
from furrow.tests.models.fieldnets.environments import borrowed_environment

NEEDED = ("torch", "safetensors", "onnx", "onnxruntime")
missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
needs_torch = pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}: make test")


@pytest.fixture
def environment(qgis_app):
    """The environment with PyTorch, in the profile of the tests."""
    from furrow.qgis_io.places import places

    folder = places().environment
    if folder.exists():
        pytest.skip(f"{folder} is there already")
    yield borrowed_environment(folder)
    shutil.rmtree(folder)


@pytest.fixture
def given(tmp_path):
    made = scene(tmp_path, 1, 5, 8)
    return made, {
        "INPUT": str(made.image), "FIELDS": made.layer, "CLASS_FIELD": "class", "FEATURES": "cnn",
        "NETWORK": "small", "EPOCHS": 12, "BATCH": 16, "CROP_SIDE": 32, "RATE": 0.003,
        "MODEL": str(tmp_path / "model"),
    }  # fmt: skip


@needs_torch
def test_a_network_there_and_back(run_algorithm, environment, given, tmp_path):
    made, parameters = given
    report = tmp_path / "report.html"
    results = run_algorithm("trainfieldclassifier", {**parameters, "REPORT": str(report)})
    assert results["ACCURACY"] > 0.8 and results["TRAINED"] == 40
    model = tmp_path / "model"
    assert {path.name for path in model.iterdir()} == {
        "model.json", "network.onnx", "network.safetensors", "README.md", "model.json.run.json",
    }  # fmt: skip
    said = json.loads((model / "model.json").read_text(encoding="utf-8"))
    assert said["kind"] == "cnn" and said["network"]["side"] == 32
    assert said["network"]["difference"] < 1e-3
    assert said["trained"]["figures"]["tested"] == said["network"]["held"] < 40
    assert "a network on crops" in (model / "README.md").read_text(encoding="utf-8")
    assert "Confusion matrix" in report.read_text(encoding="utf-8")

    fresh = scene(tmp_path, 2, 4, 6)
    rows = [(f.geometry(), f["class"], None) for f in fresh.layer.getFeatures()]
    layer = layer_of([*rows, (None, "lost", None)])
    shutil.rmtree(environment / "bin")  # nothing of it is needed to classify
    results = run_algorithm("classifyfields", {
        "INPUT": str(fresh.image), "FIELDS": layer, "MODEL": str(model), "OUTPUT": "memory:",
    })  # fmt: skip
    assert (results["CLASSIFIED"], results["SKIPPED"]) == (24, 1)
    features = list(results["OUTPUT"].getFeatures())
    right = sum(feature["class"] == feature["given_class"] for feature in features)
    assert right >= 20
    assert features[0]["p_field"] + features[0]["p_nonfield"] == pytest.approx(1, abs=2e-4)


@needs_torch
def test_a_network_that_does_not_fit_is_refused(refused, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    made = scene(folder, 3, 2, 2)
    bands = {"names": ["red"], "numbers": [1], "colour": [0, 0, 0], "low": [0], "high": [255]}
    said = {"format": 1, "kind": "cnn", "classes": ["a", "b"], "bands": bands, "network": {}}
    (folder / "model.json").write_text(json.dumps(said), encoding="utf-8")
    given = {"INPUT": str(made.image), "FIELDS": made.layer, "MODEL": str(folder),
             "OUTPUT": "memory:"}  # fmt: skip
    refused("classifyfields", given, "MODEL", "how large its crops are")
    said["network"] = {"side": 32}
    (folder / "model.json").write_text(json.dumps(said), encoding="utf-8")
    refused("classifyfields", given, "network.onnx", "missing")


def test_without_an_environment_it_says_so(refused, given):
    made, parameters = given
    refused("trainfieldclassifier", parameters, "FEATURES", "Packages", "statistics")
