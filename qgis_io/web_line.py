"""Files of the web through QGIS' network manager: its proxy, its authentication, its certificates.

Past QGIS' cache, which is for small things that are asked for often.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Dict, Iterator, Optional, Protocol, Union

from qgis.core import QgsApplication, QgsNetworkAccessManager
from qgis.PyQt.QtCore import QEventLoop, Qt, QTimer, QUrl
from qgis.PyQt.QtNetwork import QNetworkReply, QNetworkRequest

from ..core.downloads import CHUNK_BYTES, Step
from ..core.errors import DownloadError
from ..core.monitor import Monitor
from ..core.web_answers import (
    Answer,
    Attempts,
    Interrupted,
    Patience,
    check_status,
    host_of,
    proxy_wants_password,
    redirection,
    same_server,
)
from .wrapped import Living

_MOST_REDIRECTIONS = 10
_POLL_MILLISECONDS = 100
"""How often a waiting thread looks whether the user has cancelled."""
_BUFFER_BYTES = 4 * CHUNK_BYTES
"""What Qt holds of an answer: where the disk is slower than the network, the network waits."""
_Attribute = QNetworkRequest.Attribute
_Error = QNetworkReply.NetworkError
_PROXY_ERRORS = (
    _Error.ProxyConnectionRefusedError,
    _Error.ProxyConnectionClosedError,
    _Error.ProxyNotFoundError,
    _Error.ProxyTimeoutError,
    _Error.UnknownProxyError,
)
_UNREACHABLE = (_Error.HostNotFoundError, _Error.ConnectionRefusedError)


class Receiver(Protocol):
    """Takes the bytes of an answer."""

    name: str
    """What to call the file in messages."""
    received: int
    """Bytes that are here."""
    total: Optional[int]
    """Bytes of the whole file; None while they are unknown."""
    complete: bool
    """Whether all are known to be here."""

    def request_headers(self) -> Dict[str, str]:
        """What to tell the server with the next request."""

    def begin(self, answer: Answer) -> Step:
        """Make ready for an answer with status 200, 206 or 416.

        :raises DownloadError: it is not what is wanted.
        """

    def write(self, chunk: bytes) -> None:
        """Keep bytes that follow those that are here.

        :raises DownloadError: there are too many.
        """


def tell(receiver: Receiver, monitor: Monitor) -> None:
    """Tell how much has arrived, where it is known how much there is."""
    if receiver.total:
        monitor.progress(min(1.0, receiver.received / receiver.total))


class WebLine:
    """The network manager of this thread, asked for one file; for a `with` statement."""

    def __init__(self, name: str, monitor: Monitor, authcfg: str, patience: Patience) -> None:
        self._name, self._monitor = name, monitor
        self._authcfg, self._patience = authcfg, patience
        self._manager = Living(QgsNetworkAccessManager.instance)
        self._loop = QEventLoop()
        self._tick = QTimer()
        self._tick.timeout.connect(self._loop.quit)

    def __enter__(self) -> WebLine:
        self._tick.start(_POLL_MILLISECONDS)
        return self

    def __exit__(self, *error: object) -> None:
        # An error may carry this object into another thread, where no timer can be stopped.
        self._tick.stop()

    def receive(self, url: str, receiver: Receiver) -> None:
        """All bytes of an address, in as many attempts as it takes.

        :raises DownloadError: they cannot be had, or are not what is wanted.
        :raises Cancelled:
        """
        attempts = Attempts(self._patience, receiver.received)
        while True:
            try:
                if self._attempt(url, receiver) is not Step.AGAIN:
                    return
            except Interrupted as trouble:
                wait = attempts.wait_after(trouble, receiver.received)
                self._monitor.message(f"{trouble} Next attempt in {wait:.0f} s.")
                self._sleep(wait)

    def _attempt(self, url: str, receiver: Receiver) -> Step:
        here = url
        for _ in range(_MOST_REDIRECTIONS):
            authcfg = self._authcfg if same_server(url, here) else ""
            with self._asked(here, receiver.request_headers(), authcfg) as reply:
                answer = self._head(reply, here)
                onward = redirection(self._name, answer)
                if onward is None:
                    return self._take(reply, answer, receiver)
                here = onward
        raise DownloadError(
            f"{self._name}: {host_of(url)} sends us in a circle; download the file in a browser "
            "and use it from there."
        )

    @contextmanager
    def _asked(
        self, url: str, headers: Dict[str, str], authcfg: str
    ) -> Iterator[Living[QNetworkReply]]:
        request = _request(self._name, url, headers, authcfg)
        self._manager(lambda it: it.get(request))
        reply = Living(self._newest_reply)
        if authcfg:
            manager = QgsApplication.authManager()
            reply(lambda it: manager.updateNetworkReply(it, authcfg))
        reply(self._listen_to)
        try:
            yield reply
        finally:
            reply(lambda it: it.abort())
            reply(lambda it: it.deleteLater())

    def _listen_to(self, reply: QNetworkReply) -> None:
        reply.setReadBufferSize(_BUFFER_BYTES)
        for signal in (reply.metaDataChanged, reply.readyRead, reply.finished):
            signal.connect(self._loop.quit)

    def _newest_reply(self) -> QNetworkReply:
        own = Qt.FindChildOption.FindDirectChildrenOnly
        return self._manager(lambda it: it.findChildren(QNetworkReply, options=own))[-1]

    def _head(self, reply: Living[QNetworkReply], url: str) -> Answer:
        """Wait for the head of the answer."""
        since = time.monotonic()
        while True:
            status = reply(lambda it: it.attribute(_Attribute.HttpStatusCodeAttribute))
            if status is not None:
                pairs = reply(lambda it: it.rawHeaderPairs())
                headers = {
                    bytes(name).decode("latin-1").lower(): bytes(value).decode("latin-1")
                    for name, value in pairs
                }
                return Answer(url, int(status), headers)
            if reply(lambda it: it.isFinished()):
                raise _trouble(self._name, url, reply)
            self._wait(url, since)

    def _take(self, reply: Living[QNetworkReply], answer: Answer, receiver: Receiver) -> Step:
        """Hand over the bytes of an answer."""
        check_status(self._name, answer)
        step = receiver.begin(answer)
        if step is not Step.READ:
            return step
        for chunk in self._chunks(reply, answer.url):
            receiver.write(chunk)
            tell(receiver, self._monitor)
        if receiver.total is not None and receiver.received < receiver.total:
            raise Interrupted(_broken(self._name, answer.url, "it ended early"))
        return step

    def _chunks(self, reply: Living[QNetworkReply], url: str) -> Iterator[bytes]:
        since = time.monotonic()
        while True:
            self._monitor.check()
            chunk = reply(lambda it: it.read(CHUNK_BYTES))
            if chunk:
                yield bytes(chunk)
                since = time.monotonic()
            elif not reply(lambda it: it.isFinished()):
                self._wait(url, since)
            elif reply(lambda it: it.error()) != _Error.NoError:
                raise _trouble(self._name, url, reply)
            else:
                return

    def _wait(self, url: str, since: float) -> None:
        """Until something happens to the answer, or for a moment."""
        self._monitor.check()
        if time.monotonic() - since > self._patience.stall_seconds:
            raise Interrupted(_stalled(self._name, url))
        self._loop.exec()

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._monitor.check()
            self._loop.exec()


def _request(name: str, url: str, headers: Dict[str, str], authcfg: str) -> QNetworkRequest:
    request = QNetworkRequest(QUrl(url))
    for attribute, value in (
        (_Attribute.RedirectPolicyAttribute, QNetworkRequest.RedirectPolicy.ManualRedirectPolicy),
        (_Attribute.CacheLoadControlAttribute, QNetworkRequest.CacheLoadControl.AlwaysNetwork),
        (_Attribute.CacheSaveControlAttribute, False),
    ):
        request.setAttribute(attribute, int(getattr(value, "value", value)))
    # Places and sizes are those of the file, so it must not be packed on its way.
    for header, text in {"Accept-Encoding": "identity", **headers}.items():
        request.setRawHeader(header.encode("ascii"), text.encode("latin-1"))
    if not authcfg:
        return request
    done, request = QgsApplication.authManager().updateNetworkRequest(request, authcfg)
    if not done:
        raise DownloadError(
            f"{name}: the authentication {authcfg} cannot be used; check it in QGIS under Settings "
            "> Options > Authentication."
        )
    return request


def _trouble(
    name: str, url: str, reply: Living[QNetworkReply]
) -> Union[DownloadError, Interrupted]:
    """What to make of an answer that did not come, or not to its end."""
    error, detail = reply(lambda it: (it.error(), it.errorString()))
    host = host_of(url)
    if error == _Error.ProxyAuthenticationRequiredError:
        return DownloadError(proxy_wants_password(name))
    if error == _Error.SslHandshakeFailedError:
        return DownloadError(
            f"{name}: this computer does not trust the certificate of {host} ({detail}); check its "
            "date and time or, where a proxy opens safe connections, add the certificate of that "
            "proxy in QGIS under Settings > Options > Authentication."
        )
    if error in _PROXY_ERRORS:
        sentence = (
            f"{name}: the proxy cannot be reached ({detail}); check it in QGIS under Settings > "
            "Options > Network."
        )
        return Interrupted(sentence, connected=False)
    if error in _UNREACHABLE:
        sentence = (
            f"{name}: {host} cannot be reached ({detail}); check the connection to the internet "
            "and, where the network needs one, the proxy in QGIS under Settings > Options > "
            "Network."
        )
        return Interrupted(sentence, connected=False)
    # QGIS ends what takes longer than its own setting.
    if error == _Error.OperationCanceledError:
        return Interrupted(_stalled(name, url))
    return Interrupted(_broken(name, url, detail))


def _stalled(name: str, url: str) -> str:
    return (
        f"{name}: nothing comes from {host_of(url)} any more; check the connection to the "
        "internet and try again."
    )


def _broken(name: str, url: str, detail: str) -> str:
    return (
        f"{name}: the connection to {host_of(url)} breaks off ({detail}); check the connection to "
        "the internet and try again."
    )
