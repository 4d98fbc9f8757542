"""A real web server on this computer, as good and as bad as those of the world.

    with FileServer() as server:
        url = server.put("model.onnx", content)                       # ranges, ETag, right lengths
        url = server.put("model.onnx", content, Manner(break_after=1000), Manner())
        ...
        server.requests[0].headers["range"]

Each server has a path of its own, so that no cache takes a file of an earlier one for one of this.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
import socket
import struct
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Dict, List, Mapping, Optional, Tuple
from urllib.parse import quote, unquote, urlsplit

_PIECE = 2**16
_LONGEST_STALL = 120.0
_RANGE = re.compile(r"bytes=(\d+)-$")


@dataclass(frozen=True)
class Manner:
    """How one request is answered. The usual one is that of a good server."""

    status: int = 200
    """Others come with a page of a few words instead of the file."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Besides, or instead of, the usual ones; an empty text: without it."""
    kind: str = "application/octet-stream"
    """Of the content."""
    ranges: bool = True
    """Whether parts may be asked for."""
    etag: Optional[str] = None
    """With its quotes; None: made from the content; empty: none."""
    length: Optional[int] = None
    """What is told, where it is not the real one."""
    ends_with_connection: bool = False
    """The length is not told at all."""
    delay: float = 0.0
    """Seconds before the head."""
    pace: float = 0.0
    """Bytes a second; 0: as fast as it goes."""
    stall_after: Optional[int] = None
    """Bytes of an answer after which nothing more comes; -1: not even the head."""
    break_after: Optional[int] = None
    """Bytes of an answer after which the connection is closed; -1: not even the head."""
    reset: bool = False
    """A connection that is closed early ends as if the computer had gone."""
    login: Tuple[str, str] = ("", "")
    """User name and password that it takes; empty: none."""


@dataclass(frozen=True)
class Request:
    """What a server was asked."""

    path: str
    """After the server's own; the whole address where it was asked as a proxy."""
    headers: Mapping[str, str]
    """By name in lower case."""


@dataclass
class _File:
    content: bytes
    manners: Tuple[Manner, ...]
    asked: int = 0

    def next_manner(self) -> Manner:
        self.asked += 1
        return self.manners[min(self.asked, len(self.manners)) - 1]


