"""Which models there are, which is the default, and what is said when one cannot run."""

from __future__ import annotations

import os
import re
import shutil
import sys

import numpy as np
import pytest

from furrow.core.errors import ModelError
from furrow.models.segmenters import classical, field_model, onnx_session, registry
from furrow.models.segmenters.field_model import (
    DECODER_FILE,
    ENCODER_FILE,
    WEIGHTS,
    FieldModelSegmenter,
)
from furrow.models.segmenters.registry import Model, fingerprint, load, model_ids


@pytest.fixture
def no_onnxruntime(monkeypatch):
    monkeypatch.setattr(onnx_session, "available", lambda: False)


def assert_one_sentence(error: ModelError, *words: str) -> None:
    text = str(error)
    assert "\n" not in text and text.endswith(".")
    assert re.findall(r"[.!?](?=\s|$)", text) == ["."]
    for word in words:
        assert word in text


def test_the_field_model_is_the_default() -> None:
    assert model_ids() == ("furrow-field", "classical", "furrow-field-fast")


def test_without_onnxruntime_classical_is_the_default(no_onnxruntime) -> None:
    assert model_ids() == ("classical", "furrow-field", "furrow-field-fast")


def test_absence_is_seen_without_an_import(monkeypatch) -> None:
    monkeypatch.setattr(onnx_session.importlib.util, "find_spec", lambda name: None)
    assert not onnx_session.available()
    assert model_ids()[0] == "classical"


@pytest.mark.parametrize("model_id", ["furrow-field", "classical", "furrow-field-fast"])
def test_models_load(model_id) -> None:
    assert load(model_id).id == model_id


def test_asking_for_the_field_model_without_onnxruntime(no_onnxruntime) -> None:
    with pytest.raises(ModelError) as caught:
        load("furrow-field")
    assert_one_sentence(caught.value, "MODEL", "onnxruntime", "install", "classical")


def test_a_broken_onnxruntime(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # `import onnxruntime` fails
    monkeypatch.setattr(onnx_session, "available", lambda: True)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"")
    with pytest.raises(ModelError) as caught:
        onnx_session.open_session(path)
    assert_one_sentence(caught.value, "does not load", "classical")


def test_missing_files(tmp_path) -> None:
    with pytest.raises(ModelError) as caught:
        FieldModelSegmenter(tmp_path)
    assert_one_sentence(caught.value, ENCODER_FILE, "missing", "install Furrow again")


def test_a_file_that_is_no_model(tmp_path) -> None:
    for name in (ENCODER_FILE, DECODER_FILE):
        (tmp_path / name).write_bytes(b"no model")
    with pytest.raises(ModelError) as caught:
        FieldModelSegmenter(tmp_path)
    assert_one_sentence(caught.value, ENCODER_FILE, "cannot read", "install Furrow again")


def test_an_unknown_model() -> None:
    with pytest.raises(ModelError) as caught:
        load("nothing")
    assert_one_sentence(caught.value, "'nothing'", "furrow-field, classical, furrow-field-fast")


def test_fingerprints_differ_and_stay() -> None:
    prints = [fingerprint(model_id) for model_id in model_ids()]
    assert len(set(prints)) == 3
    assert all(re.fullmatch("[0-9a-f]{64}", text) for text in prints)
    registry._hashed.cache_clear()
    assert [fingerprint(model_id) for model_id in model_ids()] == prints


def test_a_fingerprint_needs_no_onnxruntime(no_onnxruntime) -> None:
    assert fingerprint("furrow-field")


def test_files_are_read_once() -> None:
    registry._hashed.cache_clear()
    for _ in range(3):
        fingerprint("furrow-field")
        fingerprint("furrow-field-fast")
    assert registry._hashed.cache_info().misses == 3


@pytest.fixture
def copied_model(monkeypatch, tmp_path):
    """A model in the registry with files that a test may change: model and files."""
    files = tuple(
        shutil.copy(WEIGHTS / name, tmp_path) and tmp_path / name
        for name in (ENCODER_FILE, DECODER_FILE)
    )
    model = Model("copied", "", "", FieldModelSegmenter, files, (1, 1))
    monkeypatch.setitem(registry._MODELS, "copied", model)
    return model, files


def test_a_changed_file_changes_the_fingerprint(copied_model) -> None:
    _, files = copied_model
    before = fingerprint("copied")
    os.utime(files[0], (1, 1))
    assert fingerprint("copied") == before  # the same content
    content = bytearray(files[0].read_bytes())
    content[-1] ^= 1
    files[0].write_bytes(content)
    assert fingerprint("copied") != before


def test_a_raised_version_changes_the_fingerprint(copied_model, monkeypatch) -> None:
    model, files = copied_model
    before = fingerprint("copied")
    raised = Model("copied", "", "", model.make, files, (1, 2))
    monkeypatch.setitem(registry._MODELS, "copied", raised)
    assert fingerprint("copied") != before


def test_the_field_model_holds_regions_of_the_classical_engine() -> None:
    own, regions = field_model.EMBEDDING_VERSION, classical.EMBEDDING_VERSION
    versions = {model_id: registry._MODELS[model_id].versions for model_id in model_ids()}
    assert versions == {
        "furrow-field": (own, regions),
        "classical": (regions,),
        "furrow-field-fast": (own,),
    }


def test_fingerprints_of_what_is_missing(copied_model) -> None:
    _, files = copied_model
    files[1].unlink()
    with pytest.raises(ModelError) as caught:
        fingerprint("copied")
    assert_one_sentence(caught.value, DECODER_FILE, "cannot be read", "install Furrow again")
    with pytest.raises(ModelError) as caught:
        fingerprint("nothing")
    assert_one_sentence(caught.value, "'nothing'", "furrow-field, classical, furrow-field-fast")


REGIONS = {
    **dict.fromkeys(["ranks", "leaf", "first", "end", "parent"], np.int32),
    **dict.fromkeys(["utility", "contrast", "compact", "life"], np.float64),
}
FEATURES = [f"{kind}{stride}" for kind in ("context", "detail") for stride in (2, 4, 8, 16)]
EMBEDDINGS = {
    "classical": {f"{s}_{name}": kind for s in ("full", "half") for name, kind in REGIONS.items()},
    "furrow-field-fast": dict.fromkeys([*FEATURES, "edges"], np.float16),
}
EMBEDDINGS["furrow-field"] = {
    **EMBEDDINGS["furrow-field-fast"],
    **{f"regions_{name}": kind for name, kind in EMBEDDINGS["classical"].items()},
    "image": np.uint8,
}


@pytest.mark.parametrize("model_id", sorted(EMBEDDINGS))
def test_embeddings_are_those_of_version_1(model_id) -> None:
    """Whoever has to change this test has to raise an EMBEDDING_VERSION, too."""
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    found = {name: array.dtype for name, array in load(model_id).encode(image).data.items()}
    assert found == EMBEDDINGS[model_id]
    assert classical.EMBEDDING_VERSION == field_model.EMBEDDING_VERSION == 1
