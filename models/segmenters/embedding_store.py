"""Windows of images that were encoded once, found again at once: in memory, and on disk.

Each entry on disk is one .npz file, and there is no index: the folder is listed when a store opens
it, and a file's date of change is when it was last used. So several QGIS may share a folder; what
one of them removes is encoded again by the other.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import os
import re
import struct
import time
import uuid
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Dict, Generic, Iterable, List, Optional, Tuple, TypeVar

import numpy as np

from ...core.fields.answering import EncodedWindow
from ...core.fields.segmenter import Embedding
from ...core.imagery.grid import Window

FORMAT = 1
"""Of the files; raised when they change, so that older ones are encoded again."""
_KEY = re.compile(r"[0-9a-f]{64}")
_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")
_STALE_SECONDS = 3600.0
"""A temporary file older than this is a crash's: nobody writes for so long."""
_ABOUT, _VALID, _DATA = "about", "valid", "data_"
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

Value = TypeVar("Value")


def store_key(image: str, model: str, window: Window) -> str:
    """The key of an entry: SHA-256 in hexadecimal digits.

    :param image: identifies the pixels of the image.
    :param model: :func:`.registry.fingerprint` of the engine.
    """
    content = [image, model, *_numbers(window)]
    return hashlib.sha256(json.dumps(content).encode("ascii")).hexdigest()


class EmbeddingStore:
    """Encoded windows by key, the least recently used dropped; safe to use from several threads."""

    def __init__(self, folder: Optional[Path], memory_bytes: int, disk_bytes: int) -> None:
        """List what is on disk, and drop what is beyond the bound.

        :param folder: of the entries alone, made when first needed; None: memory only.
        :param memory_bytes: most that the arrays in memory may take together.
        :param disk_bytes: most that the files may take together.
        """
        self.trouble: Optional[str] = None
        """A sentence for the user: why entries are kept in memory only, from the first failure."""
        self._folder = folder
        self._lock = Lock()
        """Held for a look into the two lists only, never while a file is read or written."""
        self._memory: _Recent[EncodedWindow] = _Recent(memory_bytes)
        self._disk: _Recent[Path] = _Recent(disk_bytes)
        for path, size in [] if folder is None else _entries(folder):
            _remove(self._disk.keep(path.stem, path, size))

    def get(self, key: str) -> Optional[EncodedWindow]:
        """An entry from memory, else from disk, then kept in memory; None: it is to be encoded.

        May read a file, so it is not for the main thread.
        """
        found = self.in_memory(key)
        if self._folder is None:
            return found
        path = _entry(self._folder, key)
        if found is None:
            return self._from_disk(key, path)
        _touch(path)
        return found

    def in_memory(self, key: str) -> Optional[EncodedWindow]:
        """An entry if it is in memory. Never touches the disk: for the main thread."""
        with self._lock:
            self._disk.use(key)
            return self._memory.use(key)

    def put(self, key: str, encoded: EncodedWindow) -> None:
        """Keep an entry, where it fits, in memory and on disk.

        A disk that is full or must not be written to is no error, see :attr:`trouble`.

        :param key: of :func:`store_key`.
        :param encoded: must not be changed afterwards.
        """
        size = _bytes_of(encoded)
        with self._lock:
            dropped = self._memory.keep(key, encoded, size)
        del dropped
        if self._folder is None or size > self._disk.limit:
            return
        try:
            self._to_disk(key, _entry(self._folder, key), _packed(key, encoded))
        except OSError as error:
            self._remember(error)

    def clear(self) -> None:
        """Drop all entries, on disk also those of other sessions."""
        with self._lock:
            self._memory.clear()
            self._disk.clear()
        if self._folder is not None:
            _remove(path for path, _ in _entries(self._folder))

    def size(self) -> Tuple[int, int]:
        """Bytes of the arrays in memory, bytes of the files on disk that this store knows."""
        with self._lock:
            return self._memory.bytes, self._disk.bytes

    def _from_disk(self, key: str, path: Path) -> Optional[EncodedWindow]:
        """Also finds what another QGIS has written since the folder was listed."""
        content = _content(path)
        encoded = None if content is None else _unpacked(key, content)
        if content is None or encoded is None:
            with self._lock:
                self._disk.drop(key)
            # Damaged, or not an entry of this version: it would be in the way forever.
            _remove([] if content is None else [path])
            return None
        _touch(path)
        with self._lock:
            dropped = self._memory.keep(key, encoded, _bytes_of(encoded))
            beyond = self._disk.keep(key, path, len(content))
        del dropped
        _remove(beyond)
        return encoded

    def _to_disk(self, key: str, path: Path, content: bytes) -> None:
        """:raises OSError: the file cannot be written."""
        size = len(content)
        if size > self._disk.limit:
            return
        # Room is made first: a full disk may hold nothing but entries.
        with self._lock:
            beyond = self._disk.make_room(key, size)
        _remove(beyond)
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, content)
        # Listed last, so that nobody looks for a file that is not there yet.
        with self._lock:
            beyond = self._disk.keep(key, path, size)
        _remove(beyond)

    def _remember(self, error: OSError) -> None:
        text = (
            f"Encoded images cannot be kept in {self._folder} ({error.strerror or error}), so they "
            "are forgotten when QGIS is closed; make room on that disk or allow writing there."
        )
        with self._lock:
            self.trouble = self.trouble or text


