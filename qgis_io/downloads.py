"""Downloads through QGIS' network manager.

Nothing here runs on its own: the network is used when a function is called, and only then. Files
go to disk piece by piece.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Dict, Iterator, Optional

from qgis.PyQt.QtCore import QLockFile

from ..core.downloads import CHUNK_BYTES, Download, Step, local_path, open_part, part_of
from ..core.errors import DownloadError
from ..core.monitor import SILENT, Monitor
from ..core.web_answers import Answer, Patience, refusal, shown
from .own_thread import in_own_thread
from .web_line import Receiver, WebLine, tell

PATIENCE = Patience()
_TEXT_BYTES = 20 * 2**20


def fetch(
    download: Download, monitor: Monitor = SILENT, authcfg: str = "", patience: Patience = PATIENCE
) -> Path:
    """Download a file, or continue to where an earlier attempt was cancelled or broke off.

    Blocks, for minutes where the file is large, so it is for background threads (QgsTask) only.
    QGIS may ask the user for a password meanwhile, in the main thread: it must not wait for this.

    :param authcfg: id of an authentication of QGIS; told to the server of the address, not to those
        that it may send us on to.
    :returns: the target.
    :raises DownloadError: it cannot be fetched, or is not the file that is expected; an old target
        is as it was.
    :raises Cancelled: within a second; what has arrived stays for the next time.
    """
    return in_own_thread(lambda inner: _fetched(download, inner, authcfg, patience), monitor)


def read_text(
    url: str,
    monitor: Monitor = SILENT,
    limit_bytes: int = _TEXT_BYTES,
    authcfg: str = "",
    patience: Patience = PATIENCE,
) -> str:
    """Read a small text, such as an index of packages. As :func:`fetch`, into memory.

    :raises DownloadError: it cannot be read, or is longer than `limit_bytes`.
    :raises Cancelled:
    """

    def read(inner: Monitor) -> str:
        text = _Text(url, limit_bytes)
        _receive(url, text, inner, authcfg, patience)
        return text.content.decode("utf-8", "replace")

    return in_own_thread(read, monitor)


class _Text:
    """Bytes in memory, up to a limit."""

    complete = False

    def __init__(self, url: str, limit: int) -> None:
        self.name = shown(url)
        self.total: Optional[int] = None
        self.content = bytearray()
        self._limit = limit

    @property
    def received(self) -> int:
        return len(self.content)

    def request_headers(self) -> Dict[str, str]:
        return {}

    def begin(self, answer: Answer) -> Step:
        if answer.status != 200:
            raise DownloadError(refusal(self.name, answer))
        self.content.clear()
        self.total = answer.total
        self._check(self.total or 0)
        return Step.READ

    def write(self, chunk: bytes) -> None:
        self._check(len(self.content) + len(chunk))
        self.content += chunk

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise DownloadError(
                f"{self.name} is larger than {self._limit} bytes, so it is not the page that is "
                "expected; check the address."
            )


def _fetched(download: Download, monitor: Monitor, authcfg: str, patience: Patience) -> Path:
    with _alone(download), open_part(download, monitor) as part:
        _receive(download.url, part, monitor, authcfg, patience)
        if part.resumed and not part.matches():
            # What was left may have been damaged, by a crash for one.
            part.discard()
            _receive(download.url, part, monitor, authcfg, patience)
        monitor.check()
        return part.place()


@contextmanager
def _alone(download: Download) -> Iterator[None]:
    """Two that write to one part would spoil it, in another QGIS too."""
    with suppress(OSError):
        download.target.parent.mkdir(parents=True, exist_ok=True)
    path = f"{part_of(download.target)}.lock"
    lock = QLockFile(path)
    # Downloads are long; the lock of a process that has ended is void all the same.
    lock.setStaleLockTime(0)
    if not lock.tryLock(0) and lock.error() == QLockFile.LockError.LockFailedError:
        raise DownloadError(
            f"{download.name} is being downloaded already; wait until that is done, or delete "
            f"{path} if no QGIS is at work on it."
        )
    try:
        yield
    finally:
        lock.unlock()


def _receive(
    url: str, receiver: Receiver, monitor: Monitor, authcfg: str, patience: Patience
) -> None:
    """All bytes of an address, of the web or of this computer."""
    if receiver.complete:
        return
    path = local_path(url)
    if path is not None:
        _copy(path, receiver, monitor)
        return
    with WebLine(receiver.name, monitor, authcfg, patience) as line:
        line.receive(url, receiver)


def _copy(path: Path, receiver: Receiver, monitor: Monitor) -> None:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            receiver.begin(Answer(str(path), 200, {"content-length": str(size)}))
            for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
                monitor.check()
                receiver.write(chunk)
                tell(receiver, monitor)
    except OSError as error:
        raise DownloadError(
            f"{receiver.name}: {path} cannot be read ({error.strerror or error}); check that it is "
            "there and that you may read it."
        ) from error
