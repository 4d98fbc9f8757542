"""Folders as outputs: whole or not at all.

A folder is filled under another name beside its place and moved there when it is complete. One that
was there before is replaced only when it is such an output itself, which a file in it shows.
"""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from .errors import OutputError


def require_replaceable(name: str, folder: Path, mark: str) -> None:
    """Refuse a place where a folder cannot be written, or where something else lies.

    :param name: of the parameter.
    :param mark: file that every folder of this kind holds.
    :raises OutputError:
    """
    require_place(name, folder, folder.absolute().parent)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / mark).is_file():
        raise OutputError(
            f"{name}: {folder} holds other files; choose an empty folder or the name of a new one."
        )


def require_place(name: str, folder: Path, written: Path) -> None:
    """Refuse what is no folder, or lies where nothing can be written; it need not exist.

    :param name: of the parameter.
    :param written: absolute path of the folder that is written to: itself, or the one above.
    :raises OutputError:
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{name}: {folder} is a file; give the name of a folder.")
    above = next(place for place in (written, *written.parents) if place.is_dir())
    if not os.access(above, os.W_OK):
        raise OutputError(f"{name}: cannot write to the folder {above}; choose another.")


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which is at its place in the end; gone where anything goes wrong.

    :raises OSError: it cannot be made or moved.
    """
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex[:8]
    partial = folder.with_name(f".{folder.name}.{token}.part")
    former = folder.with_name(f".{folder.name}.{token}.old")
    partial.mkdir()
    complete = False
    try:
        yield partial
        if folder.exists():
            folder.rename(former)
        partial.rename(folder)
        complete = True
    finally:
        if not complete:
            shutil.rmtree(partial, ignore_errors=True)
            if former.exists() and not folder.exists():
                former.rename(folder)
    shutil.rmtree(former, ignore_errors=True)
