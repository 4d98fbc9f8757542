"""Windows of images that were encoded once, found again at once: in memory, and on disk.

In memory a window is known by its place: the image as it is looked at, the engine, the window. So
the click tool finds it before any pixel is read.

On disk an embedding is known by the engine and by the very pixels that it was made of, and by
nothing else. So the click tool and the algorithms find what the other has encoded, whatever way
they read an image, and a file that was moved or written anew never gives a wrong answer. The price
is that pixels are read first: 2 to 10 ms for a window of 200 x 200, its hash taken in 0.1 ms, where
encoding takes 60 ms.

Which entries there are is seen from the folder itself, and a file's date of change is when it was
last used. So several QGIS may share a folder; what one of them removes is encoded again by the
other.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Dict, Generic, List, Optional, Tuple, TypeVar

import numpy as np

from ....core.fields.answering import EncodedWindow
from ....core.fields.segmenter import Embedding
from ....core.imagery.grid import Window
from . import embedding_files as files
from .embedding_index import listed_keys, remove_index

UNLIMITED = sys.maxsize
"""Bytes, for a folder that its user looks after."""

Value = TypeVar("Value")


def place_key(image: str, model: str, window: Window) -> str:
    """The key of a window in memory: SHA-256 in hexadecimal digits.

    :param image: identifies the image as it is looked at.
    :param model: :func:`.registry.fingerprint` of the engine.
    """
    numbers = [int(n) for n in (window.row, window.col, window.height, window.width)]
    return hashlib.sha256(json.dumps([image, model, *numbers]).encode("ascii")).hexdigest()


def pixel_key(model: str, image: np.ndarray) -> str:
    """The key of an embedding on disk: SHA-256 in hexadecimal digits.

    :param model: :func:`.registry.fingerprint` of the engine.
    :param image: (H, W, 3) uint8, as the engine is given it.
    """
    digest = hashlib.sha256(json.dumps([model, *image.shape]).encode("ascii"))
    digest.update(np.ascontiguousarray(image))
    return digest.hexdigest()


class EmbeddingStore:
    """Windows in memory, embeddings on disk, the least recently used dropped.

    Safe to use from several threads.
    """

    def __init__(self, folder: Optional[Path], memory_bytes: int, disk_bytes: int) -> None:
        """List what is on disk, and drop what is beyond the bound.

        :param folder: of the embeddings, made when first needed; None: memory only.
        :param memory_bytes: most that the arrays in memory may take together.
        :param disk_bytes: most that the files may take together. Those that the folder's index
            lists are not counted and not dropped: somebody asked for them.
        """
        self.trouble: Optional[str] = None
        """A sentence for the user: why embeddings are not kept on disk, from the first failure."""
        self.folder = folder
        """Of the embeddings; None: memory only."""
        self._lock = Lock()
        """Held for a look into the lists only, never while a file is read or written."""
        self._memory: _Recent[EncodedWindow] = _Recent(memory_bytes)
        self._disk: _Recent[Path] = _Recent(disk_bytes)
        self._listed: Dict[str, int] = {}
        """Keys that the index lists, and bytes of their files."""
        if folder is not None:
            self._list(folder)

    def in_memory(self, place: str) -> Optional[EncodedWindow]:
        """A window if it is in memory. Never touches the disk: for the main thread.

        :param place: of :func:`place_key`.
        """
        with self._lock:
            return self._memory.use(place)

    def remember(self, place: str, encoded: EncodedWindow) -> None:
        """Keep a window in memory, where it fits.

        :param place: of :func:`place_key`.
        :param encoded: must not be changed afterwards.
        """
        with self._lock:
            dropped = self._memory.keep(place, encoded, _bytes_of(encoded))
        del dropped

    def get(self, key: str) -> Optional[Embedding]:
        """An embedding from disk; None: it is to be made.

        Reads a file, so it is not for the main thread. A damaged one is removed.

        :param key: of :func:`pixel_key`.
        """
        if self.folder is None:
            return None
        path = files.path_of(self.folder, key)
        content = files.content_of(path)
        embedding = None if content is None else files.unpacked(key, content)
        if content is None or embedding is None:
            self._forget(key)
            # Damaged, or not an entry of this version: it would be in the way forever.
            files.remove([] if content is None else [path])
            return None
        files.touch(path)
        self._keep(key, path, len(content))
        return embedding

    def put(self, key: str, embedding: Embedding) -> None:
        """Keep an embedding on disk, where it fits.

        A disk that is full or must not be written to is no error, see :attr:`trouble`.

        :param key: of :func:`pixel_key`.
        """
        # Not packed in vain: the arrays alone are too large.
        if self.folder is None or _bytes_in(embedding) > self._disk.limit:
            return
        try:
            self._write(key, files.path_of(self.folder, key), files.packed(key, embedding))
        except OSError as error:
            self._complain(error)

    def clear(self) -> None:
        """Drop all entries, on disk also those of other sessions, and the folder's index."""
        with self._lock:
            self._memory.clear()
            self._disk.clear()
            self._listed.clear()
        if self.folder is not None:
            files.remove(path for path, _ in files.entries(self.folder))
            remove_index(self.folder)

    def size(self) -> Tuple[int, int]:
        """Bytes of the arrays in memory, bytes of the files on disk that this store knows."""
        with self._lock:
            return self._memory.bytes, self._disk.bytes + sum(self._listed.values())

    def _list(self, folder: Path) -> None:
        """Other sessions' files are found without it, too: they count once they are read."""
        listed = listed_keys(folder)
        for path, size in files.entries(folder):
            if path.stem in listed:
                self._listed[path.stem] = size
            else:
                files.remove(self._disk.keep(path.stem, path, size))

    def _write(self, key: str, path: Path, parts: List[bytes]) -> None:
        """:raises OSError: the file cannot be written."""
        size = sum(len(part) for part in parts)
        if size > self._disk.limit:
            return
        self._forget(key)
        # Room is made first: a full disk may hold nothing but entries.
        with self._lock:
            beyond = self._disk.make_room(key, size)
        files.remove(beyond)
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(path, parts)
        # Listed last, so that nobody looks for a file that is not there yet.
        self._keep(key, path, size)

    def _keep(self, key: str, path: Path, size: int) -> None:
        """Count a file that is there, as the one used last."""
        with self._lock:
            beyond = [] if key in self._listed else self._disk.keep(key, path, size)
        files.remove(beyond)

    def _forget(self, key: str) -> None:
        with self._lock:
            self._disk.drop(key)
            self._listed.pop(key, None)

    def _complain(self, error: OSError) -> None:
        text = (
            f"Encoded windows cannot be kept in {self.folder} ({error.strerror or error}), so "
            "they are encoded again each time; make room on that disk or allow writing there."
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


def _bytes_of(encoded: EncodedWindow) -> int:
    return encoded.valid.nbytes + _bytes_in(encoded.embedding)


def _bytes_in(embedding: Embedding) -> int:
    return sum(array.nbytes for array in embedding.data.values())
