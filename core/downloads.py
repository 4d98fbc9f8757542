"""Downloads without the network: what has arrived is kept, resumed, checked and put in place.

A download grows in "<target>.part". Beside it, "<target>.part.json" tells of which file it is a
part, so that it is never continued with the bytes of another. The target itself is touched once, at
the end, when everything has arrived and is right.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import BinaryIO, Dict, Iterator, Optional, Tuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from .errors import DownloadError
from .monitor import SILENT, Monitor
from .web_answers import Answer, refusal, shown

CHUNK_BYTES = 2**20
SPARE_BYTES = 200 * 2**20
"""Left free on a disk that something is written to."""
_LONGEST_NAME = 255
"""Bytes in UTF-8."""
_REPLACE_WAITS = (0.1, 0.3, 0.6) if os.name == "nt" else ()
_UNUSABLE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]|[. ]$')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|$)", re.I)


@dataclass(frozen=True)
class Download:
    """A file to be fetched, and how it is known to be the right one."""

    url: str
    """With http, https or file, or a path on this computer."""
    target: Path
    """Where it is to be; its folder need not exist."""
    bytes: int = 0
    """Its size; 0: unknown."""
    sha256: str = ""
    """In hexadecimal digits; empty: unknown."""
    title: str = ""
    """What to call it in messages; empty: the name of the target."""

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return self.title or self.target.name


class Step(Enum):
    """What follows from the head of an answer."""

    READ = "its bytes are to be kept"
    AGAIN = "the file is to be asked for once more, from its start"
    DONE = "everything has arrived before"


class PartFile:
    """The bytes of a download so far, on disk, hashed as they arrive; made by :func:`open_part`."""

    def __init__(self, download: Download) -> None:
        """Open the file.

        :raises DownloadError: the target's folder cannot be written to.
        """
        self.download = download
        self.total = download.bytes or None
        """Bytes of the whole file; None while they are unknown."""
        self.received = 0
        """Bytes that are here."""
        self.resumed = False
        """Whether some of them were left by another attempt to download the file."""
        self._validator = ""
        self._hash = hashlib.sha256()
        self._part, self._notes = part_of(download.target), notes_of(download.target)
        with self._writing():
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = self._part.open("r+b" if self._part.exists() else "w+b")

    def close(self) -> None:
        """Close the file, and remove it where it is of no use the next time."""
        with suppress(OSError):
            self._file.close()
        if not self.received or not self._resumable():
            _remove(self._part, self._notes)

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return self.download.name

    @property
    def complete(self) -> bool:
        """Whether all bytes are here, as far as their number is known."""
        return self.total is not None and self.received == self.total

    def resume(self, monitor: Monitor = SILENT) -> None:
        """Take over what another attempt has left, where it is a part of the same file.

        :raises DownloadError: it cannot be read.
        :raises Cancelled:
        """
        notes = self._read_notes()
        if notes is None:
            self.discard()
            return
        self._validator, self.total = notes[0], self.total or notes[1]
        with self._writing():
            for chunk in iter(lambda: self._file.read(CHUNK_BYTES), b""):
                monitor.check()
                self._hash.update(chunk)
                self.received += len(chunk)
        self.resumed = self.received > 0
        if not self._resumable() or self.received > (self.total or self.received):
            self.discard()

    def request_headers(self) -> Dict[str, str]:
        """What to tell the server, so that it sends only what is missing."""
        if not self.received or not self._resumable():
            return {}
        same = {"If-Range": self._validator} if self._validator else {}
        return {"Range": f"bytes={self.received}-", **same}

    def begin(self, answer: Answer) -> Step:
        """Make ready for the bytes of an answer with status 200, 206 or 416.

        :raises DownloadError: it is not the file that is wanted, or too large for the disk.
        """
        if answer.status == 416 and self.received and answer.total == self.received:
            if self.total in (None, self.received):
                self.total = self.received
                return Step.DONE
        self._check_answer(answer)
        if answer.status == 200:
            self._start_over(answer)
        elif not self._continued_by(answer):
            return self._again(answer)
        self.total = self.total or answer.total
        self._check_space()
        return Step.READ

    def write(self, chunk: bytes) -> None:
        """Keep bytes that follow those that are here.

        :raises DownloadError: there are more than the file has, or the disk is full.
        """
        if self.total is not None and self.received + len(chunk) > self.total:
            sentence = _wrong_size(self.download, f"more than {self.total}", self.total)
            self.discard()
            raise DownloadError(sentence)
        with self._writing():
            self._file.write(chunk)
        self._hash.update(chunk)
        self.received += len(chunk)

    def matches(self) -> bool:
        """Whether what is here has the SHA-256 of the file; True where that is unknown."""
        wanted = self.download.sha256.strip().lower()
        return not wanted or self._hash.hexdigest() == wanted

    def place(self) -> Path:
        """Make the part the target.

        :raises DownloadError: it is not the file that is wanted, and was removed; or the target
            cannot be replaced. An old target stays.
        """
        if not self.matches():
            self.discard()
            raise DownloadError(
                f"{self.name}: what arrived from {shown(self.download.url)} is not the "
                "file that Furrow knows (its SHA-256 differs) and was removed; try again, and if "
                "that does not help, look for a newer version of Furrow."
            )
        with self._writing():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            replace(self._part, self.download.target)
        _remove(self._notes)
        return self.download.target

    def discard(self) -> None:
        """Forget what is here."""
        _remove(self._notes)
        with self._writing():
            self._file.seek(0)
            self._file.truncate()
        self.received, self.resumed, self._validator = 0, False, ""
        self.total = self.download.bytes or None
        self._hash = hashlib.sha256()

    def _check_answer(self, answer: Answer) -> None:
        """Before the first byte: a page or another file must not take the place of what is here."""
        wanted, total = self.download.bytes, answer.total
        if answer.is_page and answer.status == 200 and (not wanted or total != wanted):
            raise DownloadError(
                f"{self.name}: {shown(answer.url)} is a web page and not the file; open "
                "it in a browser, as the network may want you to log in first, then try again."
            )
        if wanted and total not in (None, wanted):
            raise DownloadError(_wrong_size(self.download, str(total), wanted))

    def _start_over(self, answer: Answer) -> None:
        self.discard()
        self._validator, self.total = answer.validator, self.total or answer.total
        text = json.dumps({**self._about(), "validator": self._validator, "total": self.total})
        with self._writing():
            self._notes.write_text(text, encoding="utf-8")

    def _continued_by(self, answer: Answer) -> bool:
        return (
            answer.status == 206
            and answer.start == self.received
            and self.total in (None, answer.total)
            and (not answer.validator or self._validator in ("", answer.validator))
        )

    def _again(self, answer: Answer) -> Step:
        if not self.received:
            raise DownloadError(refusal(self.name, answer))
        self.discard()
        return Step.AGAIN

    def _check_space(self) -> None:
        missing = missing_bytes(self._part.parent, (self.total or 0) - self.received)
        if missing:
            raise DownloadError(
                f"{self.name}: {self._part.parent} has no room for it; make "
                f"{in_words(missing)} free on that disk, or choose another folder."
            )

    def _resumable(self) -> bool:
        """Whether it can be told that what follows belongs to what is here."""
        return bool(self._validator or self.download.sha256)

    def _about(self) -> Dict[str, object]:
        download = self.download
        return {"url": download.url, "bytes": download.bytes, "sha256": download.sha256}

    def _read_notes(self) -> Optional[Tuple[str, Optional[int]]]:
        """Validator and size of the file that a part is of; None: it may not be continued."""
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
            validator, total = str(notes["validator"]), int(notes["total"] or 0) or None
            same = {key: notes[key] for key in self._about()} == self._about()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return (validator, total) if same else None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DownloadError(
                f"{self.name}: {self.download.target} cannot be written "
                f"({error.strerror or error}); is the disk full, the folder protected or the file "
                "in use by another program?"
            ) from error


@contextmanager
def open_part(download: Download, monitor: Monitor = SILENT) -> Iterator[PartFile]:
    """The part of a download, with what an earlier attempt has left where that may be continued.

    It stays for the next time, unless it is put in place or is wrong.

    :raises DownloadError: the target's folder cannot be written to.
    :raises Cancelled:
    """
    part = PartFile(download)
    try:
        part.resume(monitor)
        yield part
    finally:
        part.close()


def part_of(target: Path) -> Path:
    """Where a download grows."""
    return target.with_name(f"{target.name}.part")


def notes_of(target: Path) -> Path:
    """Where it is told what a part is a part of."""
    return target.with_name(f"{target.name}.part.json")


def local_path(url: str) -> Optional[Path]:
    """The file that an address on this computer means; None: it is one of the web.

    :raises DownloadError: it is neither.
    """
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and parts.netloc:
        return None
    if parts.scheme == "file":
        share = f"//{parts.netloc}" if parts.netloc not in ("", "localhost") else ""
        return Path(url2pathname(share + parts.path))
    # One letter is a drive of Windows.
    if len(parts.scheme) < 2 and url:
        return Path(url)
    raise DownloadError(f"{shown(url)} is no address of a file; use one with https:// or a path.")


def is_safe_name(name: str) -> bool:
    """Whether a file or folder may have this name on Windows, macOS and Linux."""
    if not name or len(name.encode("utf-8", "replace")) > _LONGEST_NAME:
        return False
    return not (_UNUSABLE.search(name) or _RESERVED.match(name))


def missing_bytes(folder: Path, needed: int) -> int:
    """Bytes to be made free before so many may be written; 0: there is room.

    :param folder: on the disk in question; it exists.
    """
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        # A disk that does not tell may still be written to.
        return 0
    return max(0, needed + SPARE_BYTES - free)


def in_words(size: int) -> str:
    """A number of bytes as people write it: 12 kB, 3.4 MB, 2.5 GB."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB")):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{max(size, 0) / 1e3:.0f} kB"


def replace(source: Path, target: Path) -> None:
    """Give a file or folder its final name, in place of a file that has it.

    :raises OSError:
    """
    for wait in _REPLACE_WAITS:
        try:
            source.replace(target)
        except PermissionError:
            # On Windows a virus scanner holds what is new for a moment.
            time.sleep(wait)
        else:
            return
    source.replace(target)


def _wrong_size(download: Download, size: str, expected: int) -> str:
    return (
        f"{download.name}: the file at {shown(download.url)} has {size} bytes, not {expected} as "
        "expected, so it is another one; look for a newer version of Furrow, or use a file that "
        "you have."
    )


def _remove(*paths: Path) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()
