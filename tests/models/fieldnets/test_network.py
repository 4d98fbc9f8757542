# ruff: noqa: E402 (what needs torch is imported only where it is there)
"""The network with torch: learns, begins with known weights, leaves as ONNX."""

from __future__ import annotations

import importlib.util
import json
import threading
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks are trained with torch: make test")
for package in ("safetensors", "onnx", "onnxruntime"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}: make test", allow_module_level=True)

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from furrow.core.errors import Cancelled, ModelError, WorkerError
from furrow.core.monitor import SILENT, Monitor
from furrow.models.fieldnets.crops import SCALARS, CropFiles, TrainingCrops, field_crop
from furrow.models.fieldnets.export import example, export
from furrow.models.fieldnets.launching import require_environment, run_training
from furrow.models.fieldnets.network import FieldNetwork
from furrow.models.fieldnets.onnx_classifier import NetworkClassifier
from furrow.models.fieldnets.order import TrainingOrder
from furrow.models.fieldnets.resnet import ResNet, renamed, take_weights
from furrow.models.fieldnets.sizes import SIZES
from furrow.models.fieldnets.trainer import Schedule, augmented, chances, train
from furrow.tests.models.fieldnets.environments import borrowed_environment

SIDE = 32


def write_crops(folder, count=60, seed=0):
    """Striped and plain squares of the same colours."""
    rng = np.random.default_rng(seed)
    files = CropFiles(folder, count, SIDE)
    labels = np.arange(count) % 2
    own = np.zeros((40, 40), bool)
    own[4:36, 4:36] = True
    for label in labels:
        stripes = np.where((np.arange(40) // 5) % 2 == 0, 0.3, 0.6)
        pattern = np.tile(stripes, (40, 1)) if label else rng.permutation(np.tile(stripes, 40))
        pattern = pattern.reshape(40, 40)
        pattern = pattern.T if rng.random() < 0.5 else pattern
        colours = np.stack([pattern, pattern * 0.9, pattern * 0.8]) + rng.normal(0, 0.02)
        files.add(field_crop(np.clip(colours, 0, 1), own, SIDE))
    files.finish(labels, np.arange(count) % 5 == 0)
    return TrainingCrops.open(folder)


def test_learns_what_the_numbers_do_not_tell(tmp_path):
    crops = write_crops(tmp_path)
    torch.manual_seed(0)
    network, told = FieldNetwork("small", 2), []
    train(network, crops, Schedule(epochs=12, batch=16, rate=3e-3), torch.device("cpu"),
          lambda share, said: told.append((share, said)))  # fmt: skip
    held = np.flatnonzero(crops.held)
    found = chances(network, crops, held, torch.device("cpu"))
    assert (found.argmax(axis=1) == crops.labels[held]).mean() > 0.9
    assert [share for share, _ in told][-1] == 1 and "epoch 1 of 12" in told[0][1]
    expected = np.array(crops.scalars[~crops.held]).mean(axis=0)
    assert network.scalar_mean.numpy() == pytest.approx(expected, abs=1e-5)


def test_numbers_join_the_features():
    network = FieldNetwork("resnet50", 3)
    assert network.head.in_features == 2048 + len(SCALARS)
    network.eval()
    image, mask, scalars = example(2, 64, 0)
    with torch.no_grad():
        first = network(image, mask, scalars)
        beside = network(torch.where(mask > 0, image, 255 - image), mask, scalars)
        other = network(image, mask, scalars + 1)
    assert first.shape == (2, 3)
    assert torch.equal(first, beside) and not torch.equal(first, other)


@pytest.mark.parametrize("size", ["resnet18", "resnet50"])
def test_weights_of_torchvision(size):
    """The same network gives the same features under torchvision's names."""
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("needs torchvision: make test")
    from furrow.models.worker.torchvision_repair import repair

    repair()
    from torchvision.models import resnet18, resnet50

    torch.manual_seed(0)
    theirs = {"resnet18": resnet18, "resnet50": resnet50}[size](weights=None).eval()
    ours = ResNet(SIZES[size]).eval()
    assert take_weights(ours, theirs.state_dict(), "resnet.pth") == len(ours.state_dict())
    theirs.fc = torch.nn.Identity()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(theirs(image), ours(image), rtol=1e-3, atol=1e-4)


def test_names_of_transformers():
    """As in the file of microsoft/resnet-50."""
    names = {
        "resnet.embedder.embedder.convolution.weight": "conv1.weight",
        "resnet.embedder.embedder.normalization.bias": "bn1.bias",
        "resnet.encoder.stages.0.layers.0.shortcut.convolution.weight":
            "layer1.0.downsample.0.weight",
        "resnet.encoder.stages.2.layers.5.layer.1.normalization.running_mean":
            "layer3.5.bn2.running_mean",
        "resnet.encoder.stages.3.layers.0.layer.2.convolution.weight": "layer4.0.conv3.weight",
    }  # fmt: skip
    assert list(renamed(dict.fromkeys(names))) == list(names.values())
    assert set(names.values()) <= set(ResNet(SIZES["resnet50"]).state_dict())


def test_weights_of_a_network_of_ours_and_of_others():
    one, other = FieldNetwork("small", 2), FieldNetwork("small", 5)
    take_weights(other.backbone, one.state_dict(), "x")
    assert torch.equal(one.backbone.conv1.weight, other.backbone.conv1.weight)
    with pytest.raises(ModelError, match="another network"):
        take_weights(ResNet(SIZES["resnet18"]), one.state_dict(), "x")


def test_crops_are_turned_with_their_masks(tmp_path):
    crops = write_crops(tmp_path, 8)
    batch = crops.batch(np.arange(8))
    before = batch.images.copy()
    changed = augmented(batch, np.random.default_rng(0))
    assert np.array_equal(batch.images, before), "what is given stays as it is"
    lit = changed.images.any(axis=3)
    assert (lit == (changed.masks > 0)).mean() > 0.99
    assert np.array_equal(changed.scalars[:, :4], batch.scalars[:, :4])
    assert not np.array_equal(changed.scalars[:, 4], batch.scalars[:, 4])


def test_onnx_gives_the_same_probabilities(tmp_path):
    network = FieldNetwork("small", 4)
    assert export(network, tmp_path / "network.onnx", SIDE) < 1e-4
    inputs = [each.numpy() for each in example(5, SIDE, 7)]
    found = NetworkClassifier(tmp_path / "network.onnx", 4).of_inputs(*inputs)
    assert found.shape == (5, 4) and found.sum(axis=1) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ModelError, match=r"does not belong to its model\.json"):
        NetworkClassifier(tmp_path / "network.onnx", 3).of_inputs(*inputs)
    with pytest.raises(ModelError, match="is missing"):
        NetworkClassifier(tmp_path / "none.onnx", 3)


def test_a_training_in_its_own_process(tmp_path):
    folder = tmp_path / "Kürbis und Mais"
    folder.mkdir()
    write_crops(folder, 20)
    weights = tmp_path / "begin.safetensors"
    save_file(FieldNetwork("small", 2).state_dict(), str(weights))
    said, shares = [], []
    monitor = Monitor(progress=shares.append, message=said.append)
    order = TrainingOrder(2, SIDE, "small", 2, 8, threads=1, weights=str(weights))
    answer = run_training(borrowed_environment(tmp_path / "env"), folder, order, monitor)
    assert answer["device"] and answer["difference"] < 1e-3
    assert any("epoch 2 of 2" in text for text in said) and shares[-1] == 1
    assert any("weights taken from begin.safetensors" in text for text in said)
    assert np.load(folder / "chances.npy").shape == (4, 2)
    assert "head.weight" in load_file(str(folder / "network.safetensors"))
    with safe_open(str(folder / "network.safetensors"), "pt") as stored:
        assert json.loads(stored.metadata()["network"])["side"] == SIDE


def test_a_training_that_fails_says_why(tmp_path):
    write_crops(tmp_path, 10)
    (tmp_path / "bad.pth").write_bytes(b"<html>")
    environment = borrowed_environment(tmp_path / "env")
    order = TrainingOrder(2, SIDE, "small", 1, 8, weights=str(tmp_path / "bad.pth"))
    with pytest.raises(WorkerError, match="is a web page"):
        run_training(environment, tmp_path, order, SILENT)


def test_cancelling_ends_the_process(tmp_path):
    write_crops(tmp_path, 10)
    stop = threading.Event()
    began: list[float] = []

    def cancelled() -> bool:
        if stop.is_set() and not began:
            began.append(time.monotonic())
        return stop.is_set()

    order = TrainingOrder(2, SIDE, "small", 10_000, 8, threads=1)
    monitor = Monitor(cancelled, message=lambda text: stop.set())
    with pytest.raises(Cancelled):
        run_training(borrowed_environment(tmp_path / "env"), tmp_path, order, monitor)
    assert time.monotonic() - began[0] < 3
    assert not (tmp_path / "network.onnx").exists()


def test_without_an_environment(tmp_path):
    with pytest.raises(ModelError, match="Packages, or choose statistics"):
        require_environment(tmp_path)
