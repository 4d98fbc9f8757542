"""The proxy of QGIS' settings, as pip is told of it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, Iterator

import pytest
from qgis.core import QgsSettings

from furrow.qgis_io.proxies import proxy_variables
from furrow.tests.file_server import FileServer

INDEX = "https://packages.example/simple"


@pytest.fixture(autouse=True)
def settings(qgis_app: Any) -> Iterator[QgsSettings]:
    """Settings of the test profile, as they were afterwards."""
    changed = QgsSettings()
    before = {key: changed.value(key) for key in changed.allKeys() if key.startswith("proxy/")}
    changed.remove("proxy")
    yield changed
    changed.remove("proxy")
    for key, value in before.items():
        changed.setValue(key, value)


def use(settings: QgsSettings, **values: object) -> None:
    usual = {"proxyEnabled": True, "proxyType": "HttpProxy", "proxyHost": "proxy.example",
             "proxyPort": "3128"}  # fmt: skip
    for key, value in {**usual, **values}.items():
        settings.setValue(f"proxy/{key}", value)


def test_without_a_proxy_nothing_is_told() -> None:
    assert proxy_variables(INDEX) == {}


def test_a_proxy(settings: QgsSettings) -> None:
    use(settings)
    url = "http://proxy.example:3128"
    assert proxy_variables(INDEX) == {"http_proxy": url, "https_proxy": url, "no_proxy": ""}
    settings.remove("proxy")
    assert proxy_variables(INDEX) == {}, "a change counts at once"


def test_name_and_password_with_signs_of_their_own(settings: QgsSettings) -> None:
    use(settings, proxyUser="mü@ler", proxyPassword="a b/c:d")
    told = proxy_variables(INDEX)["https_proxy"]
    assert told == "http://m%C3%BC%40ler:a%20b%2Fc%3Ad@proxy.example:3128"


def test_socks(settings: QgsSettings) -> None:
    use(settings, proxyType="Socks5Proxy")
    assert proxy_variables(INDEX)["https_proxy"] == "socks5h://proxy.example:3128"


def test_hosts_that_do_without(settings: QgsSettings) -> None:
    use(settings, noProxyUrls=["https://mirror.example/a", "http://other.example:8080"])
    assert proxy_variables(INDEX)["no_proxy"] == "mirror.example,other.example"
    direct = proxy_variables("https://mirror.example/a/simple")
    assert direct == {"no_proxy": "mirror.example,other.example"}


def test_a_program_takes_that_way(settings: QgsSettings) -> None:
    """With a name and a password."""
    with FileServer() as server, FileServer(server, proxy_login=("mü", "a b")) as proxy:
        path = server.put("page", b"found")[len(server.address) - len(server.root) :]
        use(settings, proxyHost="127.0.0.1", proxyPort=str(proxy.port), proxyUser="mü",
            proxyPassword="a b")  # fmt: skip
        code = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())"
        answer = subprocess.run(
            [sys.executable, "-c", code, f"http://furrow.invalid{path}"],
            env={**os.environ, **proxy_variables(INDEX)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert answer.stdout.strip() == "found", answer.stderr
