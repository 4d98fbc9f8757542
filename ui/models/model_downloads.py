"""Downloading the files of a model: what is missing, and fetching it file by file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Callable, Tuple

from ...core.downloads import Download, in_words, missing_bytes, part_of
from ...core.errors import DownloadError
from ...core.monitor import SILENT, Monitor
from ...models.segmenters.model_folder import file_hash
from ...qgis_io.texts import tr
from .model_views import FileView, ModelView

Fetch = Callable[[Download, Monitor], Path]
"""As qgis_io/downloads.py's."""


def missing_files(view: ModelView) -> Tuple[FileView, ...]:
    """The files of a model that are not here, or not as long as they should be.

    Where a model is damaged although all sizes are right, any file may be wrong: it is all of them.
    """
    missing = tuple(each for each in view.files if not each.good)
    return missing or view.files


def bytes_of(files: Tuple[FileView, ...]) -> int:
    """Size of some files once they are here."""
    return sum(each.file.bytes for each in files)


def bytes_to_come(view: ModelView) -> int:
    """How much a download would move; what an interrupted one has left is there already."""
    return sum(max(0, each.file.bytes - bytes_begun(each)) for each in missing_files(view))


def bytes_begun(file: FileView) -> int:
    """What an interrupted download has left of a file."""
    part = part_of(file.path)
    return part.stat().st_size if part.is_file() else 0


def download_model(view: ModelView, fetch: Fetch, monitor: Monitor = SILENT) -> str:
    """Fetch the missing files of a model one after another. For a background thread.

    A file takes its place only when it is whole and right, so those that came stay where a later
    one fails, and an old file stays where the new one is wrong.

    :return: id of the model.
    :raises DownloadError: a file cannot be had.
    :raises Cancelled: what has come of the file in work stays for the next time.
    """
    files = missing_files(view)
    _check_space(view)
    total, done = bytes_of(files) or 1, 0
    for number, each in enumerate(files):
        monitor.check()
        heading = tr("file {} of {}").format(number + 1, len(files)) if len(files) > 1 else ""
        part = monitor.part(done / total, (done + each.file.bytes) / total)
        if not _right(each):
            fetch(_download(view, each), _headed(part, heading))
        done += each.file.bytes
        monitor.progress(done / total)
    return view.id


def _headed(monitor: Monitor, heading: str) -> Monitor:
    """Says which file it is, in place of troubles that are over: they are while bytes come."""

    def progress(share: float) -> None:
        monitor.message(heading)
        monitor.progress(share)

    return replace(monitor, progress=progress)


def _check_space(view: ModelView) -> None:
    """:raises DownloadError: not all files have room together."""
    folder = next((each for each in view.folder.parents if each.is_dir()), view.folder)
    missing = missing_bytes(folder, bytes_to_come(view))
    if missing:
        raise DownloadError(
            tr("{title} has no room on the disk of {folder}; make {size} free there, or choose "
               "another folder for models.").format(
                title=view.entry.title, folder=view.folder, size=in_words(missing)
            )
        )  # fmt: skip


def _right(file: FileView) -> bool:
    """Whether the file is there and is the published one; it is read to find out."""
    if not file.good or not file.file.sha256:
        return False
    return file_hash(file.path) == file.file.sha256


def _download(view: ModelView, file: FileView) -> Download:
    title = f"{view.entry.title}, {file.file.name}"
    return Download(file.file.url, file.path, file.file.bytes, file.file.sha256, title)
