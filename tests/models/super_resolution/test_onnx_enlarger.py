"""Any ONNX file that enlarges pictures is used; all others are refused with a sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Callable

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from onnx import TensorProto  # noqa: E402

from furrow.core.errors import ModelError  # noqa: E402
from furrow.core.fields.delineation import enlarging  # noqa: E402
from furrow.core.fields.delineation.enlarging import enlarged_in_parts  # noqa: E402
from furrow.models.super_resolution import onnx_enlarger  # noqa: E402
from furrow.models.super_resolution.onnx_enlarger import (  # noqa: E402
    OnnxEnlarger,
    open_enlarger,
)
from furrow.tests.models.super_resolution import small_files  # noqa: E402

NAME = "model.onnx"


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def squares(image: np.ndarray, factor: int) -> np.ndarray:
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (64, 47)])
def test_pictures_of_any_size_become_larger(tmp_path: Path, factor: int, shape: tuple) -> None:
    enlarger = OnnxEnlarger(small_files.repeating(tmp_path / NAME, factor))
    assert enlarger.factor == factor
    image = picture(*shape)
    before = image.copy()
    large = enlarger(image)
    assert large.dtype == np.uint8 and np.array_equal(large, squares(image, factor))
    assert np.array_equal(image, before)


@pytest.mark.parametrize("shape", [None, ("n", "c", "h", "w"), (1, 3, "h", "w")])
def test_what_the_file_does_not_say_is_found_out(tmp_path: Path, shape: object) -> None:
    if shape is None:
        with pytest.raises(ModelError, match="shape unknown"):
            OnnxEnlarger(small_files.repeating(tmp_path / NAME, shape=shape))
        return
    assert OnnxEnlarger(small_files.repeating(tmp_path / NAME, 3, shape=shape)).factor == 3


def test_half_precision(tmp_path: Path) -> None:
    path = small_files.repeating(tmp_path / NAME, dtype=TensorProto.FLOAT16)
    image = picture(40, 50)
    assert np.array_equal(OnnxEnlarger(path)(image), squares(image, 2))


def test_values_beyond_white_and_black_are_cut_off(tmp_path: Path) -> None:
    enlarger = OnnxEnlarger(small_files.times(tmp_path / NAME, 1.5, -0.2))
    image = np.array([[[0, 100, 255]]], np.uint8).repeat(40, axis=0).repeat(40, axis=1)
    assert enlarger(image)[5, 5].tolist() == [0, 99, 255]


def test_a_file_is_opened_once_and_anew_when_it_has_changed(tmp_path: Path) -> None:
    path = small_files.repeating(tmp_path / NAME)
    first = open_enlarger(path)
    assert open_enlarger(path) is first and first.factor == 2
    small_files.times(path, 1.0)
    again = open_enlarger(path)
    assert again is not first


def test_parts_of_a_real_graph_make_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enlarging, "_LARGEST", 160)
    enlarger = OnnxEnlarger(small_files.repeating(tmp_path / NAME))
    image = picture(150, 99)
    assert np.array_equal(enlarged_in_parts(image, enlarger), enlarger(image))


def refusal(path: Path, open_: Callable[[Path], object] = open_enlarger) -> str:
    with pytest.raises(ModelError) as caught:
        open_(path)
    sentence = str(caught.value)
    assert sentence.startswith("SUPER_RESOLUTION: ") and path.name in sentence
    assert "MODEL" not in sentence and "\n" not in sentence
    assert re.findall(r"[.!?](?=\s|$)", sentence) == ["."] and sentence.endswith("."), sentence
    assert ";" in sentence, "how to mend it"
    return sentence


@pytest.mark.parametrize(
    ("words", "make"),
    [
        ("does not exist", lambda path: path),
        ("damaged or not an ONNX file", lambda path: path.write_bytes(b"PK\x03\x04" + bytes(99))),
        ("damaged or not an ONNX file", lambda path: path.write_bytes(b"")),
        ("2 inputs", small_files.two_inputs),
        ("(1, 1, ?, ?)", lambda path: small_files.repeating(path, shape=(1, 1, "h", "w"))),
        ("(1, 4, ?, ?)", lambda path: small_files.repeating(path, shape=(1, 4, "h", "w"))),
        ("(3, ?, ?)", lambda path: small_files.repeating(path, shape=(3, "h", "w"))),
        ("takes uint8", lambda path: small_files.repeating(path, dtype=TensorProto.UINT8)),
        ("one size only", lambda path: small_files.repeating(path, shape=(1, 3, 64, 64))),
        ("free height and width", lambda path: small_files.repeating(path, shape=(1, 3, "h", 9))),
        ("(1, 1, 64, 80)", small_files.grey),
        ("1 times as wide", lambda path: small_files.repeating(path, 1)),
        ("5 times as high", lambda path: small_files.repeating(path, 5)),
        ("2.5 times as high", lambda path: small_files.repeating(path, 2.5)),
        ("no numbers", small_files.no_numbers),
        ("colours", lambda path: small_files.times(path, 0.1)),
        ("colours", lambda path: small_files.times(path, 255)),
        ("evil.corp.Steal", small_files.foreign),
    ],
)
def test_other_files_are_refused(tmp_path: Path, words: str, make: Callable) -> None:
    path = tmp_path / NAME
    make(path)
    assert words in refusal(path)


def test_a_graph_that_onnxruntime_refuses(tmp_path: Path) -> None:
    from onnx import helper

    node = helper.make_node("NoSuchThing", ["picture"], ["large"])
    path = small_files.save(tmp_path / NAME, [node], [])
    assert "cannot read" in refusal(path)


def test_without_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small_files.repeating(tmp_path / NAME)
    monkeypatch.setattr(onnx_enlarger, "available", lambda: False)
    assert "install it under Models of Furrow" in refusal(path, OnnxEnlarger)


def test_a_failure_on_a_large_picture_names_the_file(tmp_path: Path) -> None:
    enlarger = OnnxEnlarger(small_files.repeating(tmp_path / NAME))

    class Full:
        def run(self, *given: object) -> list:
            raise ModelError("MODEL: onnxruntime cannot run model.onnx on this image (memory); x.")

    enlarger._runner = Full()
    assert "memory" in refusal(tmp_path / NAME, lambda path: enlarger(picture(9, 9)))
