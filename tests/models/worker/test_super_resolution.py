# ruff: noqa: E402 (what needs torch is imported only where it is there)
"""CARN-M and RFDN: opened from checkpoints, equal to their formulas, exported as they are."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the export needs torch: make test")
for package in ("onnx", "onnxruntime", "safetensors"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"the export needs {package}: make test", allow_module_level=True)

import torch.nn.functional as F  # noqa: N812
from safetensors.torch import save_file

from furrow.core.errors import ModelError
from furrow.core.fields.delineation.enlarging import enlarged_in_parts
from furrow.models.segmenters.file_hash import file_hash
from furrow.models.segmenters.onnx_pairs.onnx_graph import read_graph
from furrow.models.super_resolution.onnx_enlarger import OnnxEnlarger
from furrow.models.training.labelled_sets import read_image
from furrow.models.worker import super_resolution_export
from furrow.models.worker.__main__ import main
from furrow.models.worker.super_resolution import open_super_resolution
from furrow.models.worker.super_resolution_export import WantedFile, export_super_resolution
from furrow.models.worker.super_resolution_networks import CarnM, Rfdn
from furrow.tests.models.worker import plain_networks

WIDTH, GROUPS = 8, 2
BLOCKS = 2


def carn_weights(*factors: int) -> Dict[str, Any]:
    """A narrow CARN-M with random weights that leave the colours near what they were."""
    torch.manual_seed(1)
    network = CarnM(WIDTH, GROUPS, {each: 4 for each in factors}, factors[0])
    weights = network.state_dict()
    for name in ("sub_mean", "add_mean"):
        weights[f"{name}.shifter.weight"] = torch.eye(3)[..., None, None]
        sign = -1 if name == "sub_mean" else 1
        weights[f"{name}.shifter.bias"] = sign * torch.tensor([0.35, 0.45, 0.55])
    weights["exit.weight"] *= 0.1
    weights["exit.bias"] *= 0
    return weights


def rfdn_weights(factor: int) -> Dict[str, Any]:
    """A narrow RFDN with random weights; it repeats pixels, nearly."""
    torch.manual_seed(2)
    weights = Rfdn(WIDTH, 4, 3, BLOCKS, factor).state_dict()
    weights["fea_conv.weight"] *= 0.01
    weights["LR_conv.weight"] *= 0.1
    for colour in range(3):
        weights["fea_conv.weight"][colour, colour, 1, 1] = 1
        own = slice(colour * factor**2, (colour + 1) * factor**2)
        weights["upsampler.0.weight"][own, :3] *= 0.01
        weights["upsampler.0.weight"][own, colour, 1, 1] = 1
    return weights


@pytest.fixture
def carn(tmp_path: Path) -> Path:
    path = tmp_path / "cärn.pth"
    torch.save(carn_weights(2, 3, 4), path)
    return path


@pytest.fixture
def rfdn(tmp_path: Path) -> Path:
    save_file(rfdn_weights(2), tmp_path / "rfdn.safetensors")
    return tmp_path / "rfdn.safetensors"


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(3).random((3, height, width))


def asked(network: Any, values: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network(torch.from_numpy(values)[None].float())[0].numpy()


# --- networks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_carn_m_is_what_the_formulas_say(carn: Path, factor: int) -> None:
    opened = open_super_resolution(carn, factor)
    assert (opened.architecture, opened.factor, opened.checkpoint) == ("CARN-M", factor, carn)
    weights = {name: each.double().numpy() for name, each in carn_weights(2, 3, 4).items()}
    values = picture(9, 13)
    expected = plain_networks.carn_m(values, weights, factor)
    assert expected.shape == (3, 9 * factor, 13 * factor) and expected.std() > 0.01
    assert np.abs(asked(opened.network, values) - expected.clip(0, 1)).max() < 1e-5


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("shape", [(15, 15), (23, 40)])
def test_rfdn_is_what_the_formulas_say(tmp_path: Path, factor: int, shape: tuple) -> None:
    torch.save(rfdn_weights(factor), tmp_path / "rfdn.pth")
    opened = open_super_resolution(tmp_path / "rfdn.pth")
    assert (opened.architecture, opened.factor) == ("RFDN", factor)
    weights = {name: each.double().numpy() for name, each in rfdn_weights(factor).items()}
    values = picture(*shape)
    expected = plain_networks.rfdn(255 * values, weights, factor, BLOCKS) / 255
    assert expected.std() > 0.01
    assert np.abs(asked(opened.network, values) - expected.clip(0, 1)).max() < 1e-5


def test_the_largest_factor_is_the_usual_one(tmp_path: Path, carn: Path) -> None:
    assert open_super_resolution(carn).factor == 4
    torch.save(carn_weights(2, 3), tmp_path / "two.pth")
    assert open_super_resolution(tmp_path / "two.pth").factor == 3


# --- checkpoints that do not fit --------------------------------------------------------------


def told(work: Callable[[], Any]) -> str:
    with pytest.raises(ModelError) as caught:
        work()
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")
    assert len(re.findall(r"[.!?](?=\s|$)", sentence)) == 1, sentence
    return sentence


def without(weights: Dict[str, Any], *names: str) -> Dict[str, Any]:
    return {name: values for name, values in weights.items() if name not in names}


def test_weights_must_be_exactly_those_of_the_network(tmp_path: Path) -> None:
    plain, other = carn_weights(2), rfdn_weights(2)
    for weights in (
        without(plain, "b2.c3.body.0.bias"),
        without(plain, "b1.b1.body.0.weight"),
        {**plain, "surplus.weight": torch.zeros(3)},
        {**plain, "exit.weight": torch.zeros(3, WIDTH, 5, 5)},
        {**plain, "b1.b1.body.0.weight": torch.zeros(())},
        {**plain, "b1.b1.body.0.weight": torch.zeros(WIDTH, 3 * WIDTH, 3, 3)},
        without(other, "B2.esa.conv_max.bias"),
        without(other, "B1.c1_d.weight"),
        {**other, "B2.c1_d.weight": torch.zeros(5, WIDTH, 1, 1)},
    ):
        torch.save(weights, tmp_path / "odd.pth")
        sentence = told(lambda: open_super_resolution(tmp_path / "odd.pth"))
        assert "odd.pth is not the checkpoint of" in sentence and "choose another" in sentence


def test_other_networks_and_other_factors(tmp_path: Path, rfdn: Path, carn: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3, 3, 3, 3)}, tmp_path / "other.pth")
    words = told(lambda: open_super_resolution(tmp_path / "other.pth"))
    assert "no checkpoint of CARN-M or RFDN" in words
    assert "choose a factor that it has: 2." in told(lambda: open_super_resolution(rfdn, 4))
    torch.save(without(carn_weights(2), "upsample.up2.body.0.weight"), carn)
    assert "does not enlarge 2, 3 or 4 times" in told(lambda: open_super_resolution(carn))
    wide = {**rfdn_weights(2), "upsampler.0.weight": torch.zeros(75, WIDTH, 3, 3)}
    torch.save(wide, carn)
    assert "does not enlarge 2, 3 or 4 times" in told(lambda: open_super_resolution(carn))
    assert "missing.pth does not exist" in told(
        lambda: open_super_resolution(tmp_path / "missing.pth")
    )


# --- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_the_command_writes_a_file_that_answers_alike(
    carn: Path, tmp_path: Path, precision: str, capsys: Any
) -> None:
    path = tmp_path / "carn x3.onnx"
    given = ["export-super-resolution", str(carn), str(path), "--factor", "3"]
    assert main([*given, "--precision", precision]) == 0
    assert "CARN-M, 3 times, is in" in capsys.readouterr().out
    graph = read_graph(path)
    assert graph.inputs[0].shape == (1, 3, None, None) and len(graph.inputs) == 1
    assert dict(graph.metadata) == {
        "furrow.architecture": "CARN-M", "furrow.factor": "3",
        "furrow.checkpoint": file_hash(carn), "furrow.precision": precision,
    }  # fmt: skip
    enlarger = OnnxEnlarger(path)
    image = np.rint(255 * picture(41, 70)).astype(np.uint8).transpose(1, 2, 0)
    expected = asked(open_super_resolution(carn, 3).network, image.transpose(2, 0, 1) / 255)
    apart = np.abs(enlarger(image).astype(float) - 255 * expected.transpose(1, 2, 0))
    assert enlarger.factor == 3 and apart.max() < (0.51 if precision == "float32" else 2)
    assert sorted(each.name for each in tmp_path.iterdir()) == [path.name, carn.name]


def test_rfdn_becomes_a_file_too(rfdn: Path, tmp_path: Path) -> None:
    opened = export_super_resolution(rfdn, tmp_path / "r.onnx")
    assert opened.factor == OnnxEnlarger(tmp_path / "r.onnx").factor == 2


def test_a_network_that_changes_colours_is_refused(carn: Path, tmp_path: Path) -> None:
    weights = carn_weights(2)
    weights["exit.bias"] += 0.4
    torch.save(weights, carn)
    words = told(lambda: export_super_resolution(carn, tmp_path / "a.onnx"))
    assert "does not give back the colours" in words and words.startswith(str(carn))
    assert [each.name for each in tmp_path.iterdir()] == [carn.name]


def test_a_file_that_answers_otherwise_does_not_appear(
    carn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(tmp_path.iterdir())
    plain = super_resolution_export.write

    def other(traced: Any, *rest: Any) -> None:
        changed = carn_weights(2, 3, 4)
        changed["exit.bias"] += 0.01
        traced.module.network.load_state_dict(changed)
        plain(traced, *rest)
        traced.module.network.load_state_dict(carn_weights(2, 3, 4))

    monkeypatch.setattr(super_resolution_export, "write", other)
    words = told(lambda: export_super_resolution(carn, tmp_path / "a.onnx"))
    assert "does not answer as" in words and "0.01" in words
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("trouble", "words"),
    [(OSError(28, "No space left on device"), "make room"), (MemoryError(), "MemoryError"),
     (RuntimeError("cannot trace\nsecond line"), "cannot trace")],
)  # fmt: skip
def test_trouble_leaves_what_was_there(
    carn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: Exception, words: str
) -> None:
    def fails(traced: Any, path: Path, *_: Any) -> None:
        path.write_bytes(b"half")
        raise trouble

    (tmp_path / "a.onnx").write_bytes(b"earlier")
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(super_resolution_export, "write", fails)
    wanted = WantedFile(replace=True)
    assert words in told(lambda: export_super_resolution(carn, tmp_path / "a.onnx", wanted))
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "a.onnx").read_bytes() == b"earlier"


def test_where_a_file_may_be(carn: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "there.onnx").write_bytes(b"x")
    for name, words in (
        ("a.pth", "must end in .onnx; call it a.onnx"),
        ("no/a.onnx", "does not exist; create it"),
        ("folder.onnx", "is a folder"),
        ("there.onnx", "replace it with --replace"),
    ):
        assert main(["export-super-resolution", str(carn), str(tmp_path / name)]) == 1
        told_ = capsys.readouterr().err.strip()
        assert words in told_ and "\n" not in told_
    given = ["export-super-resolution", str(carn), str(tmp_path / "there.onnx")]
    assert main([*given, "--replace", "--factor", "2"]) == 0
    assert OnnxEnlarger(tmp_path / "there.onnx").factor == 2
    for wrong in (["--factor", "5"], ["--precision", "int8"]):
        with pytest.raises(SystemExit) as ended:
            main([*given, *wrong])
        assert ended.value.code == 2


# --- the published weights --------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """published("carn_m.pth", 2): the network as a file, made once."""
    folder = tmp_path_factory.mktemp("published")

    def make(name: str, factor: int) -> OnnxEnlarger:
        checkpoint = shared_data / "super_resolution" / name
        if not checkpoint.is_file():
            pytest.skip(f"no weights here: {checkpoint} does not exist")
        path = folder / f"{name}-{factor}.onnx"
        if not path.is_file():
            export_super_resolution(checkpoint, path, WantedFile(factor))
        return OnnxEnlarger(path)

    return make


@pytest.fixture(scope="module")
def land(shared_data: Path) -> np.ndarray:
    """(288, 288, 3) uint8 of a NAIP picture."""
    paths = sorted((shared_data / "naip_midwest" / "images").glob("*.png"))
    if len(paths) < 24:
        pytest.skip("no NAIP pictures here")
    return read_image(paths[24])[:288, :288]


def reduced(image: np.ndarray, factor: int) -> np.ndarray:
    height, width = image.shape[0] // factor, image.shape[1] // factor
    blocks = image.reshape(height, factor, width, factor, 3).astype(float)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def cubic(image: np.ndarray, factor: float) -> np.ndarray:
    values = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32))
    found = F.interpolate(values, scale_factor=factor, mode="bicubic", antialias=factor < 1)
    return found[0].permute(1, 2, 0).round().clamp(0, 255).numpy().astype(np.uint8)


def signal_to_noise(image: np.ndarray, true: np.ndarray) -> float:
    """In decibels, but for the outermost pixels."""
    apart = (image.astype(float) - true)[8:-8, 8:-8]
    return float(10 * np.log10(255**2 / (apart**2).mean()))


@pytest.mark.parametrize(("name", "factor", "least"), [
    ("carn_m.pth", 3, 0.1), ("carn_m.pth", 4, 0.1), ("RFDN_AIM.pth", 4, 0.1),
])  # fmt: skip
def test_published_weights_beat_interpolation_after_averaging(
    published: Callable, land: np.ndarray, name: str, factor: int, least: float
) -> None:
    small = reduced(land, factor)
    found = signal_to_noise(published(name, factor)(small), land)
    assert found - signal_to_noise(cubic(small, factor), land) > least


@pytest.mark.parametrize(("name", "factor"), [
    ("carn_m.pth", 2), ("carn_m.pth", 3), ("carn_m.pth", 4), ("RFDN_AIM.pth", 4),
])  # fmt: skip
def test_published_weights_beat_interpolation_by_far_where_they_learned(
    published: Callable, land: np.ndarray, name: str, factor: int
) -> None:
    """They have learned from pictures that were reduced with bicubic weights."""
    small = cubic(land, 1 / factor)
    found = signal_to_noise(published(name, factor)(small), land)
    assert found - signal_to_noise(cubic(small, factor), land) > 0.5


@pytest.mark.parametrize("factor", [2, 4])
def test_no_seams(published: Callable, land: np.ndarray, factor: int, monkeypatch: Any) -> None:
    from furrow.core.fields.delineation import enlarging

    monkeypatch.setattr(enlarging, "_LARGEST", factor * 120)
    enlarger = published("carn_m.pth", factor)
    image = land[:150, :140]
    assert np.array_equal(enlarged_in_parts(image, enlarger), enlarger(image))


def test_seams_of_a_network_that_sees_further_are_faint(
    published: Callable, land: np.ndarray
) -> None:
    """RFDN's attention takes in the whole picture."""
    enlarger, image = published("RFDN_AIM.pth", 4), land[:200, :200]
    whole = enlarger(image).astype(int)
    apart = enlarged_in_parts(image, enlarger) - whole
    seam = 4 * 100
    steps = np.abs(np.diff(whole[:, seam - 1 : seam + 1], axis=1)).mean()
    assert np.sqrt((apart**2).mean()) < 1
    assert np.abs(np.diff(apart[:, seam - 1 : seam + 1], axis=1)).mean() < 0.2 * steps
