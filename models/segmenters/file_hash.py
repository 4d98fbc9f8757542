"""SHA-256 of model files, which may have gigabytes: read in blocks, and not twice a session."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Callable

from ...core.errors import ModelError
from ...core.monitor import SILENT, Monitor

_BLOCK = 2**22
_KEPT = 128


def file_hash(path: Path, monitor: Monitor = SILENT) -> str:
    """SHA-256 of a file in hexadecimal digits.

    Without a monitor a file that has the same size and date as before is not read again.

    :raises ModelError: the file cannot be read.
    :raises Cancelled: the user asked to stop.
    """
    try:
        if monitor is not SILENT:
            return _of_file(path, monitor)
        status = path.stat()
        return _hashed(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise _unreadable(path, error) from error


def copy_file(source: Path, target: Path, monitor: Monitor = SILENT) -> str:
    """Copy a file; the SHA-256 of what was copied.

    :param target: a file that does not exist yet.
    :raises ModelError: the source cannot be read.
    :raises OSError: the target cannot be written; what was written of it stays.
    :raises Cancelled: the user asked to stop; what was written stays.
    """
    try:
        stream = source.open("rb")
    except OSError as error:
        raise _unreadable(source, error) from error
    with stream, target.open("xb") as copy:
        return _streamed(stream, copy.write, monitor)


@lru_cache(maxsize=_KEPT)
def _hashed(path: Path, size: int, changed: int) -> str:
    """:param size: and when the file was written, part of the key: a new file is read anew."""
    return _of_file(path, SILENT)


def _of_file(path: Path, monitor: Monitor) -> str:
    with path.open("rb") as stream:
        return _streamed(stream, lambda block: None, monitor)


def _streamed(stream: BinaryIO, use: Callable[[bytes], object], monitor: Monitor) -> str:
    """SHA-256 of a file, whose blocks are handed on while it is read."""
    digest, done = hashlib.sha256(), 0
    size = max(1, os.fstat(stream.fileno()).st_size)
    for block in iter(lambda: stream.read(_BLOCK), b""):
        monitor.check()
        digest.update(block)
        use(block)
        done += len(block)
        monitor.progress(min(1.0, done / size))
    return digest.hexdigest()


def _unreadable(path: Path, error: OSError) -> ModelError:
    return ModelError(
        f"The model file {path} cannot be read ({error.strerror or error}); allow reading it or "
        "choose another one."
    )
