"""Folders that are exchanged or deleted as a whole, on Windows even while files are in use."""

from __future__ import annotations

import os
import shutil
import stat
import threading
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable

from ...core.downloads import replace
from ...core.errors import DependencyError

_OLD, _NEXT, _ASIDE = ".old", ".next", ".old-"


def beside(folder: Path, ending: str) -> Path:
    """A folder next to another one."""
    return folder.with_name(f"{folder.name}{ending}")


def exchange(new: Path, folder: Path) -> bool:
    """Put a finished folder in the place of one that may be there.

    :return: False: files of the old one are in use; `finish_exchange` is to be called when QGIS
        starts again.
    :raises DependencyError: the folder is protected.
    """
    try:
        waiting = beside(folder, _NEXT)
        if waiting.exists():
            delete(waiting)
        if _exchanged(new, folder):
            return True
        replace(new, waiting)
    except OSError as error:
        raise _protected(folder, error) from error
    return False


def finish_exchange(folder: Path) -> None:
    """Do what could not be done while the files were in use, if there is anything of that kind."""
    waiting = beside(folder, _NEXT)
    # Not possible now either: the old one goes on, and the next start tries again.
    if waiting.is_dir() and _exchanged(waiting, folder) and not any(folder.iterdir()):
        folder.rmdir()


def remove(folder: Path) -> bool:
    """Delete a folder, or an exchange that waits.

    :return: False: files in it are in use; it goes when QGIS starts again.
    :raises DependencyError: it is protected.
    """
    waiting = beside(folder, _NEXT)
    try:
        if waiting.exists():
            delete(waiting)
        if not folder.exists():
            return True
        waiting.mkdir()
        finish_exchange(folder)
    except OSError as error:
        raise _protected(folder, error) from error
    return not waiting.exists()


def remove_now(folder: Path) -> None:
    """Delete a folder that is of no use as long as it is there.

    :raises DependencyError: it is protected or in use; then all of it is still there.
    """
    old = beside(folder, _OLD)
    try:
        if old.exists():
            delete(old)
        if folder.exists():
            replace(folder, old)
            delete(old)
    except OSError as error:
        raise _protected(folder, error) from error


def set_aside(folder: Path) -> None:
    """Give up a folder that is of no use: it is out of the way at once, and deleted by and by.

    To delete a large one takes minutes on slow disks, which nobody wants to wait for who has just
    cancelled. What is left of it when QGIS ends is deleted by `sweep`. One in use stays.
    """
    aside = beside(folder, f"{_ASIDE}{uuid.uuid4().hex}")
    try:
        replace(folder, aside)
    except OSError:
        return
    threading.Thread(target=_delete_what_goes, args=(aside,), daemon=True).start()


def sweep(folder: Path) -> None:
    """Delete all that was set aside."""
    for aside in folder.parent.glob(f"{folder.name}{_ASIDE}*"):
        _delete_what_goes(aside)


def delete(folder: Path) -> None:
    """Delete a folder with all that is in it, files that are marked as read-only too.

    :raises OSError:
    """
    shutil.rmtree(folder, onerror=_once_more)


def _exchanged(new: Path, folder: Path) -> bool:
    """Whether it worked; if not, all is as before."""
    old = beside(folder, _OLD)
    shutil.rmtree(old, onerror=_leave)
    try:
        if folder.exists():
            replace(folder, old)
    except OSError:
        return False
    try:
        replace(new, folder)
    except OSError:
        if old.exists():
            replace(old, folder)
        raise
    shutil.rmtree(old, onerror=_leave)
    return True


def _delete_what_goes(folder: Path) -> None:
    with suppress(OSError):
        delete(folder)


def _once_more(work: Callable[..., Any], path: str, error: Any) -> None:
    os.chmod(path, stat.S_IWRITE | stat.S_IREAD | stat.S_IEXEC)  # noqa: PTH101
    work(path)


def _leave(work: Callable[..., Any], path: str, error: Any) -> None:
    """What is in use stays; the next exchange deletes it."""


def _protected(folder: Path, error: OSError) -> DependencyError:
    return DependencyError(
        f"{folder} cannot be changed ({error.strerror or error}); close other QGIS windows, see "
        "that the folder is not protected, and try again."
    )
