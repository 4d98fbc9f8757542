"""The files of models on this computer: where they are, whether they are whole, putting them there.

The layout, which can be copied from one computer to another as it is:

    <folder>/<model id>/<file name>      files of the catalogue, as their publisher calls them
    <folder>/own-<name>/entry.json       of the user's own, as catalogue.json describes the others
    <folder>/own-<name>/<file name>      its files, unless they are used in place

Models that ship with Furrow are in `models/weights`.
"""

from __future__ import annotations

import json
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from ...core.errors import ModelError
from ...core.monitor import SILENT, Monitor
from .catalogue import (
    DATA,
    ENTRY_FILE,
    FORMAT,
    Entry,
    ModelFile,
    entry_from,
    read_catalogue,
    write_entry,
)
from .file_hash import copy_file, file_hash
from .furrow_field.field_model import WEIGHTS
from .own_models import RoleFile, own_entry, own_files, own_id

_LARGEST_ENTRY = 2**20
"""Bytes; an entry.json has about a thousand."""


class ModelFolder:
    """Where the files of models are. Holds nothing but the path, so there may be several."""

    def __init__(self, folder: Path) -> None:
        """Remember the folder; it need not exist."""
        self.folder = folder
        self.troubles: Tuple[str, ...] = ()
        """Sentences for the user: models of the user's that could not be read the last time."""

    def path_of(self, entry: Entry, file: ModelFile) -> Path:
        """Where a file of a model is, or would be."""
        if file.path:
            return Path(file.path)
        return WEIGHTS / file.name if entry.shipped else self.folder / entry.id / file.name

    def paths_of(self, entry: Entry) -> Tuple[Path, ...]:
        """Where all files of a model are, or would be, in the order of the entry."""
        return tuple(self.path_of(entry, file) for file in entry.files)

    def present(self, entry: Entry) -> bool:
        """Whether all files are there with the right size; they are not read."""
        return all(_lack(self.path_of(entry, file), file) is None for file in entry.files)

    def verify(self, entry: Entry, monitor: Monitor = SILENT) -> None:
        """Compare size and SHA-256 of all files with the entry.

        Without a monitor a file is read once a session, and again when it has changed. With one
        it is read in any case.

        :raises ModelError: a file is missing, cut off or not the one that was published.
        :raises Cancelled: the user asked to stop.
        """
        for file, part in zip(entry.files, _parts(entry, monitor)):
            path = self.path_of(entry, file)
            lack = _lack(path, file)
            if lack is None and file.sha256 and file_hash(path, part) != file.sha256:
                lack = "is damaged or another file (its SHA-256 is not the published one)"
            if lack is not None:
                raise ModelError(f"{path} of the model {entry.title} {lack}; {_mend(entry)}.")

    def place(self, entry: Entry, file: ModelFile, temporary: Path) -> Path:
        """Take over a download: check size and SHA-256, then put it in place of the old file.

        :param temporary: the download, in the file system of the folder; deleted where it is wrong.
        :return: where the file is.
        :raises ModelError: it is not the file that was published, or the folder cannot be written
            to; a file that was there before stays.
        """
        target = self.path_of(entry, file)
        lack = _lack(temporary, file)
        if lack is None and file.sha256 and file_hash(temporary) != file.sha256:
            lack = "is not the published file (its SHA-256 is another one)"
        if lack is not None:
            _forget(temporary)
            raise ModelError(
                f"What was received as {file.name} of {entry.title} {lack}; {_mend(entry)}."
            )
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(target)
        except OSError as error:
            raise _not_written(target, error) from error
        return target

    def take(self, entry: Entry, paths: Sequence[Path], monitor: Monitor = SILENT) -> None:
        """Copy files of a catalogue model that the user has, after they have been checked.

        :param paths: the files, under any name.
        :raises ModelError: a file of the model is not among them, or see :meth:`place`.
        :raises Cancelled: the user asked to stop.
        """
        sources = [_among(paths, file, entry) for file in entry.files]
        for file, source, part in zip(entry.files, sources, _parts(entry, monitor)):
            target = self.path_of(entry, file)
            temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                copy_file(source, temporary, part)
                self.place(entry, file, temporary)
            except OSError as error:
                raise _not_written(target, error) from error
            finally:
                _forget(temporary)

    def remove(self, entry: Entry) -> None:
        """Delete the files of a model, halves of downloads included; files used in place stay.

        :raises ModelError: the model ships with Furrow, or a file cannot be deleted.
        """
        if entry.shipped:
            raise ModelError(f"{entry.title} is part of Furrow; choose another model to delete.")
        folder = self.folder / entry.id
        starts = tuple([file.name for file in entry.files] + [ENTRY_FILE] * entry.own)
        try:
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                if path.is_file() and path.name.startswith(starts):
                    path.unlink()
        except OSError as error:
            raise ModelError(
                f"{error.filename} cannot be deleted ({error.strerror}); end what uses the model "
                "and try again."
            ) from error
        with suppress(OSError):  # something of the user's is in it
            folder.rmdir()

    def own_entries(self) -> Tuple[Entry, ...]:
        """The models of the user's, in the order of their ids; see :attr:`troubles`."""
        found: List[Entry] = []
        troubles: List[str] = []
        for path in _entry_files(self.folder):
            try:
                found.append(_read_entry(path))
            except ModelError as error:
                troubles.append(f"The model in {path.parent} is left out: {error}")
        self.troubles = tuple(troubles)
        return tuple(found)

    def add_own(
        self, paths: Sequence[Path], title: str, copy: bool, monitor: Monitor = SILENT
    ) -> Entry:
        """Add a model of the user's.

        :param paths: see :func:`.own_models.own_files`.
        :param title: what the user calls it; need not be unique.
        :param copy: whether the files are copied into the folder, else they are used in place.
        :raises ModelError: no engine runs such files, or the folder cannot be written to.
        :raises Cancelled: the user asked to stop; nothing is left.
        """
        engine, files = own_files(paths)
        temporary = self.folder / f".{uuid.uuid4().hex}.tmp"
        try:
            temporary.mkdir(parents=True)
            described = _copied(files, temporary, monitor) if copy else _in_place(files)
            taken = {path.name for path in self.folder.iterdir()}
            title = " ".join(title.split()) or files[0][1].stem
            entry = own_entry(own_id(title, taken), title, engine, described)
            write_entry(entry, temporary)
            temporary.replace(self.folder / entry.id)
        except OSError as error:
            raise _not_written(self.folder, error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return entry


def _copied(files: Sequence[RoleFile], folder: Path, monitor: Monitor) -> List[ModelFile]:
    found = []
    for k, ((role, path), name) in enumerate(zip(files, _copy_names(files))):
        part = monitor.part(k / len(files), (k + 1) / len(files))
        digest = copy_file(path, folder / name, part)
        found.append(ModelFile(role, name, "", (folder / name).stat().st_size, digest))
    return found


def _in_place(files: Sequence[RoleFile]) -> List[ModelFile]:
    """Without size and hash: the user may put a newer file there."""
    return [
        ModelFile(role, name, "", 0, "", str(path.absolute()))
        for (role, path), name in zip(files, _different_names(files))
    ]


def _copy_names(files: Sequence[RoleFile]) -> List[str]:
    """Names in one folder; files may get others, but what they need must be where it was.

    :raises ModelError: they would not be.
    """
    names = _different_names(files)
    folders = {path.parent for role, path in files if role != DATA}
    for (role, path), name in zip(files, names):
        if role == DATA and (path.name != name or path.parent not in folders):
            raise ModelError(
                f"{path} cannot be copied into the folder of models without being renamed or "
                "moved; use the model where it lies."
            )
    return names


def _different_names(files: Sequence[RoleFile]) -> List[str]:
    """Names of files, with the role before them where two are the same."""
    names = [path.name.lower() for _, path in files]
    return [
        path.name if names.count(path.name.lower()) == 1 else f"{k}-{role}-{path.name}"
        for k, (role, path) in enumerate(files)
    ]


def _size(path: Path) -> Optional[int]:
    """None where there is no such file."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _lack(path: Path, file: ModelFile) -> Optional[str]:
    """What is wrong with a file as far as can be told without reading it."""
    size = _size(path)
    if size is None:
        return "is missing"
    if file.bytes and size != file.bytes:
        return f"has {size} bytes instead of {file.bytes}"
    return None


def _mend(entry: Entry) -> str:
    if entry.shipped:
        return "install Furrow again or choose the model classical"
    if entry.own:
        return "add it again in the model manager"
    if all(file.url for file in entry.files):
        return "download it again in the model manager"
    return "choose the right file in the model manager"


def _parts(entry: Entry, monitor: Monitor) -> List[Monitor]:
    """A monitor for each file, by size; SILENT stays itself."""
    if monitor is SILENT:
        return [SILENT] * len(entry.files)
    total = sum(max(1, file.bytes) for file in entry.files)
    parts, done = [], 0
    for file in entry.files:
        start, done = done, done + max(1, file.bytes)
        parts.append(monitor.part(start / total, done / total))
    return parts


def _among(paths: Sequence[Path], file: ModelFile, entry: Entry) -> Path:
    """:raises ModelError: none of the paths can be the file."""
    for path in paths:
        if _lack(path, file) is None and (file.bytes or path.name == file.name):
            return path
    size = f" with {file.bytes} bytes" if file.bytes else ""
    raise ModelError(
        f"None of the chosen files is {file.name} of {entry.title}{size}; choose all files of the "
        "model, or add yours as a model of your own."
    )


def _forget(temporary: Path) -> None:
    with suppress(OSError):
        temporary.unlink()


def _not_written(path: Path, error: OSError) -> ModelError:
    return ModelError(
        f"{path} cannot be written ({error.strerror or error}); make room on that disk, allow "
        "writing there or choose another folder for models."
    )


def _entry_files(folder: Path) -> List[Path]:
    """All entry.json one level below; folders that are being made begin with a dot."""
    try:
        return sorted(
            path / ENTRY_FILE
            for path in folder.iterdir()
            if not path.name.startswith(".") and (path / ENTRY_FILE).is_file()
        )
    except OSError:
        return []


def _read_entry(path: Path) -> Entry:
    """:raises ModelError: it is damaged or does not belong where it is."""
    try:
        text = path.read_text(encoding="utf-8") if path.stat().st_size <= _LARGEST_ENTRY else ""
        content = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{ENTRY_FILE} cannot be read as JSON; add the model again in the model manager."
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(
            f"{ENTRY_FILE} is not of format {FORMAT}; add the model again in the model manager."
        )
    entry = entry_from(content, own=True)
    if entry.id != path.parent.name or entry.id in {each.id for each in read_catalogue()}:
        raise ModelError(
            f"The 'id' in {ENTRY_FILE} is '{entry.id}', which is not the name of its folder or is "
            "a model of Furrow's catalogue; give both another name."
        )
    return entry
