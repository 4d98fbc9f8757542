"""What an ONNX file holds, read without onnxruntime.

Only as much of the protobuf wire format as it takes to find a graph's inputs and outputs, its
operators and the files that its weights lie in. Weights themselves are passed over, so a file of
a gigabyte is read as fast as a small one. Field numbers are those of onnx.proto.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Dict, FrozenSet, Iterator, List, Mapping, Optional, Set, Tuple

from ....core.errors import ModelError

_LARGEST = 2**31
"""Bytes; protobuf allows no more."""
_MOST_FIELDS = 1_000_000
"""In a file; far more than any model has, so a made-up one takes a few seconds at most."""
_LONGEST_TEXT = 65_536
"""Bytes of a name."""
_DEEPEST = 40
"""How deep graphs may lie within each other."""
_KEPT = 32
"""Files that are not read again."""
Shape = Tuple[Optional[int], ...]
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_EXTERNAL = 1
_TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
}
"""Numbers of tensor types to what numpy calls them."""


@dataclass(frozen=True)
class Value:
    """An input or output of a graph."""

    name: str
    dtype: str = ""
    """As numpy calls it; empty where it is another type or not a tensor."""
    shape: Optional[Shape] = None
    """None for sides that may be any; None altogether where the file does not say."""

    @property
    def rank(self) -> Optional[int]:
        """Number of axes, where it is known."""
        return None if self.shape is None else len(self.shape)


@dataclass(frozen=True)
class Node:
    """An operator and what it reads."""

    operator: str
    inputs: Tuple[str, ...]
    outputs: Tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """What an ONNX file says of itself."""

    path: Path
    inputs: Tuple[Value, ...]
    """Without those that have a value in the file."""
    outputs: Tuple[Value, ...]
    nodes: Tuple[Node, ...]
    """Of the main graph, in the file's order."""
    opsets: Mapping[str, int]
    """Domains to versions, as the file declares them."""
    operators: FrozenSet[Tuple[str, str]]
    """Domain and name of every operator in all graphs, but for functions of the file's own."""
    external: Tuple[str, ...]
    """Files in which weights lie, as the file names them."""
    metadata: Mapping[str, str]


