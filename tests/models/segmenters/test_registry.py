"""Which models there are, which is the default, and what is said when one cannot run."""

from __future__ import annotations

import re
import sys

import pytest

from furrow.core.errors import ModelError
from furrow.models.segmenters import onnx_session
from furrow.models.segmenters.field_model import DECODER_FILE, ENCODER_FILE, FieldModelSegmenter
from furrow.models.segmenters.registry import load, model_ids


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
