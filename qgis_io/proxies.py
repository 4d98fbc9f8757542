"""The proxy that is set in QGIS, told to programs that go to the network by themselves."""

from __future__ import annotations

from typing import Dict, Iterable
from urllib.parse import quote, urlsplit

from qgis.core import QgsNetworkAccessManager
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtNetwork import QNetworkProxy, QNetworkProxyQuery

from ..core.monitor import SILENT
from .own_thread import in_own_thread
from .wrapped import Living

_Kind = QNetworkProxy.ProxyType
_SCHEMES = {
    _Kind.HttpProxy: "http",
    _Kind.HttpCachingProxy: "http",
    _Kind.Socks5Proxy: "socks5h",
}


def proxy_variables(address: str) -> Dict[str, str]:
    """Environment variables that lead a program the way that QGIS goes. For background threads.

    :param address: of the web; QGIS may have different ways for different ones.
    :return: names and values, with the password where QGIS has one; empty: QGIS has no proxy, so
        what the program finds by itself is as good.
    """
    return in_own_thread(lambda _: _variables(address), SILENT)


def _variables(address: str) -> Dict[str, str]:
    manager = Living(QgsNetworkAccessManager.instance)
    without = manager(lambda it: (*it.excludeList(), *it.noProxyList()))
    spared = {_host(each) for each in without}
    query = QNetworkProxyQuery(QUrl(address))
    answers = manager(lambda it: it.proxyFactory().queryProxy(query))
    proxy = next((each for each in answers if each.type() in _SCHEMES), None)
    if proxy is None:
        # Those that do without it in QGIS do without what the system says too.
        direct = any(each.type() == _Kind.NoProxy for each in answers)
        return {"no_proxy": _joined({*spared, _host(address)})} if direct and spared else {}
    url = _address(proxy)
    found = {name: url for name in ("http_proxy", "https_proxy")}
    return {**found, "no_proxy": _joined(spared)}


def _address(proxy: QNetworkProxy) -> str:
    login = ""
    if proxy.user():
        login = f"{quote(proxy.user(), safe='')}:{quote(proxy.password(), safe='')}@"
    return f"{_SCHEMES[proxy.type()]}://{login}{proxy.hostName()}:{proxy.port()}"


def _host(address: str) -> str:
    """Of an address, which may be written without https://."""
    return urlsplit(address if "//" in address else f"//{address}").hostname or ""


def _joined(hosts: Iterable[str]) -> str:
    return ",".join(sorted(filter(None, hosts)))
