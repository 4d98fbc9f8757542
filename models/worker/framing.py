"""Frames on pipes: a JSON header and raw arrays, so that pixels are copied once and nothing is run.

A frame is `_PREAMBLE` (magic, version, checksum, two lengths), the header as JSON in UTF-8, then
the bytes of its arrays one after the other. The header names their dtypes and shapes. numpy and the
standard library only: both ends use this module.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass, field
from math import prod
from typing import Any, Dict, List, Mapping, Optional, Protocol, Sequence, Tuple

import numpy as np

VERSION = 1
"""Of the frames and of what they say; both ends come from the same files unless one is old."""
MOST_BYTES = 1 << 32
"""Of all arrays of a frame together."""
MOST_HEADER_BYTES = 1 << 20
MOST_ARRAYS = 64
MOST_DIMENSIONS = 8
_MAGIC = b"FuRW"
_PREAMBLE = struct.Struct("<4sHIIQ")
"""Magic, version, CRC-32 of the header, bytes of the header, bytes of the arrays."""
_ARRAYS = "arrays"
"""The key of the header that belongs to this module."""
_DTYPES = {
    name: np.dtype(name)
    for name in ("|b1", "|u1", "|i1", "<i4", "<i8", "<f2", "<f4", "<f8")
}  # fmt: skip


class FramingError(Exception):
    """What came through a pipe is no frame of this version; nothing after it can be trusted."""


class CutShortError(FramingError):
    """The other end was closed, or its process died, within a frame."""


class Pipe(Protocol):
    """One end of a pipe, unbuffered; either may take or give less than it is asked to."""

    def readinto(self, target: memoryview) -> Optional[int]:
        """Fill the start of a buffer; 0 at the end."""

    def write(self, content: memoryview) -> Optional[int]:
        """Write the start of a buffer; the number of bytes taken."""


@dataclass(frozen=True)
class Frame:
    """One message."""

    header: Mapping[str, Any]
    """What JSON can hold; the key "arrays" is taken."""
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Of the types bool, uint8, int8, int32, int64, float16, float32 and float64."""


def write_frame(pipe: Pipe, frame: Frame) -> None:
    """Send a frame; contiguous arrays go from where they are.

    :raises ValueError: it has an array of another type, or is larger than the bounds.
    :raises OSError: the other end is closed.
    """
    arrays = {name: np.ascontiguousarray(values) for name, values in frame.arrays.items()}
    # ascontiguousarray makes one dimension of none.
    shapes = [list(np.shape(values)) for values in frame.arrays.values()]
    listed = [
        [name, values.dtype.str, shape] for (name, values), shape in zip(arrays.items(), shapes)
    ]
    header = json.dumps({**frame.header, _ARRAYS: listed}).encode("utf-8")
    total = sum(values.nbytes for values in arrays.values())
    _check_bounds(header, total, arrays)
    preamble = _PREAMBLE.pack(_MAGIC, VERSION, zlib.crc32(header), len(header), total)
    _write_all(pipe, memoryview(preamble + header))
    for values in arrays.values():
        if values.size:
            _write_all(pipe, memoryview(values).cast("B"))


def read_frame(pipe: Pipe) -> Optional[Frame]:
    """The next frame; None where the other end is closed between two frames.

    :raises FramingError: the bytes are no frame, or end within one.
    :raises OSError: the pipe cannot be read.
    """
    start = np.zeros(_PREAMBLE.size, np.uint8)
    count = _filled(pipe, start)
    if count == 0:
        return None
    magic, version, checksum, length, total = _PREAMBLE.unpack(start.tobytes())
    if magic[:count] != _MAGIC[:count]:
        raise FramingError(f"These bytes are no frame: {start[:count].tobytes()!r}.")
    if count < start.size:
        raise CutShortError("The pipe ended within a frame.")
    if version != VERSION:
        raise FramingError(f"The frame has version {version}, not {VERSION}: restart QGIS.")
    if length > MOST_HEADER_BYTES or total > MOST_BYTES:
        raise FramingError(f"A frame of {length} + {total} bytes is larger than may be.")
    content = _read(pipe, length).tobytes()
    if zlib.crc32(content) != checksum:
        raise FramingError("The header of a frame is damaged.")
    header, listed = _parsed(content)
    if sum(dtype.itemsize * prod(shape) for _, dtype, shape in listed) != total:
        raise FramingError("The arrays of a frame have not the bytes that its header names.")
    arrays = {
        name: _read(pipe, dtype.itemsize * prod(shape)).view(dtype).reshape(shape)
        for name, dtype, shape in listed
    }
    return Frame(header, arrays)


def _check_bounds(header: bytes, total: int, arrays: Mapping[str, np.ndarray]) -> None:
    """:raises ValueError:"""
    wrong = [name for name, values in arrays.items() if values.dtype.str not in _DTYPES]
    if wrong:
        raise ValueError(f"Arrays of this type cannot be sent: {', '.join(wrong)}.")
    dimensions = max((values.ndim for values in arrays.values()), default=0)
    if len(arrays) > MOST_ARRAYS or dimensions > MOST_DIMENSIONS:
        raise ValueError(f"{len(arrays)} arrays of up to {dimensions} dimensions are too many.")
    if len(header) > MOST_HEADER_BYTES or total > MOST_BYTES:
        raise ValueError(f"{len(header)} + {total} bytes are too many for one frame.")


_Listed = Tuple[str, np.dtype, Tuple[int, ...]]


def _parsed(content: bytes) -> Tuple[Dict[str, Any], List[_Listed]]:
    """The header without its list of arrays, and that list.

    :raises FramingError:
    """
    try:
        header = json.loads(content.decode("utf-8"))
        listed = [_described(*entry) for entry in header.pop(_ARRAYS)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FramingError(f"The header of a frame is not understood: {error}.") from error
    if len(listed) > MOST_ARRAYS or len({name for name, _, _ in listed}) < len(listed):
        raise FramingError("A frame has too many arrays, or two of the same name.")
    return header, listed


def _described(name: str, dtype: str, shape: Sequence[int]) -> _Listed:
    """:raises ValueError: not what :func:`write_frame` writes."""
    sides = tuple(shape)
    plain = isinstance(name, str) and all(type(side) is int and side >= 0 for side in sides)
    # An empty array may not have sides that numpy refuses.
    if not plain or len(sides) > MOST_DIMENSIONS or prod(max(1, n) for n in sides) > MOST_BYTES:
        raise ValueError(f"array {name!r} of shape {shape!r}")
    return name, _DTYPES[dtype], sides


def _read(pipe: Pipe, count: int) -> np.ndarray:
    """(count,) uint8.

    :raises FramingError: the pipe ends before.
    """
    target = np.empty(count, np.uint8)
    if _filled(pipe, target) < count:
        raise CutShortError("The pipe ended within a frame.")
    return target


def _filled(pipe: Pipe, target: np.ndarray) -> int:
    """Fill an array of bytes; how many there were before the pipe ended."""
    view, start = memoryview(target), 0
    while start < target.size:
        count = pipe.readinto(view[start:])
        if not count:
            break
        start += count
    return start


def _write_all(pipe: Pipe, content: memoryview) -> None:
    """:raises OSError: the other end is closed."""
    while content:
        content = content[pipe.write(content) or 0 :]
