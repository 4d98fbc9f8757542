"""What the answers of web servers mean, without the network: which may be used, and what to say of
the others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Mapping, Optional, Tuple
from urllib.parse import urljoin, urlsplit

from .errors import DownloadError

_LONGEST_PAUSE = 30.0
"""Seconds; a server that wants to be left alone for longer is asked earlier, then given up."""
_REDIRECTIONS = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429)
"""Status codes below 500 that may be different in a moment."""
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server that does not answer as it should."""

    stall_seconds: float = 30.0
    """Without a byte for so long, a connection is given up."""
    waits: Tuple[float, ...] = (1.0, 3.0, 8.0)
    """Seconds before each new attempt; attempts that brought something new are not counted."""


@dataclass(frozen=True)
class Answer:
    """The head of a server's answer."""

    url: str
    """What was asked for, after all redirections."""
    status: int
    """Of HTTP."""
    headers: Mapping[str, str]
    """By name in lower case."""

    @property
    def start(self) -> Optional[int]:
        """Place of the answer's first byte in the whole file; None where it is not told."""
        place = _RANGE.match(self.headers.get("content-range", ""))
        return int(place[1]) if place and place[1] else None

    @property
    def total(self) -> Optional[int]:
        """Bytes of the whole file; None where they are not told."""
        place = _RANGE.match(self.headers.get("content-range", ""))
        text = place[2] if place else self.headers.get("content-length", "")
        # Without its place, the length of an answer that is a part is not that of the file.
        return int(text) if text.isdigit() and (place or self.status == 200) else None

    @property
    def validator(self) -> str:
        """What tells this version of the file from others: ETag, else date; empty: nothing does."""
        tag = self.headers.get("etag", "")
        return tag if tag.startswith('"') else self.headers.get("last-modified", "")

    @property
    def is_page(self) -> bool:
        """Whether it is meant to be seen in a browser."""
        return self.headers.get("content-type", "").lower().startswith("text/html")

    @property
    def pause(self) -> float:
        """Seconds that the server wants to be left alone."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isdigit() else 0.0


class Interrupted(Exception):  # noqa: N818 - the attempt has failed, the download not yet
    """An attempt that may go better the next time; its text is the sentence for when none does."""

    def __init__(self, sentence: str, pause: float = 0.0, connected: bool = True) -> None:
        super().__init__(sentence)
        self.pause = pause
        """Seconds that the server wants to be left alone."""
        self.connected = connected
        """False: nobody answered, which is worth another attempt only if somebody did before."""


class Attempts:
    """Counts the attempts that brought nothing new."""

    def __init__(self, patience: Patience, received: int) -> None:
        """Begin to count.

        :param received: bytes that are here before the first attempt.
        """
        self._waits = patience.waits
        self._start = self._farthest = received
        self._vain = 0

    def wait_after(self, trouble: Interrupted, received: int) -> float:
        """Seconds until the next attempt.

        :param received: bytes that are here now.
        :raises DownloadError: it is time to give up.
        """
        if received > self._farthest:
            self._farthest, self._vain = received, 0
        unreachable = not trouble.connected and self._farthest == self._start
        if unreachable or self._vain == len(self._waits):
            raise DownloadError(str(trouble)) from trouble
        self._vain += 1
        return max(self._waits[self._vain - 1], min(trouble.pause, _LONGEST_PAUSE))


def shown(url: str) -> str:
    """An address for messages: without passwords and keys."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{host_of(url)}{parts.path}" if parts.netloc else parts.path or url


def host_of(url: str) -> str:
    """The server of an address, with its port where one is named."""
    return urlsplit(url).netloc.rpartition("@")[2]


def same_server(one: str, other: str) -> bool:
    """Whether what is secret for one address may be told to the other."""
    first, second = urlsplit(one), urlsplit(other)
    return (first.scheme, host_of(one)) == (second.scheme, host_of(other))


def redirection(name: str, answer: Answer) -> Optional[str]:
    """Where an answer sends us; None: it is no redirection.

    :param name: of the download, for messages.
    :raises DownloadError: there we do not go.
    """
    if answer.status not in _REDIRECTIONS or not answer.headers.get("location"):
        return None
    url = urljoin(answer.url, answer.headers["location"])
    schemes = ("https",) if answer.url.lower().startswith("https:") else ("http", "https")
    if urlsplit(url).scheme not in schemes:
        raise DownloadError(
            f"{name}: {host_of(answer.url)} sends on to {shown(url)}, which is not a safe "
            "connection (https); download the file in a browser and use it from there."
        )
    return url


def check_status(name: str, answer: Answer) -> None:
    """Let the answers pass that come with a file.

    :param name: of the download, for messages.
    :raises DownloadError: the server refuses.
    :raises Interrupted: it may answer later.
    """
    if answer.status in (200, 206, 416):
        return
    host = host_of(answer.url)
    if answer.status >= 500 or answer.status in _PASSING:
        sentence = f"{name}: {host} cannot answer now ({answer.status}); try again later."
        raise Interrupted(sentence, answer.pause)
    raise DownloadError(refusal(name, answer))


def refusal(name: str, answer: Answer) -> str:
    """The sentence for an answer that comes without the file.

    :param name: of the download.
    """
    host, page = host_of(answer.url), shown(answer.url)
    if answer.status == 401:
        return (
            f"{name}: {host} asks for a user name and password; add an authentication for it in "
            "QGIS under Settings > Options > Authentication, or download the file in a browser."
        )
    if answer.status == 403:
        return (
            f"{name}: {host} does not hand out this file to everybody (403); open its web site in "
            "a browser, where you may have to log in or to accept a licence, and use the file that "
            "you get there."
        )
    if answer.status in (404, 410):
        return (
            f"{name}: there is no file at {page} any more ({answer.status}); look for it on that "
            "web site and use the file that you get there, or look for a newer version of Furrow."
        )
    if answer.status == 407:
        return proxy_wants_password(name)
    return (
        f"{name}: {host} does not hand out {page} (its answer is {answer.status}); try again later "
        "or download the file in a browser."
    )


def proxy_wants_password(name: str) -> str:
    """The sentence for a proxy that does not let us through.

    :param name: of the download.
    """
    return (
        f"{name}: the proxy asks for a user name and password; enter them in QGIS under Settings > "
        "Options > Network, then try again."
    )
