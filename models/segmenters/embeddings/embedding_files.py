"""Files of embeddings: one .npz file each, written whole or not at all, checked when it is read.

The name of a file is its key. Only names that this module gives count, so nothing else in a folder
is ever read or removed.
"""

from __future__ import annotations

import io
import json
import os
import re
import struct
import time
import uuid
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Tuple

import numpy as np

from ....core.fields.segmenter import Embedding

FORMAT = 2
"""Of the files; raised when they change, so that older ones are encoded again."""
_SUFFIX = ".npz"
_KEY = re.compile(r"[0-9a-f]{64}")
_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")
_STALE_SECONDS = 3600.0
"""A temporary file older than this is a crash's: nobody writes for so long."""
_ABOUT, _DATA = "about", "data_"
"""Names within a file; `_DATA` comes before the embedding's own, which may be any."""
_UNREADABLE = (
    zipfile.BadZipFile,
    struct.error,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What zipfile, numpy and json say of bytes that are not theirs."""


class _Parts(io.RawIOBase):
    """Keeps what is written to it, as it comes.

    A BytesIO grows by copying: at 80 MB that held Python's lock, and with it the main thread of
    QGIS, for 160 ms.
    """

    def __init__(self) -> None:
        self.kept: List[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, part: bytes) -> int:
        self.kept.append(bytes(part))
        return len(part)


def packed(key: str, embedding: Embedding) -> List[bytes]:
    """The parts of an embedding's file; arrays keep their number types."""
    about = {
        "format": FORMAT,
        "key": key,
        "model": embedding.model_id,
        "shape": [int(side) for side in embedding.shape],
        "data": list(embedding.data),
    }
    arrays = {_DATA + name: array for name, array in embedding.data.items()}
    # Not savez_compressed: an entry of 200 x 200 pixels is 3.6 MB, written in 5 ms and read in 6;
    # compressed it is 2.9 MB, written in 130 ms and read in 23, and encoding takes 60 ms.
    stream = _Parts()
    np.savez(stream, **{_ABOUT: np.array(json.dumps(about))}, **arrays)
    return stream.kept


def unpacked(key: str, content: bytes) -> Optional[Embedding]:
    """The embedding in a file; None if the file is damaged or not the one of the key."""
    try:
        arrays = _arrays(content)
        about = json.loads(arrays[_ABOUT].item())
        if (about["format"], about["key"]) != (FORMAT, key):
            return None
        height, width = about["shape"]
        data = {name: arrays[_DATA + name] for name in about["data"]}
        return Embedding(about["model"], (height, width), data)
    except _UNREADABLE:
        return None


def is_key(text: object) -> bool:
    """Whether a text may be the name of an entry: a SHA-256 in hexadecimal digits."""
    return isinstance(text, str) and _KEY.fullmatch(text) is not None


def path_of(folder: Path, key: str) -> Path:
    """Where an entry lies.

    :raises ValueError: the text is no key, so it reaches no file.
    """
    if not is_key(key):
        raise ValueError(f"{key!r} is no key of an embedding.")
    return folder / (key + _SUFFIX)


def entries(folder: Path) -> List[Tuple[Path, int]]:
    """Entries of a folder and their bytes, the least recently used first; remains are removed."""
    found = []
    with suppress(OSError):
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name):
                _remove_stale(path)
            elif path.suffix == _SUFFIX and is_key(path.stem) and path.is_file():
                with suppress(FileNotFoundError):  # another QGIS may have removed it just now
                    status = path.stat()
                    found.append((status.st_mtime_ns, path, status.st_size))
    return [(path, size) for _, path, size in sorted(found)]


def content_of(path: Path) -> Optional[bytes]:
    """The bytes of a file; None where it cannot be read.

    Read as a whole, so that the file is open for a moment only: Windows replaces no open file.
    """
    try:
        return path.read_bytes()
    except OSError:
        return None


def replace(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file, whole or not at all.

    :param parts: of its content.
    :raises OSError: it cannot be written; what was there before stays.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            file.writelines(parts)
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def remove(paths: Iterable[Path]) -> None:
    """Remove files; one that is gone or cannot be removed is left to whoever has it."""
    for path in paths:
        with suppress(OSError):
            path.unlink()


def touch(path: Path) -> None:
    """Tell the next session that a file was used; not possible where it is read-only."""
    with suppress(OSError):
        os.utime(path)


def _arrays(content: bytes) -> Dict[str, np.ndarray]:
    """Names and arrays of an .npz file, each checked against the file's CRC-32.

    Not numpy.load: zipfile compares the checksum at the end of an array, and by then numpy has
    trusted the array's header and set memory aside for whatever shape a damaged one names.
    """
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED:
                raise zipfile.BadZipFile("An entry is never compressed.")
            member = io.BytesIO(archive.read(info))
            name = info.filename[: -len(".npy")]
            arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
    return arrays


def _remove_stale(path: Path) -> None:
    with suppress(OSError):
        if time.time() - path.stat().st_mtime > _STALE_SECONDS:
            path.unlink()