def read_graph(path: Path) -> Graph:
    """What is in an ONNX file; a file that was read before is not read again.

    :raises ModelError: it is missing, damaged or no ONNX file.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise ModelError(
            f"MODEL: the model file {path} cannot be read ({error.strerror or error}); choose a "
            "file that exists."
        ) from error
    return _read(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=_KEPT)
def _read(path: Path, size: int, changed: int) -> Graph:
    """:param changed: when the file was written; part of the key, so a new file is read anew."""
    if not 0 < size < _LARGEST:
        raise ModelError(_damaged(path))
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).graph(path)
    except OSError as error:
        raise ModelError(
            f"MODEL: the model file {path} cannot be read ({error.strerror or error}); choose a "
            "file that can."
        ) from error
    except (ValueError, IndexError) as error:  # of text that is none too, and of an end too soon
        raise ModelError(_damaged(path)) from error


def _damaged(path: Path) -> str:
    return (
        f"MODEL: Furrow cannot read {path}, which is damaged or not an ONNX file; install Furrow "
        "again if it came with it, else download or export the file again."
    )


class _Reader:
    """Walks through the messages of one file; ValueError or IndexError where they make no sense."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._left = _MOST_FIELDS
        self._operators: Set[Tuple[str, str]] = set()
        self._functions: Set[Tuple[str, str]] = set()
        self._external: Dict[str, None] = {}

    def graph(self, path: Path) -> Graph:
        """The file's ModelProto."""
        opsets: Dict[str, int] = {}
        metadata: Dict[str, str] = {}
        main: Optional[_Parts] = None
        for number, start, stop in self._fields(0, len(self._data)):
            if number == 7:
                main = self._graph(start, stop, 0, main)
            elif number == 8:
                opsets.update(self._opset(start, stop))
            elif number == 14 and stop - start <= _LONGEST_TEXT:
                metadata.update(self._entry(start, stop))
            elif number == 20:
                self._training(start, stop)
            elif number == 25:
                self._function(start, stop)
        if main is None or not main.nodes or not main.outputs or not opsets:
            raise ValueError("There is no graph.")
        inputs = tuple(value for value in main.inputs if value.name not in main.initialized)
        operators = frozenset(self._operators - self._functions)
        external = tuple(self._external)
        return Graph(
            path, inputs, tuple(main.outputs), tuple(main.nodes), opsets, operators, external,
            metadata,
        )  # fmt: skip

    def _graph(self, start: int, stop: int, depth: int, parts: Optional[_Parts] = None) -> _Parts:
        """A GraphProto. A message that comes twice is one: protobuf joins them."""
        parts = parts or _Parts()
        for number, begin, end in self._fields(start, stop):
            if number == 1:
                parts.nodes.append(self._node(begin, end, depth))
            elif number == 5:
                parts.initialized.add(self._tensor(begin, end))
            elif number == 11:
                parts.inputs.append(self._value(begin, end))
            elif number == 12:
                parts.outputs.append(self._value(begin, end))
            elif number == 15:
                parts.initialized.add(self._sparse(begin, end))
        return parts

    def _node(self, start: int, stop: int, depth: int) -> Node:
        inputs: List[str] = []
        outputs: List[str] = []
        operator = domain = ""
        for number, begin, end in self._fields(start, stop):
            if number == 1:
                inputs.append(self._text(begin, end))
            elif number == 2:
                outputs.append(self._text(begin, end))
            elif number == 4:
                operator = self._text(begin, end)
            elif number == 5:
                self._attribute(begin, end, depth)
            elif number == 7:
                domain = self._text(begin, end)
        if not operator:
            raise ValueError("A node does nothing.")
        self._operators.add((domain, operator))
        return Node(operator, tuple(inputs), tuple(outputs))

    def _attribute(self, start: int, stop: int, depth: int) -> None:
        """An AttributeProto: 5 and 10 are tensors, 6 and 11 graphs, 22 and 23 sparse tensors."""
        if depth > _DEEPEST:
            raise ValueError("Graphs lie too deep.")
        for number, begin, end in self._fields(start, stop):
            if number in (5, 10):
                self._tensor(begin, end)
            elif number in (6, 11):
                self._graph(begin, end, depth + 1)
            elif number in (22, 23):
                self._sparse(begin, end)

    def _tensor(self, start: int, stop: int) -> str:
        """The name of a TensorProto; where its weights lie is remembered."""
        name, external = "", False
        locations: List[str] = []
        for number, begin, end in self._fields(start, stop):
            if number == 8:
                name = self._text(begin, end)
            elif number == 13:
                locations.extend(
                    value for key, value in self._entry(begin, end).items() if key == "location"
                )
            elif number == 14:
                external = begin == _EXTERNAL
        if external and not locations:
            raise ValueError("Weights lie nowhere.")
        self._external.update(dict.fromkeys(locations))
        return name

    def _sparse(self, start: int, stop: int) -> str:
        """The name of a SparseTensorProto, which is that of its values."""
        name = ""
        for number, begin, end in self._fields(start, stop):
            if number == 1:
                name = self._tensor(begin, end)
            elif number == 2:
                self._tensor(begin, end)
        return name

    def _function(self, start: int, stop: int) -> None:
        """A FunctionProto: an operator that the file itself makes of others."""
        name = domain = ""
        for number, begin, end in self._fields(start, stop):
            if number == 1:
                name = self._text(begin, end)
            elif number == 7:
                self._node(begin, end, 0)
            elif number == 10:
                domain = self._text(begin, end)
            elif number == 11:
                self._attribute(begin, end, 0)
        self._functions.add((domain, name))

    def _training(self, start: int, stop: int) -> None:
        for number, begin, end in self._fields(start, stop):
            if number in (1, 2):
                self._graph(begin, end, 0)

    def _value(self, start: int, stop: int) -> Value:
        """A ValueInfoProto: name, and its TypeProto."""
        value = Value("")
        for number, begin, end in self._fields(start, stop):
            if number == 1:
                value = Value(self._text(begin, end), value.dtype, value.shape)
            elif number == 2:
                for kind, first, last in self._fields(begin, end):
                    if kind == 1:
                        value = Value(value.name, *self._tensor_type(first, last))
        return value

    def _tensor_type(self, start: int, stop: int) -> Tuple[str, Optional[Shape]]:
        dtype = ""
        shape: Optional[Shape] = None
        for number, begin, end in self._fields(start, stop):
            if number == 1:
                dtype = _TYPES.get(begin, "")
            elif number == 2:
                sides = self._fields(begin, end)
                shape = tuple(self._side(*side[1:]) for side in sides if side[0] == 1)
        return dtype, shape

    def _side(self, start: int, stop: int) -> Optional[int]:
        sides = [begin for number, begin, _ in self._fields(start, stop) if number == 1]
        return sides[-1] if sides and 0 < sides[-1] < _LARGEST else None

    def _opset(self, start: int, stop: int) -> Dict[str, int]:
        domain, version = "", 0
        for number, begin, end in self._fields(start, stop):
            if number == 1:
                domain = self._text(begin, end)
            elif number == 2:
                version = begin
        return {domain: version}

    def _entry(self, start: int, stop: int) -> Dict[str, str]:
        """A StringStringEntryProto."""
        key = value = ""
        for number, begin, end in self._fields(start, stop):
            if number == 1:
                key = self._text(begin, end)
            elif number == 2:
                value = self._text(begin, end)
        return {key: value}

    def _text(self, start: int, stop: int) -> str:
        if stop - start > _LONGEST_TEXT:
            raise ValueError("A name is too long.")
        return self._data[start:stop].decode("utf-8")

    def _fields(self, place: int, stop: int) -> Iterator[Tuple[int, int, int]]:
        """Number of each field, with its number twice or with its first and last byte.

        Numbers of a wrong kind give what looks like a place; that is harmless, because every
        place is compared with the end of its message.
        """
        while place < stop:
            self._left -= 1
            if self._left < 0:
                raise ValueError("There are too many fields.")
            key, place = self._varint(place, stop)
            number, kind = key >> 3, key & 7
            if kind == _VARINT:
                value, place = self._varint(place, stop)
                yield number, value, value
                continue
            if kind == _BYTES:
                length, place = self._varint(place, stop)
            elif kind in (_FOUR, _EIGHT):
                length = 4 if kind == _FOUR else 8
            else:
                raise ValueError("There is no such kind of field.")
            if not number or length > stop - place:
                raise ValueError("A field is cut off.")
            yield number, place, place + length
            place += length

    def _varint(self, place: int, stop: int) -> Tuple[int, int]:
        """A number of seven bits a byte, and where it ends."""
        if place < stop and self._data[place] < 128:  # most are: this doubles the speed
            return self._data[place], place + 1
        value = shift = 0
        while shift < 70 and place < stop:
            byte = self._data[place]
            place += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, place
            shift += 7
        raise ValueError("A number is cut off.")


class _Parts:
    """What is gathered of a graph."""

    def __init__(self) -> None:
        self.inputs: List[Value] = []
        self.outputs: List[Value] = []
        self.nodes: List[Node] = []
        self.initialized: Set[str] = set()