class _Recent(Generic[Value]):
    """Values by key up to a number of bytes, the least recently used first; its owner locks."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._kept: OrderedDict[str, Tuple[Value, int]] = OrderedDict()

    def use(self, key: str) -> Optional[Value]:
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def keep(self, key: str, value: Value, size: int) -> List[Value]:
        """Add or replace a value; what is not kept for it, the value itself where it is too large.

        What is dropped is handed out so that its owner frees it without the lock.
        """
        if size > self.limit:
            self.drop(key)
            return [value]
        beyond = self.make_room(key, size)
        self._kept[key] = value, size
        self.bytes += size
        return beyond

    def make_room(self, key: str, size: int) -> List[Value]:
        """Drop a key and the oldest values until `size` more bytes fit; the oldest ones."""
        self.drop(key)
        beyond = []
        while self._kept and self.bytes + size > self.limit:
            _, (value, freed) = self._kept.popitem(last=False)
            self.bytes -= freed
            beyond.append(value)
        return beyond

    def drop(self, key: str) -> None:
        _, size = self._kept.pop(key, (None, 0))
        self.bytes -= size

    def clear(self) -> None:
        self._kept.clear()
        self.bytes = 0


def _numbers(window: Window) -> List[int]:
    return [int(n) for n in (window.row, window.col, window.height, window.width)]


def _bytes_of(encoded: EncodedWindow) -> int:
    return encoded.valid.nbytes + sum(array.nbytes for array in encoded.embedding.data.values())


def _packed(key: str, encoded: EncodedWindow) -> bytes:
    """The file of an entry."""
    embedding = encoded.embedding
    about = {
        "format": FORMAT,
        "key": key,
        "model": embedding.model_id,
        "shape": [int(side) for side in embedding.shape],
        "data": list(embedding.data),
        "window": _numbers(encoded.window),
        "date": None if encoded.date is None else encoded.date.isoformat(),
        "name": encoded.name,
    }
    arrays = {_DATA + name: array for name, array in embedding.data.items()}
    # Not savez_compressed: an entry of 200 x 200 pixels is 3.6 MB, written in 5 ms and read in 6;
    # compressed it is 2.9 MB, written in 130 ms and read in 23, and encoding takes 170 ms.
    stream = io.BytesIO()
    np.savez(stream, **{_ABOUT: np.array(json.dumps(about)), _VALID: encoded.valid}, **arrays)
    return stream.getvalue()


def _unpacked(key: str, content: bytes) -> Optional[EncodedWindow]:
    """The entry in a file; None if the file is damaged or not the one of the key."""
    try:
        arrays = _arrays(content)
        about = json.loads(arrays[_ABOUT].item())
        if (about["format"], about["key"]) != (FORMAT, key):
            return None
        height, width = about["shape"]
        data = {name: arrays[_DATA + name] for name in about["data"]}
        date = about["date"]
        return EncodedWindow(
            Window(*about["window"]),
            Embedding(about["model"], (height, width), data),
            arrays[_VALID],
            None if date is None else dt.date.fromisoformat(date),
            about["name"],
        )
    except _UNREADABLE:
        return None


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


def _entry(folder: Path, key: str) -> Path:
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no key of store_key().")
    return folder / f"{key}.npz"


def _entries(folder: Path) -> List[Tuple[Path, int]]:
    """Entries of a folder and their bytes, the least recently used first; remains are removed.

    Only names that a store gives count, so nothing else in the folder is ever touched.
    """
    found = []
    with suppress(OSError):
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name):
                _remove_stale(path)
            elif path.suffix == ".npz" and _KEY.fullmatch(path.stem) and path.is_file():
                with suppress(FileNotFoundError):  # another QGIS may have removed it just now
                    status = path.stat()
                    found.append((status.st_mtime_ns, path, status.st_size))
    return [(path, size) for _, path, size in sorted(found)]


def _remove_stale(path: Path) -> None:
    with suppress(OSError):
        if time.time() - path.stat().st_mtime > _STALE_SECONDS:
            path.unlink()


def _remove(paths: Iterable[Path]) -> None:
    """Remove files; one that is gone or cannot be removed is left to whoever has it."""
    for path in paths:
        with suppress(OSError):
            path.unlink()


def _touch(path: Path) -> None:
    """Tell the next session that a file was used; not possible where it is read-only."""
    with suppress(OSError):
        os.utime(path)


def _content(path: Path) -> Optional[bytes]:
    # Read as a whole, so that the file is open for a moment only: Windows replaces no open file.
    try:
        return path.read_bytes()
    except OSError:
        return None


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()
