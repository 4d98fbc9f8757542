"""ONNX files are read without onnx, unsafe ones are refused, and damaged ones do no harm."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from furrow.core.errors import ModelError
from furrow.models.segmenters.furrow_field.field_model import WEIGHTS
from furrow.models.segmenters.onnx_pairs.onnx_graph import Graph, Value, _read, read_graph
from furrow.models.segmenters.onnx_pairs.onnx_safety import check_safe

SHIPPED = sorted(WEIGHTS.glob("*.onnx"))
DECODER = SHIPPED[0].read_bytes()
FUZZ = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number: int, content) -> bytes:
    """A field of a message: a whole number, a text or bytes."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def value(name: str, *sides: int) -> bytes:
    shape = b"".join(field(1, field(1, side) if side else field(2, "n")) for side in sides)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))


def tensor(name: str, location: str = "") -> bytes:
    if not location:
        return field(1, 2) + field(2, 1) + field(8, name) + field(9, bytes(8))
    where = field(13, field(1, "location") + field(2, location))
    return field(8, name) + where + field(14, 1)


def node(operator: str = "Relu", domain: str = "", attribute: bytes = b"") -> bytes:
    text = field(1, "x") + field(2, "y") + field(4, operator) + field(7, domain)
    return text + (field(5, attribute) if attribute else b"")


def model(*nodes: bytes, graph: bytes = b"", rest: bytes = b"") -> bytes:
    """A ModelProto with one input and one output."""
    content = b"".join(field(1, each) for each in nodes or (node(),))
    content += field(11, value("x", 0, 3)) + field(12, value("y", 0, 3)) + graph
    return field(1, 8) + field(8, field(1, "") + field(2, 17)) + field(7, content) + rest


