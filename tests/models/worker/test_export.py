# ruff: noqa: E402 (what needs torch is imported only where it is there)
"""Checkpoints become ONNX pairs that answer as torch does, or are refused and leave nothing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Dict, List

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export needs torch: make test")
for package in ("segment_anything", "transformers", "safetensors", "torchvision", "onnx",
                "onnxruntime"):  # fmt: skip
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"the export needs {package}: make test", allow_module_level=True)

from safetensors.torch import load_file, save_file

from furrow.core.errors import ModelError
from furrow.core.fields.segmenter import Prompts
from furrow.core.places import Places
from furrow.models.segmenters.catalogue import DATA
from furrow.models.segmenters.onnx_pairs.onnx_conventions import diagnosis, find_pair
from furrow.models.segmenters.onnx_pairs.onnx_graph import read_graph
from furrow.models.segmenters.onnx_pairs.onnx_segmenter import OnnxSegmenter
from furrow.models.segmenters.registry import Registry
from furrow.models.worker import onnx_files
from furrow.models.worker.__main__ import main
from furrow.models.worker.export import Wanted, export
from furrow.models.worker.networks import TorchNetwork, open_network
from furrow.models.worker.onnx_files import Precision
from furrow.models.worker.onnx_parity import Agreement
from furrow.tests.models.worker import tiny_models
from furrow.tests.models.worker.tiny_models import decoded, picture, prompts_of_all_kinds

NEAR = 1e-3
PNG = b"\x89PNG\r\n\x1a\n" + bytes(99)
SAM, MOBILE, SAM_2 = "segment-anything", "mobile-sam", "segment-anything-2.1"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Path]:
    """One of each family, in a folder whose name is no plain one."""
    folder = tmp_path_factory.mktemp("Modèles und Gewichte")
    tiny_models.segment_anything_2().save_pretrained(folder / "sam2")
    weights = folder / "sam2" / "model.safetensors"
    newer = {"occlusion_spatial_embedding_parameter": torch.zeros(1, 8)}  # makes it 2.1
    save_file({**load_file(weights), **newer}, weights)
    sam, mobile = tiny_models.segment_anything(), tiny_models.mobile_sam()
    return {
        SAM: tiny_models.write_segment_anything(folder / "sam.pth", sam),
        MOBILE: tiny_models.write_mobile_sam(folder / "mobile.pt", mobile),
        SAM_2: folder / "sam2",
    }


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    root = tmp_path_factory.mktemp("profile")
    return Places(root / "models", root / "packages", root / "environment", root / "embeddings")


@pytest.fixture(scope="module")
def exported(checkpoints, places) -> Dict[str, SimpleNamespace]:
    """For each family the network and the engine of its pair, made by the command."""
    found = {}
    for family, checkpoint in checkpoints.items():
        name = f"own-{family}"
        assert main(["export", str(checkpoint), str(places.models / name)]) == 0
        engine = Registry(places).load(name)
        assert isinstance(engine, OnnxSegmenter)
        found[family] = SimpleNamespace(network=open_network(checkpoint, "cpu"), engine=engine)
    return found


def expected_of(network: TorchNetwork, image: np.ndarray, prompts: List[Prompts]) -> tuple:
    """Logits of the three masks and of the single one, and their scores."""
    features, shape = network.encode(image), image.shape[:2]
    several = decoded(network, features, shape, prompts, True)
    return several, decoded(network, features, shape, prompts, False)


def assert_masks_of_torch(network: TorchNetwork, engine: OnnxSegmenter, shape: tuple) -> None:
    """Three masks for a click; in place of one of them the single mask where more is said."""
    image = picture(*shape)
    asked = prompts_of_all_kinds(*shape)
    prompts = list(asked.values())
    found = engine.logits(engine.features(image), shape, prompts)
    several, single = expected_of(network, image, prompts)
    for k, kind in enumerate(asked):
        wanted = [values[k].copy() for values in several]
        if "click" not in kind:
            place = np.abs(found[k][0] - single[0][k]).max(axis=(1, 2)).argmin()
            for values, one in zip(wanted, single):
                values[place] = one[k, 0]
        assert np.abs(wanted[0]).max() > 1, "else the test would say little"
        for ours, theirs in zip(found[k], wanted):
            assert np.abs(ours - theirs).max() < NEAR, kind


@pytest.mark.parametrize(
    ("family", "shape"),
    [(SAM, (150, 221)), (SAM, (133, 57)), (SAM, (9, 300)), (MOBILE, (133, 57)),
     (SAM_2, (150, 221)), (SAM_2, (57, 300))],
)  # fmt: skip
def test_logits_are_those_of_torch(exported, family, shape) -> None:
    pair = exported[family]
    assert (pair.network.family, pair.engine.plan.family) == (family, family)
    assert pair.engine.plan.picture.frame == pair.network.parts.frame
    assert pair.engine.plan.several and pair.engine.plan.slots is None
    assert_masks_of_torch(pair.network, pair.engine, shape)


@pytest.mark.parametrize("family", [SAM, SAM_2])
def test_many_prompts_at_once(exported, family) -> None:
    pair, image = exported[family], picture(120, 170)
    rng = np.random.default_rng(1)
    prompts = [Prompts.click(*rng.uniform(0, (170, 120))) for _ in range(19)]
    features = pair.network.encode(image)  # the encoders' difference says nothing of the batch
    found = pair.engine.logits(features, (120, 170), prompts)
    several, _ = decoded(pair.network, features, (120, 170), prompts, True)
    for k in range(len(prompts)):
        assert np.abs(found[k][0] - several[k]).max() < NEAR


def test_the_model_is_one_of_the_users(exported, places) -> None:
    model = Registry(places).model("own-mobile-sam")
    assert (model.ready, model.title, model.entry.engine) == (True, "MobileSAM", "onnx")
    assert model.entry.parameters == exported[MOBILE].network.parameters
    encoder, decoder = find_pair(places.models / "own-mobile-sam")
    assert find_pair(decoder) == find_pair(encoder) == (encoder, decoder)
    said = diagnosis(decoder)
    assert said.startswith("furrow: this file is the decoder of a mobile-sam pair that Furrow")
    assert sorted(path.name for path in places.models.iterdir()) == [
        "own-mobile-sam", "own-segment-anything", "own-segment-anything-2.1"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("family", "precision", "least", "share"),
    [(SAM, "float16", 0.98, 0.7), (SAM_2, "int8", 0.9, 0.6)],
)
def test_smaller_files(
    checkpoints, places, exported, tmp_path, capsys, family, precision, least, share
) -> None:
    folder = tmp_path / "own-small"
    assert main(["export", str(checkpoints[family]), str(folder), "--precision", precision]) == 0
    told = capsys.readouterr().out
    assert "own-small-encoder.onnx: " in told and "masks overlap by" in told
    assert f" ({precision}) is in " in told
    sizes = [
        find_pair(each)[0].stat().st_size for each in (folder, places.models / f"own-{family}")
    ]
    assert sizes[0] < share * sizes[1]
    assert read_graph(find_pair(folder)[0]).metadata["furrow.precision"] == precision
    engine = Registry(replace(places, models=tmp_path)).load("own-small")
    image, prompts = picture(150, 221), list(prompts_of_all_kinds(150, 221).values())
    whole = exported[family].engine
    one, other = (each.predict(each.encode(image), prompts).masks for each in (engine, whole))
    overlap = (one & other).sum((2, 3)) / np.maximum((one | other).sum((2, 3)), 1)
    assert overlap.mean() > least


def test_files_that_answer_otherwise_are_refused(checkpoints, tmp_path, capsys) -> None:
    """A channel far larger than the others, as some networks have, leaves them no whole numbers."""
    weights = torch.load(checkpoints[SAM], weights_only=True)
    for k in range(3):
        for kind in ("weight", "bias"):
            weights[f"image_encoder.blocks.{k}.norm2.{kind}"][0] *= 1e4
        weights[f"image_encoder.blocks.{k}.mlp.lin1.weight"][:, 0] /= 1e4
    torch.save(weights, tmp_path / "odd.pth")
    asked = ["export", str(tmp_path / "odd.pth"), str(tmp_path / "odd"), "--precision", "int8"]
    assert main(asked) == 1
    assert "do not answer as" in only_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["odd.pth"]
    assert main([*asked, "--force", "--title", " My  model "]) == 0
    (entry,) = Registry(Places(tmp_path, tmp_path, tmp_path, tmp_path)).folder.own_entries()
    assert entry.title == "My model"


def only_line(capsys) -> str:
    """What was told on stderr: one sentence."""
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and told.endswith(".\n"), told
    return told


def test_weights_of_more_than_a_file_can_hold(
    checkpoints, places, exported, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(onnx_files, "MOST_IN_ONE_FILE", 500_000)
    entry = export(checkpoints[SAM], tmp_path / "elsewhere" / "own-large")
    data = [file.name for file in entry.files if file.role == DATA]
    assert data == ["own-large-encoder.onnx.data"]
    assert len({path.stat().st_mode for path in (tmp_path / "elsewhere" / entry.id).iterdir()}) == 1
    (tmp_path / "elsewhere").rename(tmp_path / "models")
    engine = Registry(replace(places, models=tmp_path / "models")).load("own-large")
    assert_masks_of_torch(exported[SAM].network, engine, (133, 57))
    (tmp_path / "models" / "own-large" / data[0]).unlink()
    with pytest.raises(ModelError, match="a file of it is missing"):
        Registry(replace(places, models=tmp_path / "models")).load("own-large")


def test_an_export_is_replaced_when_asked(checkpoints, tmp_path, capsys) -> None:
    folder = tmp_path / "own-sam"
    folder.mkdir()
    asked = ["export", str(checkpoints[SAM]), str(folder)]
    assert main(asked) == 1
    assert "exists already" in only_line(capsys)
    (folder / "old.onnx").write_bytes(b"old")
    assert main(["export", str(tmp_path / "none.pth"), str(folder), "--replace"]) == 1
    assert [path.name for path in folder.iterdir()] == ["old.onnx"]
    assert main([*asked, "--replace"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "entry.json", "own-sam-decoder.onnx", "own-sam-encoder.onnx"
    ]  # fmt: skip
    (folder / "letter.txt").write_text("dear")
    capsys.readouterr()
    assert main([*asked, "--replace"]) == 1
    assert "holds letter.txt, which is not of an export" in only_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["own-sam"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "does not exist"), (b"", "is empty"), (PNG, "checkpoint"),
     (b"<html>404</html>", "is a web page")],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(tmp_path, capsys, content, sentence) -> None:
    wrong = tmp_path / "wrong.pth"
    if content is not None:
        wrong.write_bytes(content)
    before = sorted(tmp_path.iterdir())
    assert main(["export", str(wrong), str(tmp_path / "own-model")]) == 1
    told = only_line(capsys)
    assert "wrong.pth" in told and sentence in told
    assert sorted(tmp_path.iterdir()) == before


def test_other_networks_are_refused(tmp_path, capsys) -> None:
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    assert main(["export", str(tmp_path / "other.pth"), str(tmp_path / "own-model")]) == 1
    assert "is not of the Segment Anything family" in only_line(capsys)


def test_segment_anything_3_is_left_to_torch(tmp_path, capsys) -> None:
    shapes = tiny_models.published_shapes_3(64, 4, 96, tiny_models.WIDTH)
    weights = {name: torch.zeros(shape) for name, shape in shapes.items()}
    torch.save({"model": weights}, tmp_path / "sam3.pt")
    assert main(["export", str(tmp_path / "sam3.pt"), str(tmp_path / "own-model")]) == 1
    assert "sam3.pt is of Segment Anything 3, which Furrow runs with torch" in only_line(capsys)


@pytest.mark.parametrize("name", ["My SAM", ".hidden", "classical"])
def test_a_folder_whose_name_is_no_id_is_refused(checkpoints, tmp_path, capsys, name) -> None:
    assert main(["export", str(checkpoints[SAM]), str(tmp_path / name)]) == 1
    assert "call it 'own-" in only_line(capsys)


def test_a_folder_that_cannot_be_written(checkpoints, tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["export", str(checkpoints[SAM]), str(tmp_path / "file" / "own-sam")]) == 1
    told = only_line(capsys)
    assert "own-sam cannot be written" in told and "choose another one" in told


def test_a_disk_that_is_full(checkpoints, tmp_path, monkeypatch) -> None:
    usage = SimpleNamespace(free=10**6)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(ModelError, match="but 1 MB are free"):
        export(checkpoints[SAM], tmp_path / "own-sam")
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_are_none_do_not_suffice() -> None:
    nothing = Agreement(float("nan"), 1e-3, 0.0, 0.0)
    assert not any(nothing.suffices(precision) for precision in Precision)
    assert not Agreement(0.1, 1e-3, 1.0, 1.0).suffices(Precision.FLOAT32)
    assert Agreement(0.1, 1e-3, 0.99, 0.5).suffices(Precision.FLOAT16)


def test_stopping_leaves_nothing(checkpoints, tmp_path, capsys, monkeypatch) -> None:
    def stop(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("furrow.models.worker.export.network_answers", stop)
    assert main(["export", str(checkpoints[SAM]), str(tmp_path / "own-sam")]) == 130
    assert only_line(capsys) == "Stopped; nothing was written.\n"
    assert list(tmp_path.iterdir()) == []


def test_help_needs_no_torch(root, tmp_path) -> None:
    (tmp_path / "furrow").symlink_to(root)
    (tmp_path / "torch.py").write_text("raise ImportError(name='torch')")
    run = [sys.executable, "-m", "furrow.models.worker", "export"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    cases = (
        (["--help"], 0, "Turns a checkpoint"),
        ([], 2, "required"),
        (["a.pth", "b", "--precision", "int4"], 2, "invalid choice"),
        (["a.pth", "own-a"], 1, "The Python package torch does not load"),
    )
    for given, code, said in cases:
        done = subprocess.run([*run, *given], capture_output=True, text=True, env=environment)
        assert done.returncode == code and said in done.stdout + done.stderr


def test_precisions_of_the_command_are_those_of_the_export() -> None:
    from furrow.models.worker.__main__ import _PRECISIONS

    assert _PRECISIONS == tuple(each.value for each in Precision)
    assert Wanted().precision.value == _PRECISIONS[0]