class FileServer:
    """Files by name; started with `with`, or with start() and stop()."""

    def __init__(
        self, behind: Optional[FileServer] = None, proxy_login: Tuple[str, str] = ("", "")
    ) -> None:
        """Prepare a server.

        :param behind: makes this one a proxy, which finds all hosts of the world there.
        :param proxy_login: user name and password that the proxy wants; empty: none.
        """
        self.root = f"/{uuid.uuid4().hex}"
        self.requests: List[Request] = []
        self.free = threading.Event()
        """Ends all stalls."""
        self._behind, self._proxy_login = behind, proxy_login
        self._files: Dict[str, _File] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def address(self) -> str:
        """Without a slash at its end."""
        return f"http://127.0.0.1:{self.port}{self.root}"

    def __enter__(self) -> FileServer:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> FileServer:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        self.free.set()
        self._server.shutdown()
        self._server.server_close()

    def put(self, name: str, content: bytes = b"", *manners: Manner) -> str:
        """Have a file; replaces one of the same name.

        :param manners: of the first request, the second and so on; the last one is that of all
            further ones.
        :returns: its address.
        """
        self._files[name] = _File(content, manners or (Manner(),))
        return f"{self.address}/{quote(name)}"

    def redirect(self, name: str, to: str, status: int = 302) -> str:
        """Have an address that sends on to another one."""
        return self.put(name, b"", Manner(status, {"Location": to}))

    def asked(self, name: str) -> List[Request]:
        """The requests for one file."""
        return [each for each in self.requests if each.path == name]

    def _handler(self) -> type:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                try:
                    server.answer(self)
                except (ConnectionError, TimeoutError):
                    self.close_connection = True

            def do_HEAD(self) -> None:
                self.do_GET()

            def log_message(self, *args: object) -> None:
                pass

        return Handler

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request, as itself or as a proxy."""
        headers = {name.lower(): value for name, value in handler.headers.items()}
        as_proxy = not handler.path.startswith("/")
        own = urlsplit(handler.path).path
        name = handler.path if as_proxy else unquote(own[len(self.root) + 1 :])
        with self._lock:
            self.requests.append(Request(name, headers))
            file = None if as_proxy or not own.startswith(self.root) else self._files.get(name)
            manner = file.next_manner() if file else Manner(404)
        if as_proxy:
            self._forward(handler, headers)
        else:
            _Answering(handler, headers, self.free).give(file.content if file else b"", manner)

    def _forward(self, handler: BaseHTTPRequestHandler, headers: Dict[str, str]) -> None:
        if any(self._proxy_login) and headers.get("proxy-authorization") != _basic(
            self._proxy_login
        ):
            manner = Manner(407, {"Proxy-Authenticate": 'Basic realm="test proxy"'})
            _Answering(handler, headers, self.free).give(b"", manner)
            return
        if self._behind is None:
            _Answering(handler, headers, self.free).give(b"", Manner(502))
            return
        connection = http.client.HTTPConnection("127.0.0.1", self._behind.port, timeout=30)
        passed = {name: value for name, value in headers.items() if not name.startswith("proxy-")}
        connection.request(handler.command, urlsplit(handler.path).path, headers=passed)
        answer = connection.getresponse()
        content = answer.read()
        handler.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)
        connection.close()


class _Answering:
    """One answer, given in some manner."""

    def __init__(
        self, handler: BaseHTTPRequestHandler, asked: Mapping[str, str], free: threading.Event
    ) -> None:
        self._handler, self._asked, self._free = handler, asked, free

    def give(self, content: bytes, manner: Manner) -> None:
        self._free.wait(manner.delay) if manner.delay else None
        if any(manner.login) and self._asked.get("authorization") != _basic(manner.login):
            manner = Manner(401, {"WWW-Authenticate": 'Basic realm="test"'})
        if manner.status != 200:
            self._page(manner)
            return
        status, start, headers = self._head(content, manner)
        if self._stopped(manner, -1):
            return
        self._handler.send_response(status)
        for name, value in headers.items():
            if value:
                self._handler.send_header(name, value)
        self._handler.end_headers()
        if self._handler.command == "GET" and status != 416:
            self._body(content[start:], manner)

    def _page(self, manner: Manner) -> None:
        page = f"<html>status {manner.status}</html>".encode()
        self._handler.send_response(manner.status)
        usual = {"Content-Type": "text/html", "Content-Length": str(len(page))}
        for name, value in {**usual, **manner.headers}.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()
        if self._handler.command == "GET":
            self._handler.wfile.write(page)

    def _head(self, content: bytes, manner: Manner) -> Tuple[int, int, Dict[str, str]]:
        """Status, first byte, headers."""
        etag = f'"{hashlib.md5(content).hexdigest()}"' if manner.etag is None else manner.etag
        start = self._start(manner, etag)
        length = len(content) - (start or 0) if manner.length is None else manner.length
        headers = {"Content-Type": manner.kind, "ETag": etag, "Content-Length": str(length)}
        if manner.ends_with_connection:
            headers.update({"Content-Length": "", "Connection": "close"})
        status = 200 if start is None else 206
        if start is not None and start >= len(content):
            status = 416
            headers.update({"Content-Length": "0", "Content-Range": f"bytes */{len(content)}"})
        elif start is not None:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return status, start or 0, {**headers, **manner.headers}

    def _start(self, manner: Manner, etag: str) -> Optional[int]:
        """The first byte that was asked for; None: the whole file is to be sent."""
        wanted = _RANGE.match(self._asked.get("range", ""))
        same = self._asked.get("if-range") in (None, etag, manner.headers.get("Last-Modified"))
        return int(wanted[1]) if wanted and manner.ranges and same else None

    def _body(self, content: bytes, manner: Manner) -> None:
        stops = [len(content), manner.stall_after, manner.break_after]
        end = min(stop for stop in stops if stop is not None)
        for start in range(0, end, _PIECE):
            piece = content[start : min(start + _PIECE, end)]
            self._handler.wfile.write(piece)
            self._handler.wfile.flush()
            if manner.pace:
                self._free.wait(len(piece) / manner.pace)
        told = len(content) if manner.length is None else manner.length
        if not self._stopped(manner, end) and (told != len(content) or manner.ends_with_connection):
            self._handler.close_connection = True

    def _stopped(self, manner: Manner, sent: int) -> bool:
        """Stall or break, if it is time for that."""
        if manner.stall_after == sent:
            self._free.wait(_LONGEST_STALL)
        elif manner.break_after != sent:
            return False
        if manner.reset:
            linger = struct.pack("ii", 1, 0)
            self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        # The reader's copy of the socket would keep the connection alive.
        self._handler.connection.shutdown(socket.SHUT_RD if manner.reset else socket.SHUT_RDWR)
        self._handler.close_connection = True
        return True


def _basic(login: Tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(login).encode()).decode("ascii")


def wait_until(condition: object, seconds: float = 20.0) -> bool:
    """Whether something becomes true in time."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(condition())