def saved(folder: Path, content: bytes, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def checked(folder: Path, content: bytes) -> Graph:
    graph = read_graph(saved(folder, content))
    check_safe(graph)
    return graph


def refusal(folder: Path, content: bytes) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(ModelError) as caught:
        checked(folder, content)
    sentence = str(caught.value)
    assert sentence.startswith("MODEL: ") and sentence.endswith(".")
    assert ". " not in sentence and "\n" not in sentence
    return sentence


def test_the_shipped_decoder() -> None:
    graph = read_graph(SHIPPED[0])
    assert [each.name for each in graph.inputs][:2] == ["context", "detail"]
    assert graph.inputs[0] == Value("context", "float16", (None, 48, 32, 32))
    assert Value("logits", "float32", (None, 3, 64, 64)) in graph.outputs
    assert graph.opsets == {"": 17} and graph.metadata["model_id"] == "furrow-field"
    assert not graph.external and len(graph.nodes) > 100


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_models_are_read_at_once(path) -> None:
    graph = read_graph(path)
    check_safe(graph)
    assert read_graph(path) is graph, "a file is read once"
    assert min(seconds(path) for _ in range(5)) < 0.1


def seconds(path: Path) -> float:
    """What reading it takes, without the cache."""
    start = time.process_time()
    _read.__wrapped__(path, path.stat().st_size, 0)
    return time.process_time() - start


def test_it_says_the_same_as_onnx() -> None:
    onnx = pytest.importorskip("onnx")
    for path in SHIPPED:
        proto, graph = onnx.load(path), read_graph(path)
        assert [each.name for each in proto.graph.input] == [v.name for v in graph.inputs]
        assert [each.op_type for each in proto.graph.node] == [n.operator for n in graph.nodes]
        assert [tuple(each.input) for each in proto.graph.node] == [n.inputs for n in graph.nodes]
        for theirs, ours in zip(proto.graph.output, graph.outputs):
            sides = tuple(side.dim_value or None for side in theirs.type.tensor_type.shape.dim)
            assert (theirs.name, sides) == (ours.name, ours.shape)


def test_inputs_with_a_value_in_the_file_are_none(tmp_path) -> None:
    weight = field(11, value("w", 2)) + field(5, tensor("w"))
    graph = checked(tmp_path, model(graph=weight))
    assert [each.name for each in graph.inputs] == ["x"]
    assert graph.inputs[0].shape == (None, 3) and graph.inputs[0].rank == 2


def test_a_changed_file_is_read_anew(tmp_path) -> None:
    path = saved(tmp_path, model(node("Relu")))
    first = read_graph(path)
    saved(tmp_path, model(node("Sigmoid")))
    os.utime(path, ns=(1, 1))
    assert (first.nodes[0].operator, read_graph(path).nodes[0].operator) == ("Relu", "Sigmoid")


@pytest.mark.parametrize("domain", ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"])
def test_known_operators(tmp_path, domain) -> None:
    assert (domain, "Gelu") in checked(tmp_path, model(node("Gelu", domain))).operators


@pytest.mark.parametrize(
    ("operator", "domain"),
    [("Steal", "evil.corp"), ("ATen", "org.pytorch.aten"), ("PythonOp", "com.microsoft"),
     ("EPContext", "com.microsoft"), ("NCHWc", "com.microsoft.nchwc")],
)  # fmt: skip
def test_unknown_operators(tmp_path, operator, domain) -> None:
    sentence = refusal(tmp_path, model(node(), node(operator, domain)))
    assert operator in sentence and domain in sentence and "export" in sentence


def test_operators_in_hidden_places(tmp_path) -> None:
    evil = field(1, node("Steal", "evil.corp"))
    within = node("If", attribute=field(1, "then_branch") + field(6, evil))
    several = node("If", attribute=field(1, "branches") + field(11, evil))
    function = field(25, field(1, "f") + field(10, "own") + field(7, node("Steal", "evil.corp")))
    training = field(20, field(2, evil))
    for content in (model(within), model(several), model(rest=function), model(rest=training)):
        assert "evil.corp" in refusal(tmp_path, content)


def test_functions_of_the_file_itself_are_known(tmp_path) -> None:
    function = field(25, field(1, "Twice") + field(10, "own") + field(7, node("Add")))
    graph = checked(tmp_path, model(node("Twice", "own"), rest=function))
    assert ("own", "Twice") not in graph.operators and ("", "Add") in graph.operators


OUTSIDE = [
    "/etc/passwd", "../weights.bin", "a/../../weights.bin", "C:\\weights.bin", "C:weights.bin",
    "..\\weights.bin", "\\\\server\\share", "", "*/_ORT_MEM_ADDR_/*", "a\nb", "a\x00b",
]  # fmt: skip


@pytest.mark.parametrize("location", OUTSIDE)
def test_weights_outside_the_folder(tmp_path, location) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    saved(tmp_path, b"weights", "weights.bin")
    entry = field(13, field(1, "location") + field(2, location))
    content = model(graph=field(5, field(8, "w") + entry + field(14, 1)))
    assert "not in its own folder" in refusal(folder, content)


def test_weights_in_the_folder(tmp_path) -> None:
    (tmp_path / "parts").mkdir()
    saved(tmp_path / "parts", b"weights", "weights.bin")
    content = model(graph=field(5, tensor("w", "parts/weights.bin")))
    assert checked(tmp_path, content).external == ("parts/weights.bin",)


def test_missing_weights(tmp_path) -> None:
    sentence = refusal(tmp_path, model(graph=field(5, tensor("w", "weights.bin"))))
    assert "'weights.bin' beside it" in sentence and "copy it" in sentence
    (tmp_path / "weights.bin").mkdir()
    assert "missing" in refusal(tmp_path, model(graph=field(5, tensor("w", "weights.bin"))))


def test_links_that_lead_out(tmp_path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    saved(tmp_path, b"weights", "weights.bin")
    (folder / "file.bin").symlink_to(tmp_path / "weights.bin")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "circle").symlink_to(folder / "circle")
    for location in ("file.bin", "folder/weights.bin"):
        content = model(graph=field(5, tensor("w", location)))
        assert "not in its own folder" in refusal(folder, content)
    assert "missing" in refusal(folder, model(graph=field(5, tensor("w", "circle"))))


def test_weights_in_hidden_places(tmp_path) -> None:
    away = tensor("w", "/etc/passwd")
    branch = field(6, field(1, node()) + field(5, away))
    hidden = [
        model(node("Constant", attribute=field(1, "value") + field(5, away))),
        model(node("Constant", attribute=field(1, "values") + field(10, away))),
        model(node("Constant", attribute=field(1, "s") + field(22, field(1, away)))),
        model(node("Constant", attribute=field(1, "s") + field(23, field(2, away)))),
        model(node("If", attribute=field(1, "then_branch") + branch)),
        model(graph=field(15, field(1, away))),
        model(rest=field(25, field(1, "f") + field(7, node(attribute=field(5, away))))),
        model(rest=field(7, field(5, away))),  # a second part of the same graph
    ]
    for content in hidden:
        assert "/etc/passwd" in refusal(tmp_path, content)


def nested(depth: int) -> bytes:
    content = node()
    for _ in range(depth):
        content = node("If", attribute=field(6, field(1, content)))
    return model(content)


NO_MODELS = {
    "empty": b"",
    "text": b"<!DOCTYPE html><html>404</html>",
    "zip": b"PK\x03\x04" + bytes(60),
    "zeros": bytes(1000),
    "no graph": field(1, 8) + field(8, field(2, 17)),
    "empty graph": field(1, 8) + field(8, field(2, 17)) + field(7, b""),
    "cut off": DECODER[:-100],
    "long number": b"\x08" + b"\xff" * 20,
    "huge length": b"\x3a" + varint(2**63),
    "no text": model(field(1, b"\xff\xfe") + field(4, "Relu")),
    "no operator": model(field(1, "x")),
    "a name without end": model(node("R" * 70_000)),
    "weights nowhere": model(graph=field(5, field(8, "w") + field(14, 1))),
    "too deep": nested(60),
    "groups": model() + b"\x0b\x0c",
}


@pytest.mark.parametrize("kind", NO_MODELS)
def test_what_is_no_model(tmp_path, kind) -> None:
    assert "damaged or not an ONNX file" in refusal(tmp_path, NO_MODELS[kind])


def test_graphs_within_graphs(tmp_path) -> None:
    assert ("", "If") in checked(tmp_path, nested(30)).operators


def test_a_missing_file_and_a_folder(tmp_path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(ModelError, match="cannot read|cannot be read"):
            read_graph(path)


def test_too_large_a_file_is_refused_unread(tmp_path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(2**31 + 5)  # a hole: takes no room
    with pytest.raises(ModelError, match="damaged"):
        read_graph(path)


def test_millions_of_fields_end_soon(tmp_path) -> None:
    start = time.process_time()
    assert "damaged" in refusal(tmp_path, model() + field(14, b"") * 1_100_000)
    assert time.process_time() - start < 15


def harmless(folder: Path, content: bytes) -> None:
    path = saved(folder, content)
    os.utime(path, ns=(0, hash(content) % 2**50))
    try:
        check_safe(read_graph(path))
    except ModelError as error:
        assert "\n" not in str(error) and "\x00" not in str(error)


@FUZZ
@given(st.binary(max_size=400))
@example(struct.pack("<Q", 2**63))
def test_random_bytes_do_no_harm(tmp_path, content) -> None:
    harmless(tmp_path, content)
    harmless(tmp_path, model(graph=content))
    harmless(tmp_path, model(content))


@FUZZ
@given(st.data())
def test_damaged_files_do_no_harm(tmp_path, data) -> None:
    content = bytearray(model(
        node("If", attribute=field(1, "a") + field(6, field(1, node("Add")))),
        graph=field(5, tensor("w", "weights.bin")) + field(15, field(1, tensor("v"))),
        rest=field(25, field(1, "f") + field(10, "own") + field(7, node())),
    ))  # fmt: skip
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    stop = data.draw(st.integers(1, len(content)))
    harmless(tmp_path, bytes(content[:stop]))


@settings(FUZZ, max_examples=40)
@given(st.integers(0, len(DECODER) - 1), st.integers(0, 255), st.booleans())
def test_damaged_real_files_do_no_harm(tmp_path, place, byte, cut) -> None:
    content = DECODER[:place] if cut else DECODER[:place] + bytes([byte]) + DECODER[place + 1 :]
    harmless(tmp_path, content)
