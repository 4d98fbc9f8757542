"""Zip archives and wheels, unpacked without trusting them."""

from __future__ import annotations

import shutil
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Dict, Iterator, List, Sequence, Tuple

from .downloads import CHUNK_BYTES, in_words, is_safe_name, missing_bytes, replace
from .errors import ArchiveError
from .monitor import SILENT, Monitor

MOST_BYTES = 4 * 10**9
"""Of all files of an archive together, unpacked."""
_MOST_MEMBERS = 100_000
_ENCRYPTED = 0x1
_REPARSE_POINT = 0x400
"""How Windows marks links."""
_WAYS_OF_PACKING = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    IndexError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""What zipfile says of bytes that are not as they should be."""

_Contents = Sequence[Tuple[Path, List[zipfile.ZipInfo]]]
"""Archives, and what is in them."""


def unpack(archive: Path, folder: Path, limit: int = MOST_BYTES, monitor: Monitor = SILENT) -> None:
    """Unpack a zip file or a wheel: all of it or nothing.

    :param folder: made here; it must not exist yet, or be empty.
    :param limit: most bytes of all files together, unpacked.
    :raises ArchiveError: the archive is damaged, too large or not safe, or the folder cannot be
        made; then the folder is as it was.
    :raises Cancelled: then, too.
    """
    unpack_all([archive], folder, limit, monitor)


def unpack_all(
    archives: Sequence[Path], folder: Path, limit: int = MOST_BYTES, monitor: Monitor = SILENT
) -> None:
    """Unpack several archives into one folder, as :func:`unpack`; no file may be in two of them."""
    with _writing(folder):
        if folder.exists() and any(folder.iterdir()):
            raise ArchiveError(f"{folder} exists already; remove it or choose another folder.")
    contents = [(archive, _members(archive)) for archive in archives]
    size = _check_contents(contents, limit)
    with _beside(folder, size) as made:
        written = _Written(size, monitor)
        for archive, members in contents:
            _extract(archive, members, made, written)
        _take_place(made, folder)


class _Written:
    """Counts the bytes of all files, and tells how far the work is."""

    def __init__(self, size: int, monitor: Monitor) -> None:
        self._size, self._monitor, self._bytes = size, monitor, 0

    def add(self, size: int) -> None:
        self._bytes += size
        self._monitor.check()
        self._monitor.progress(min(1.0, self._bytes / max(self._size, 1)))


def _members(archive: Path) -> List[zipfile.ZipInfo]:
    """What is in an archive, every entry judged by itself."""
    with _opened(archive) as file:
        members = file.infolist()
    for member in members:
        reason = _objection(member)
        if reason:
            raise ArchiveError(
                f"{archive.name}: {member.orig_filename!r} {reason}, so nothing was unpacked; "
                "get the archive anew from its makers."
            )
    return members


def _objection(member: zipfile.ZipInfo) -> str:
    """Why an entry must not be unpacked; empty: it may."""
    # Not `filename`, in which zipfile has repaired what is to be refused.
    path = member.orig_filename
    parts = path[:-1].split("/") if path.endswith("/") else path.split("/")
    if not all(map(is_safe_name, parts)):
        return "is no name for a file in the folder"
    if member.flag_bits & _ENCRYPTED:
        return "is protected by a password"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or member.external_attr & _REPARSE_POINT:
        return "is a link or a device"
    if member.compress_type not in _WAYS_OF_PACKING:
        return "is packed in a way that is not known here"
    return ""


def _check_contents(contents: _Contents, limit: int) -> int:
    """What can only be seen of all entries together.

    :returns: bytes of all files.
    """
    size, seen = 0, _Names()
    for archive, members in contents:
        for member in members:
            size += member.file_size
            if not seen.add(member):
                raise ArchiveError(
                    f"{archive.name}: {member.filename!r} is there twice, so nothing was "
                    "unpacked; get the archive anew from its makers."
                )
        if size > limit or len(members) > _MOST_MEMBERS:
            raise ArchiveError(
                f"{archive.name} unpacks to {len(members)} files of {in_words(size)}, more than "
                f"the {in_words(limit)} that are expected; check that it is the right file."
            )
    return size


class _Names:
    """Names that are taken, also where the file system knows no difference between a and A."""

    def __init__(self) -> None:
        self._is_folder: Dict[str, bool] = {}

    def add(self, member: zipfile.ZipInfo) -> bool:
        """Take a name; False: another file has it."""
        name = unicodedata.normalize("NFC", member.filename.rstrip("/")).casefold()
        parts = name.split("/")
        for count in range(1, len(parts)):
            if not self._is_folder.setdefault("/".join(parts[:count]), True):
                return False
        if name not in self._is_folder:
            self._is_folder[name] = member.is_dir()
            return True
        # Folders may be named as often as one likes.
        return member.is_dir() and self._is_folder[name]


@contextmanager
def _beside(folder: Path, size: int) -> Iterator[Path]:
    """A new folder on the same disk that may be given the name of `folder`; removed otherwise."""
    with _writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        missing = missing_bytes(folder.parent, size)
        if missing:
            raise ArchiveError(
                f"{folder.parent} has no room for {folder.name}; make {in_words(missing)} free on "
                "that disk, or choose another folder."
            )
        around = Path(tempfile.mkdtemp(".unpacking", f".{folder.name}.", folder.parent))
    try:
        # A folder within: the one around it is for the user's eyes only.
        made = around / folder.name
        with _writing(folder):
            made.mkdir()
        yield made
    finally:
        shutil.rmtree(around, ignore_errors=True)


def _extract(
    archive: Path, members: Sequence[zipfile.ZipInfo], folder: Path, written: _Written
) -> None:
    with _opened(archive) as file, _writing(folder):
        for member in members:
            path = folder.joinpath(*member.filename.rstrip("/").split("/"))
            if member.is_dir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with file.open(member) as packed, path.open("xb") as out:
                _copy(packed, out, written)


def _copy(packed: BinaryIO, out: BinaryIO, written: _Written) -> None:
    # zipfile reads no more than the entry says, and compares the checksum at its end.
    for chunk in iter(lambda: packed.read(CHUNK_BYTES), b""):
        out.write(chunk)
        written.add(len(chunk))


def _take_place(made: Path, folder: Path) -> None:
    with _writing(folder):
        if folder.exists():
            folder.rmdir()
        replace(made, folder)


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(archive) as file:
            yield file
    except _DAMAGED as error:
        raise ArchiveError(
            f"{archive.name} is damaged ({error}), so nothing was unpacked; download it again."
        ) from error
    except OSError as error:
        raise ArchiveError(
            f"{archive} cannot be read ({error.strerror or error}); check that it is there and "
            "that you may read it."
        ) from error


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArchiveError(
            f"{folder} cannot be written ({error.strerror or error}); is the disk full or the "
            "folder protected?"
        ) from error
