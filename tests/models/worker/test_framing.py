"""Frames come through pipes as they were, and damaged ones are told from whole ones."""

from __future__ import annotations

import io
import json
import os
import struct
import threading
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

from furrow.core.fields.segmenter import Prompts
from furrow.models.worker import framing
from furrow.models.worker.framing import (
    CutShortError,
    Frame,
    FramingError,
    read_frame,
    write_frame,
)
from furrow.models.worker.messages import packed_prompts, unpacked_prompts

TYPES = st.sampled_from(["?", "u1", "i1", "<i4", "<i8", "<f2", "<f4", "<f8"])
ARRAYS = st.dictionaries(
    st.text(max_size=8),
    TYPES.flatmap(lambda dtype: some.arrays(dtype, some.array_shapes(min_dims=0, min_side=0))),
    max_size=4,
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
HEADERS = st.dictionaries(st.text().filter(lambda name: name != "arrays"), PLAIN, max_size=4)


def content_of(frame: Frame) -> bytes:
    stream = io.BytesIO()
    write_frame(stream, frame)
    return stream.getvalue()


def read(content: bytes) -> Any:
    return read_frame(io.BytesIO(content))


def with_header(header: Any, body: bytes = b"") -> bytes:
    """A frame with any header, made by hand."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    start = struct.pack("<4sHIIQ", b"FuRW", 1, zlib.crc32(text), len(text), len(body))
    return start + text + body


@given(header=HEADERS, arrays=ARRAYS)
def test_a_frame_comes_back_as_it_was(header: dict, arrays: dict) -> None:
    stream = io.BytesIO(content_of(Frame(header, arrays)) * 2)
    for found in (read_frame(stream), read_frame(stream)):
        assert found.header == header
        assert list(found.arrays) == list(arrays)
        for name, values in arrays.items():
            assert found.arrays[name].dtype == values.dtype
            assert found.arrays[name].shape == values.shape
            assert found.arrays[name].tobytes() == values.tobytes()
    assert read_frame(stream) is None


@given(arrays=ARRAYS, share=st.floats(0, 1, exclude_max=True))
def test_a_frame_that_is_cut_short_is_noticed(arrays: dict, share: float) -> None:
    content = content_of(Frame({"kind": "x"}, arrays))
    cut = max(1, int(share * len(content)))
    with pytest.raises(CutShortError):
        read(content[:cut])


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_damaged_start_is_noticed(place: int, bit: int) -> None:
    """Preamble and header; pixels have no checksum, as pipes do not damage what they carry."""
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = bytearray(content_of(Frame({"kind": "x", "text": "äß"}, {"values": values})))
    content[place % (len(content) - values.nbytes)] ^= 1 << bit
    with pytest.raises(FramingError):
        read(bytes(content))


@given(content=st.binary(min_size=1, max_size=200))
def test_rubbish_is_refused(content: bytes) -> None:
    with pytest.raises(FramingError):
        read(content)


@given(content=st.binary(max_size=60))
def test_rubbish_within_a_header_is_refused(content: bytes) -> None:
    with pytest.raises(FramingError):
        read(with_header(content))


@pytest.mark.parametrize(
    "header",
    [
        [],
        {},
        {"arrays": None},
        {"arrays": [["a", "<f4"]]},
        {"arrays": [["a", "|O", [1]]]},
        {"arrays": [["a", ">f4", [1]]]},
        {"arrays": [["a", "<f4", [-1]]]},
        {"arrays": [["a", "<f4", [1.0]]]},
        {"arrays": [["a", "<f4", [True]]]},
        {"arrays": [["a", "<f4", [1 << 40]]]},
        {"arrays": [["a", "<f4", [0, 1 << 62, 1 << 62]]]},
        {"arrays": [["a", "<f4", [1] * 9]]},
        {"arrays": [["a", "<f4", [0]], ["a", "<f4", [0]]]},
        {"arrays": [[f"{k}", "<f4", [0]] for k in range(65)]},
        {"arrays": [["a", "<f4", [2]]]},
        b"[" * 100_000,
    ],
)
def test_headers_that_lie_are_refused(header: Any) -> None:
    with pytest.raises(FramingError):
        read(with_header(header, b"1234"))


@pytest.mark.parametrize("lengths", [((1 << 20) + 1, 0), (2, (1 << 32) + 1), (0xFFFFFFFF, 1 << 63)])
def test_no_memory_is_set_aside_for_lengths_beyond_the_bounds(lengths: tuple) -> None:
    start = struct.pack("<4sHIIQ", b"FuRW", 1, 0, *lengths)
    with pytest.raises(FramingError, match="larger than may be"):
        read(start + b"{}")


def test_another_version_is_named() -> None:
    content = bytearray(content_of(Frame({})))
    content[4] = 9
    with pytest.raises(FramingError, match="version 9, not 1: restart QGIS"):
        read(bytes(content))


@pytest.mark.parametrize(
    "frame",
    [
        Frame({}, {"a": np.array([None])}),
        Frame({}, {"a": np.zeros(2, ">f4")}),
        Frame({}, {"a": np.zeros(2, complex)}),
        Frame({}, {f"{k}": np.zeros(1) for k in range(65)}),
        Frame({}, {"a": np.zeros([1] * 9)}),
        Frame({"text": "x" * (1 << 20)}),
    ],
)
def test_what_could_not_be_read_is_not_written(frame: Frame) -> None:
    stream = io.BytesIO()
    with pytest.raises(ValueError, match="sent|many"):
        write_frame(stream, frame)
    assert stream.getvalue() == b""


def test_views_of_any_layout_are_sent() -> None:
    values = np.arange(24, dtype=np.int32).reshape(4, 6)
    views = {"t": values.T, "back": values[::-1, ::2], "few": values[1:3]}
    found = read(content_of(Frame({}, views)))
    assert all(np.array_equal(found.arrays[name], view) for name, view in views.items())


def test_a_read_only_array_is_sent_and_comes_back_writable() -> None:
    values = np.arange(5, dtype=np.uint8)
    values.flags.writeable = False
    found = read(content_of(Frame({}, {"a": values})))
    assert found.arrays["a"].flags.writeable


class Reluctant(io.RawIOBase):
    """A pipe that takes and gives a few bytes at a time."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)

    def write(self, content: memoryview) -> int:
        self.content += content[:3]
        return min(3, len(content))

    def readinto(self, target: memoryview) -> int:
        count = min(2, len(target), len(self.content))
        target[:count] = self.content[:count]
        del self.content[:count]
        return count


def test_pipes_may_take_and_give_less_than_asked() -> None:
    frame = Frame({"kind": "x"}, {"a": np.arange(100, dtype=np.int64)})
    pipe = Reluctant()
    write_frame(pipe, frame)
    assert np.array_equal(read_frame(pipe).arrays["a"], frame.arrays["a"])


def test_large_arrays_go_through_a_real_pipe_without_copies() -> None:
    out, into = (os.fdopen(end, mode, 0) for end, mode in zip(os.pipe(), ("rb", "wb")))
    image = np.random.default_rng(0).integers(0, 255, (1024, 1024, 3)).astype(np.uint8)
    taken = []

    class Watched:
        def write(self, content: memoryview) -> int:
            taken.append(np.shares_memory(np.frombuffer(content, np.uint8), image))
            return into.write(content)

    with out, into:
        writer = threading.Thread(target=write_frame, args=(Watched(), Frame({}, {"a": image})))
        writer.start()
        found = read_frame(out)
        writer.join()
    assert np.array_equal(found.arrays["a"], image)
    assert taken.count(False) == 1, "only preamble and header are made up for sending"


def test_bounds_leave_room_for_a_large_image() -> None:
    assert framing.MOST_BYTES >= 20_000 * 20_000 * 3


POINTS = st.integers(0, 4).flatmap(
    lambda count: st.tuples(
        some.arrays("f8", (count, 2), elements=st.floats(-1e4, 1e4)),
        some.arrays("?", (count,)),
        st.none() | some.arrays("f8", (4,), elements=st.floats(-1e4, 1e4)),
    )
)


@settings(max_examples=50)
@given(parts=st.lists(POINTS, max_size=5))
def test_prompts_come_back_as_they_were(parts: list) -> None:
    prompts = [Prompts(*part) for part in parts]
    found = unpacked_prompts(read(content_of(Frame({}, packed_prompts(prompts)))).arrays)
    assert len(found) == len(prompts)
    for one, other in zip(found, prompts):
        assert np.array_equal(one.points, other.points)
        assert np.array_equal(one.foreground, other.foreground)
        assert (one.box is None) == (other.box is None)
        assert other.box is None or np.array_equal(one.box, other.box)


def test_prompts_that_do_not_fit_together_are_refused() -> None:
    arrays = packed_prompts([Prompts.click(1, 2), Prompts.click(3, 4)])
    for name in ("points", "foreground", "counts", "boxes"):
        with pytest.raises(ValueError, match="differ"):
            unpacked_prompts({**arrays, name: arrays[name][:-1]})
