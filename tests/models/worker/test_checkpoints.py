# ruff: noqa: E402 (what needs torch is imported only where it is there)
"""Checkpoints are read as numbers under names; whatever else is in a file, nothing of it runs."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any, Callable

import pytest

torch = pytest.importorskip("torch", reason="the worker needs torch: make test")
safetensors = pytest.importorskip("safetensors.torch", reason="the worker needs safetensors")

from furrow.core.errors import ModelError
from furrow.models.worker.checkpoints import find, read, read_config

WEIGHTS = {"one.weight": torch.arange(6.0).view(2, 3), "steps": torch.tensor(7)}


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, touched: Path) -> None:
        self._touched = touched

    def __reduce__(self) -> tuple:
        return os.system, (f'echo was here > "{self._touched}"',)


class Evaluated:
    """The same with Python alone."""

    def __init__(self, touched: Path) -> None:
        self._touched = touched

    def __reduce__(self) -> tuple:
        return eval, (f"open({str(self._touched)!r}, 'w')",)


def pickled(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))  # that of torch


@pytest.mark.parametrize("kind", [Malicious, Evaluated])
@pytest.mark.parametrize("where", ["alone", "beside weights", "as a value"])
@pytest.mark.parametrize(
    "write",
    [
        torch.save,
        lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
        pickled,
    ],
    ids=["zip", "legacy", "pickle"],
)
def test_nothing_that_a_file_asks_for_is_run(
    tmp_path: Path, kind: type, where: str, write: Callable[[Any, Path], None]
) -> None:
    touched, path = tmp_path / "touched", tmp_path / "sam_vit_b.pth"
    bad = kind(touched)
    content = {"alone": bad, "beside weights": {"model": dict(WEIGHTS), "extra": bad},
               "as a value": {**WEIGHTS, "two.weight": bad}}[where]  # fmt: skip
    write(content, path)
    with pytest.raises(ModelError) as caught:
        read(path)
    assert not touched.exists()
    assert "\n" not in str(caught.value)
    if write is torch.save:
        assert "asks for code to be run when it is read, which Furrow never does" in str(
            caught.value
        )


def test_the_file_would_have_run_its_code_elsewhere(tmp_path: Path) -> None:
    """Else the test above would say nothing."""
    touched, path = tmp_path / "touched", tmp_path / "sam_vit_b.pth"
    torch.save({"model": Malicious(touched)}, path)
    torch.load(path, weights_only=False)
    assert touched.exists()


def test_a_whole_network_is_code_too(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "net.pt")
    with pytest.raises(ModelError, match="asks for code to be run"):
        read(tmp_path / "net.pt")


def test_compiled_networks_are_refused(tmp_path: Path) -> None:
    """They hold code in a zip archive like that of a checkpoint."""
    path = tmp_path / "script.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("script/constants.pkl", b"")
        archive.writestr("script/data.pkl", b"")
        archive.writestr("script/code/__torch__.py", b"import os")
    with pytest.raises(ModelError, match="asks for code to be run"):
        read(path)


@pytest.mark.parametrize("inside", [None, "model", "state_dict", "model_state_dict"])
def test_weights_are_found_wherever_training_programs_put_them(tmp_path: Path, inside: str) -> None:
    path = tmp_path / "sam.pth"
    torch.save({inside: WEIGHTS, "epoch": 3} if inside else WEIGHTS, path)
    found = read(path)
    assert list(found) == list(WEIGHTS)
    assert torch.equal(found["one.weight"], WEIGHTS["one.weight"])
    assert found["steps"].dtype == torch.int64


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_any_float_type_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    content = {"one.weight": WEIGHTS["one.weight"].to(dtype)}
    torch.save(content, tmp_path / "sam.pth")
    safetensors.save_file(content, tmp_path / "sam.safetensors")
    for name in ("sam.pth", "sam.safetensors"):
        found = read(tmp_path / name)["one.weight"]
        assert found.dtype == torch.float32 and torch.equal(found, WEIGHTS["one.weight"])


def test_the_ending_of_a_file_does_not_matter(tmp_path: Path) -> None:
    safetensors.save_file({"one.weight": torch.ones(2)}, tmp_path / "sam.pth")
    assert torch.equal(read(tmp_path / "sam.pth")["one.weight"], torch.ones(2))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty; download it again"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page, not a checkpoint"),
        (b"\n <html>", "is a web page, not a checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12", "only stands for the"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"\x1f\x8b\x08" + bytes(50), "is a gzip archive; unpack it"),
        (b"GGUF" + bytes(50), "is a GGUF file"),
        (b"\x08\x08\x12\x07pytorch" + bytes(50), "is an ONNX file; give it the ending .onnx"),
        (b"PK\x03\x04" + bytes(50), "is cut off, damaged or no checkpoint"),
        (bytes(20), "is cut off, damaged or no checkpoint"),
        (b"hello" * 20, "is cut off, damaged or no checkpoint"),
    ],
    ids=lambda value: str(value[:12]),
)
def test_what_is_no_checkpoint_is_named(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "some file.pth"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=text) as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, share: float, suffix: str) -> None:
    path = tmp_path / f"sam{suffix}"
    content = {f"{k}.weight": torch.rand(50, 50) for k in range(4)}
    (torch.save if suffix == ".pth" else safetensors.save_file)(content, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelError, match="is cut off, damaged or no checkpoint"):
        read(path)


@pytest.mark.parametrize("content", [{}, [1, 2], {"model": {}, "epoch": 3}, torch.ones(2)])
def test_a_file_without_weights_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "sam.pth")
    with pytest.raises(ModelError, match="holds no weights under names"):
        read(tmp_path / "sam.pth")


def test_other_archives_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "sam.pth", "w") as archive:
        archive.writestr("sam_vit_b.pth", b"1")
    with pytest.raises(ModelError, match="is a zip archive, no checkpoint; unpack it"):
        read(tmp_path / "sam.pth")


def test_a_folder_stands_for_its_only_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no checkpoint"):
        find(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"1")
    (tmp_path / "model.safetensors").write_bytes(b"1")
    assert find(tmp_path).name == "model.safetensors", "the kind that holds no code"
    (tmp_path / "model-2.safetensors").write_bytes(b"1")
    with pytest.raises(ModelError, match=r"holds 2 \.safetensors files; choose one"):
        find(tmp_path)
    with pytest.raises(ModelError, match="does not exist"):
        find(tmp_path / "nowhere")


def test_a_config_beside_the_weights_is_read(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    assert read_config(weights) == {}
    config = tmp_path / "config.json"
    config.write_text('{"model_type": "sam2"}', encoding="utf-8")
    assert read_config(weights) == {"model_type": "sam2"}
    config.write_text("[1]", encoding="utf-8")
    assert read_config(weights) == {}
    for damaged in (b"{", b"\xff\xfe", b"[" * 100_000):
        config.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"config\.json is damaged"):
            read_config(weights)
