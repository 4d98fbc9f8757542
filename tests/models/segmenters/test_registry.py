"""Which models there are, which is the default, and what is said when one cannot run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from furrow.core.errors import ModelError
from furrow.core.fields.segmenter import Prompts
from furrow.core.places import Places
from furrow.models.segmenters import catalogue, file_hash
from furrow.models.segmenters import registry as registry_module
from furrow.models.segmenters.catalogue import json_of, read_catalogue
from furrow.models.segmenters.furrow_field import field_model
from furrow.models.segmenters.furrow_field.field_model import (
    DECODER_FILE,
    ENCODER_FILE,
    RANKER_FILE,
    WEIGHTS,
    FieldModelSegmenter,
)
from furrow.models.segmenters.onnx_pairs import onnx_session
from furrow.models.segmenters.regions import classical
from furrow.models.segmenters.registry import Registry
from furrow.tests.models.segmenters.made_up_models import CONTENT, write_pair

SHIPPED = ("furrow-field", "classical", "furrow-field-fast")


@pytest.fixture
def places(tmp_path) -> Places:
    return Places.under(tmp_path / "furrow")


@pytest.fixture
def registry(places) -> Registry:
    return Registry(places)


@pytest.fixture
def no_onnxruntime(monkeypatch):
    monkeypatch.setattr(onnx_session, "available", lambda: False)


def assert_one_sentence(error: ModelError, *words: str) -> None:
    text = str(error)
    assert "\n" not in text and text.endswith(".")
    assert re.findall(r"[.!?](?=\s|$)", text) == ["."]
    for word in words:
        assert word in text


def test_the_field_model_is_the_default(registry) -> None:
    ids = registry.ids()
    assert ids[:3] == SHIPPED and ids == tuple(entry.id for entry in read_catalogue())


def test_without_onnxruntime_classical_is_the_default(registry, no_onnxruntime) -> None:
    ids = registry.ids()
    assert ids[:3] == ("classical", "furrow-field", "furrow-field-fast")
    assert sorted(ids) == sorted(entry.id for entry in read_catalogue())


def test_absence_is_seen_without_an_import(registry, monkeypatch) -> None:
    monkeypatch.setattr(onnx_session.importlib.util, "find_spec", lambda name: None)
    assert not onnx_session.available()
    assert registry.ids()[0] == "classical"


def test_making_a_registry_reads_no_model(places) -> None:
    file_hash._hashed.cache_clear()
    made = Registry(places)
    assert made.ids() and len(made.models()) == len(read_catalogue())
    assert file_hash._hashed.cache_info().misses == 0 and not places.models.parent.exists()


def test_models_that_are_ready(registry) -> None:
    for model in registry.models():
        assert model.ready == (model.id in SHIPPED) == (model.advice == "")
        assert model == registry.model(model.id)
        assert model.title == model.entry.title and model.licence == model.entry.licence


@pytest.mark.parametrize("entry", read_catalogue(), ids=lambda entry: entry.id)
def test_advice_is_a_sentence_and_loading_says_the_same(registry, no_onnxruntime, entry) -> None:
    advice = registry.model(entry.id).advice
    if entry.id == "classical":
        assert advice == "" and registry.load(entry.id)
        return
    assert_one_sentence(ModelError(advice))
    for refuse in (registry.require, registry.load):
        with pytest.raises(ModelError) as caught:
            refuse(entry.id)
        assert_one_sentence(caught.value, "MODEL: ", entry.title, advice[1:])


def test_what_is_missing_is_said(registry, monkeypatch) -> None:
    advice = {model.id: model.advice for model in registry.models()}
    assert advice["efficient-sam-ti"] == "Download the model in the model manager (41.4 MB)."
    heavy = advice["segment-anything-vit-h"]
    assert heavy.startswith("Download the model in the model manager (2.6 GB), then install")
    assert "Checkpoints and training" in heavy
    assert advice["segment-anything-3"].startswith("Get sam3.pt (3.5 GB) from its publisher")
    monkeypatch.setattr(onnx_session, "available", lambda: False)
    assert "onnxruntime" in registry.model("furrow-field").advice


@pytest.mark.parametrize("model_id", SHIPPED)
def test_models_load(registry, model_id) -> None:
    registry.require(model_id)
    assert registry.load(model_id).id == model_id


def test_asking_for_the_field_model_without_onnxruntime(registry, no_onnxruntime) -> None:
    with pytest.raises(ModelError) as caught:
        registry.load("furrow-field")
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


@pytest.mark.parametrize("name", ["load", "require", "fingerprint", "record", "model"])
def test_an_unknown_model(registry, name) -> None:
    with pytest.raises(ModelError) as caught:
        getattr(registry, name)("nothing")
    assert_one_sentence(caught.value, "'nothing'", "furrow-field, classical, furrow-field-fast")


# -- fingerprints ------------------------------------------------------------------------------


def test_fingerprints_differ_and_stay(registry) -> None:
    prints = [registry.fingerprint(model_id) for model_id in SHIPPED]
    assert len(set(prints)) == 3
    assert all(re.fullmatch("[0-9a-f]{64}", text) for text in prints)
    file_hash._hashed.cache_clear()
    assert [registry.fingerprint(model_id) for model_id in SHIPPED] == prints


def test_what_users_have_encoded_stays_valid(registry) -> None:
    """The form of what is hashed; whoever changes it makes all stored embeddings worthless."""
    own, regions = field_model.EMBEDDING_VERSION, classical.EMBEDDING_VERSION
    versions = {"furrow-field": [own, regions], "classical": [regions], "furrow-field-fast": [own]}
    for model_id, numbers in versions.items():
        files = registry.model(model_id).entry.files
        content = json.dumps([model_id, numbers, [file.sha256 for file in files]])
        expected = hashlib.sha256(content.encode()).hexdigest()
        assert registry.fingerprint(model_id) == expected


def test_a_fingerprint_needs_no_onnxruntime(registry, no_onnxruntime) -> None:
    assert registry.fingerprint("furrow-field")


def test_files_are_read_once(registry) -> None:
    file_hash._hashed.cache_clear()
    for _ in range(3):
        registry.fingerprint("furrow-field")
        registry.load("furrow-field-fast")
    assert file_hash._hashed.cache_info().misses == 3


def test_a_raised_version_changes_the_fingerprint(registry, monkeypatch) -> None:
    before = [registry.fingerprint(model_id) for model_id in SHIPPED]
    monkeypatch.setattr(classical, "EMBEDDING_VERSION", classical.EMBEDDING_VERSION + 1)
    after = [registry.fingerprint(model_id) for model_id in SHIPPED]
    assert [old == new for old, new in zip(before, after)] == [False, False, True]
    monkeypatch.setattr(field_model, "EMBEDDING_VERSION", field_model.EMBEDDING_VERSION + 1)
    assert registry.fingerprint("furrow-field-fast") != before[2]


@pytest.fixture
def copied_weights(monkeypatch, tmp_path) -> Path:
    """The shipped model from a folder whose files a test may change."""
    from furrow.models.segmenters import model_folder

    folder = tmp_path / "weights"
    folder.mkdir()
    for name in (ENCODER_FILE, DECODER_FILE, RANKER_FILE):
        shutil.copy(WEIGHTS / name, folder)
    monkeypatch.setattr(model_folder, "WEIGHTS", folder)
    return folder


def test_shipped_files_that_were_changed_are_not_opened(registry, copied_weights) -> None:
    before = registry.fingerprint("furrow-field")
    path = copied_weights / ENCODER_FILE
    os.utime(path, (1, 1))
    assert registry.fingerprint("furrow-field") == before  # the same content
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for use in (registry.load, registry.fingerprint, registry.record):
        with pytest.raises(ModelError) as caught:
            use("furrow-field")
        assert_one_sentence(caught.value, ENCODER_FILE, "SHA-256", "install Furrow again")
    assert registry.ids()[0] == "furrow-field"  # nobody has read it to find out


def test_shipped_files_that_are_missing(registry, copied_weights) -> None:
    (copied_weights / RANKER_FILE).unlink()
    assert registry.ids()[0] == "classical"
    with pytest.raises(ModelError) as caught:
        registry.fingerprint("furrow-field")
    assert_one_sentence(caught.value, RANKER_FILE, "is missing", "install Furrow again")
    with pytest.raises(ModelError) as caught:
        registry.load("furrow-field")
    assert_one_sentence(caught.value, "Field model of Furrow", "install Furrow again")


def test_records_name_every_file(registry) -> None:
    assert registry.record("classical") == {
        "id": "classical", "sha256": registry.fingerprint("classical")
    }  # fmt: skip
    record = registry.record("furrow-field")
    assert list(record) == ["id", "sha256", ENCODER_FILE, DECODER_FILE, RANKER_FILE]
    assert record["sha256"] == registry.fingerprint("furrow-field")
    hashes = {file.name: file.sha256 for file in registry.model("furrow-field").entry.files}
    assert {name: record[name] for name in hashes} == hashes


# -- downloads and the user's own --------------------------------------------------------------


def test_a_downloaded_model_that_is_another_file(registry, monkeypatch) -> None:
    """Right size, wrong content: noticed at the first use, before anything opens it."""
    entry = registry.model("efficient-sam-ti").entry
    for path, file in zip(registry.folder.paths_of(entry), entry.files):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            stream.truncate(file.bytes)
    assert registry.model(entry.id).ready
    registry.require(entry.id)
    for use in (registry.load, registry.fingerprint):
        with pytest.raises(ModelError) as caught:
            use(entry.id)
        words = ("efficientsam_ti_encoder.onnx", "download it again in the model manager")
        assert_one_sentence(caught.value, *words)


def test_own_models_come_last(places, tmp_path) -> None:
    (tmp_path / "mine.pth").write_bytes(CONTENT)
    made = Registry(places).folder.add_own([tmp_path / "mine.pth"], "Mine", copy=False)
    found = Registry(places)
    assert found.ids()[-1] == "own-mine" and found.model("own-mine").entry == made
    assert found.ids()[0] == "furrow-field" and found.troubles == ()
    (tmp_path / "mine.pth").unlink()
    assert "Add the model again" in found.model("own-mine").advice


def test_a_damaged_own_model_is_said(places) -> None:
    path = places.models / "own-bad" / "entry.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    found = Registry(places)
    assert len(found.models()) == len(read_catalogue()) and "own-bad" in found.troubles[0]


def test_a_default_that_is_another(monkeypatch, tmp_path, places) -> None:
    """What is the default stands in the catalogue."""
    entries = [replace(entry, default=entry.id == "classical") for entry in read_catalogue()[:3]]
    path = tmp_path / "catalogue.json"
    path.write_text(json.dumps({"format": 1, "models": [json_of(entry) for entry in entries]}))
    changed = catalogue.read_catalogue(path)
    monkeypatch.setattr(registry_module, "read_catalogue", lambda: changed)
    assert Registry(places).ids() == ("classical", "furrow-field", "furrow-field-fast")


# -- MODEL_FILE --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.pth", "none.pth does not exist"),
        ("model.zip", "model.zip is no model that Furrow can run"),
        ("model", "model is no model that Furrow can run"),
        ("broken.onnx", "broken.onnx"),
        ("empty", "no encoder"),
        ("model.pth", "Checkpoints and training"),
        ("model.PT", "Checkpoints and training"),
        ("model.safetensors", "Checkpoints and training"),
    ],
)
@pytest.mark.parametrize("use", ["load", "require"])
def test_files_that_cannot_run(registry, tmp_path, use, name, words) -> None:
    for other in ("model.zip", "model", "broken.onnx", "model.pth", "model.PT",
                  "model.safetensors"):  # fmt: skip
        (tmp_path / other).write_bytes(b"no model")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError) as caught:
        getattr(registry, use)("classical", str(tmp_path / name))
    assert_one_sentence(caught.value, "MODEL_FILE: ", words)
    assert str(caught.value).count("MODEL_FILE: ") == 1


def test_a_pair_needs_onnxruntime(registry, tmp_path, no_onnxruntime) -> None:
    pytest.importorskip("onnx")
    encoder, decoder = write_pair(tmp_path)
    for path in (encoder, decoder, tmp_path):
        with pytest.raises(ModelError) as caught:
            registry.require("classical", str(path))
        assert_one_sentence(caught.value, f"MODEL_FILE: {path.name}", "onnxruntime")


def test_fingerprints_of_a_pair(registry, tmp_path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("furrow.models.segmenters.onnx_pairs.onnx_segmenter")
    encoder, decoder = write_pair(tmp_path, weights="weights.bin")
    record = registry.record("classical", str(decoder))
    assert list(record) == ["id", "sha256", encoder.name, decoder.name, "weights.bin"]
    assert record["id"] == decoder.name
    before = registry.fingerprint("classical", str(decoder))
    assert before == record["sha256"] == registry.fingerprint("furrow-field", str(decoder))
    (tmp_path / "weights.bin").write_bytes(b"\1" * 8)
    assert registry.fingerprint("classical", str(decoder)) != before


def test_fingerprints_of_a_checkpoint(registry, tmp_path) -> None:
    pytest.importorskip("furrow.models.segmenters.checkpoints.torch_segmenter")
    path = tmp_path / "Été.pth"
    path.write_bytes(CONTENT)
    record = registry.record("classical", str(path))
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert record["id"] == "Été.pth" and record["Été.pth"] == digest
    path.write_bytes(CONTENT[:-1] + b"!")
    os.utime(path, (1, 1))
    assert registry.fingerprint("classical", str(path)) != record["sha256"]


@pytest.fixture(scope="module")
def real_pair():
    """A small Segment Anything in two ONNX files."""
    for name in ("torch", "onnx", "onnxruntime"):
        pytest.importorskip(name)
    from furrow.tests.models.segmenters.onnx_exports import exported

    for name in ("segment_anything", "transformers"):
        pytest.importorskip(name)
    folder = exported() / "sam"
    return folder / "encoder.onnx", folder / "decoder.onnx"


def test_a_pair_of_the_users_runs(registry, real_pair) -> None:
    for path in (*real_pair, real_pair[0].parent):
        segmenter = registry.load("classical", str(path))
        assert segmenter.id == path.name
    found = segmenter.predict(
        segmenter.encode(np.zeros((60, 80, 3), np.uint8)), [Prompts.click(9, 9)]
    )
    assert found.masks.shape == (1, 3, 60, 80)


def test_an_own_model_runs(places, real_pair) -> None:
    Registry(places).folder.add_own(real_pair, "Mine", copy=True)
    registry = Registry(places)
    assert registry.model("own-mine").ready
    assert registry.load("own-mine").id == registry.record("own-mine")["id"] == "own-mine"
    assert registry.fingerprint("own-mine") != registry.fingerprint("x", str(real_pair[0]))
    path = registry.folder.paths_of(registry.model("own-mine").entry)[0]
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    os.utime(path, (1, 1))
    with pytest.raises(ModelError) as caught:
        registry.load("own-mine")
    assert_one_sentence(caught.value, path.name, "SHA-256", "add it again in the model manager")


# -- embeddings --------------------------------------------------------------------------------


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
def test_embeddings_are_those_of_their_versions(registry, model_id) -> None:
    """Whoever has to change this test has to raise an EMBEDDING_VERSION, too."""
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    data = registry.load(model_id).encode(image).data
    found = {name: array.dtype for name, array in data.items()}
    assert found == EMBEDDINGS[model_id]
    assert (classical.EMBEDDING_VERSION, field_model.EMBEDDING_VERSION) == (3, 2)
