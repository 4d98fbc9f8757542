"""Downloads through QGIS' network manager, from real servers on this computer."""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from qgis.core import QgsApplication, QgsNetworkAccessManager, QgsSettings, QgsTask
from qgis.PyQt.QtCore import QCoreApplication

from furrow.core.downloads import Download, notes_of, part_of
from furrow.core.errors import Cancelled, DownloadError
from furrow.core.monitor import Monitor
from furrow.core.web_answers import Patience
from furrow.qgis_io.downloads import fetch, read_text
from furrow.tests.file_server import FileServer, Manner, wait_until

pytestmark = pytest.mark.usefixtures("qgis_app")

CONTENT = hashlib.shake_256(b"furrow").digest(300_000)
SHA = hashlib.sha256(CONTENT).hexdigest()
QUICK = Patience(stall_seconds=0.6, waits=(0.05, 0.1))
PAGE = b"<html>Welcome to our hotel</html>"


@pytest.fixture
def server():
    with FileServer() as running:
        yield running


@pytest.fixture
def settings():
    """Settings of the test profile, as they were afterwards."""
    changed = QgsSettings()
    before = {key: changed.value(key) for key in changed.allKeys() if key.startswith("proxy/")}
    yield changed
    changed.remove("proxy")
    for key, value in before.items():
        changed.setValue(key, value)


def download(url: str, folder: Path, **changes: object) -> Download:
    given = {"bytes": len(CONTENT), "sha256": SHA, "title": "Model", **changes}
    return Download(url, folder / "models" / "model.bin", **given)


def left(wanted: Download) -> list:
    folder = wanted.target.parent
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


class Task(QgsTask):
    """A call in a task, as the dialogs make it."""

    def __init__(self, work):
        super().__init__("test", QgsTask.Flag.CanCancel)
        self.work, self.result, self.error = work, None, None
        self.done = threading.Event()

    def run(self):
        try:
            self.result = self.work(Monitor(cancelled=self.isCanceled))
        except (DownloadError, Cancelled) as error:
            self.error = error
        self.done.set()
        return self.error is None


def in_tasks(*works):
    """Results of calls, while the main thread is free for QGIS' questions."""
    tasks = [Task(work) for work in works]
    for task in tasks:
        QgsApplication.taskManager().addTask(task)
    end = time.monotonic() + 60
    while QgsApplication.taskManager().countActiveTasks() and time.monotonic() < end:
        QCoreApplication.processEvents()
        time.sleep(0.005)
    # QGIS has deleted its half of the tasks.
    assert all(task.done.is_set() for task in tasks)
    return tasks


# The usual


def test_a_file_arrives(server, tmp_path):
    shares = []
    wanted = download(server.put("a.bin", CONTENT, Manner(pace=1e6)), tmp_path)
    owner = threading.get_ident()
    monitor = Monitor(progress=lambda share: shares.append((share, threading.get_ident())))
    assert fetch(wanted, monitor) == wanted.target
    assert wanted.target.read_bytes() == CONTENT
    assert left(wanted) == ["model.bin"]
    assert [share for share, _ in shares] == sorted(share for share, _ in shares)
    assert shares[-1][0] == 1.0 and {thread for _, thread in shares} == {owner}


@pytest.mark.parametrize("name", ["with space.bin", "Åkre æ%20.bin", "a;b&c=d.bin"])
def test_addresses_may_hold_any_letter(server, tmp_path, name):
    fetch(download(server.put(name, CONTENT), tmp_path / "Bjørns mappe (ü)"))


@pytest.mark.parametrize(
    "manner",
    [Manner(ends_with_connection=True), Manner(etag=""), Manner(headers={"ETag": 'W/"weak"'}),
     Manner(ranges=False), Manner(delay=0.3), Manner(headers={"Content-Encoding": "gzip"})],
)  # fmt: skip
@pytest.mark.parametrize("known", [{}, {"bytes": 0}, {"sha256": ""}, {"bytes": 0, "sha256": ""}])
def test_servers_may_tell_little(server, tmp_path, manner, known):
    wanted = download(server.put("a.bin", CONTENT, manner), tmp_path, **known)
    assert fetch(wanted, patience=QUICK).read_bytes() == CONTENT
    assert left(wanted) == ["model.bin"]


def test_a_file_without_bytes_arrives(server, tmp_path):
    wanted = Download(server.put("a.bin", b""), tmp_path / "a.bin")
    assert fetch(wanted).read_bytes() == b""


def test_nothing_comes_from_the_cache_or_goes_there(server, tmp_path):
    url = server.put("a.bin", b"first", Manner(headers={"Cache-Control": "max-age=3600"}))
    assert fetch(Download(url, tmp_path / "one")).read_bytes() == b"first"
    assert read_text(url) == "first"
    assert QgsNetworkAccessManager.instance().cache().metaData(_url(url)).isValid() is False
    server.put("a.bin", b"second", Manner(headers={"Cache-Control": "max-age=3600"}))
    assert fetch(Download(url, tmp_path / "two")).read_bytes() == b"second"
    assert read_text(url) == "second"


def _url(text):
    from qgis.PyQt.QtCore import QUrl

    return QUrl(text)


def test_large_files_do_not_stay_in_memory(tmp_path):
    """Where bytes are taken more slowly than they come, the network waits."""
    size = 160 * 2**20
    with FileServer() as server:
        url = server.put("a.bin", bytes(size))
        before = _memory()
        most = []
        wanted = Download(url, tmp_path / "a.bin", size)

        def slow() -> bool:
            time.sleep(0.005)
            return False

        fetch(wanted, Monitor(slow, lambda share: most.append(_memory())))
        assert max(most) - before < 60 * 2**20
    wanted.target.unlink()


def _memory():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


# Redirections


def test_redirections_are_followed(server, tmp_path):
    with FileServer() as other:
        end = other.put("a.bin", CONTENT)
        middle = server.redirect("b", end, 307)
        wanted = download(
            server.redirect("c", middle.replace(server.address, server.root)), tmp_path
        )
        fetch(wanted)
        assert len(other.requests) == 1
    assert wanted.target.read_bytes() == CONTENT


def test_a_circle_is_left(server, tmp_path):
    wanted = download(server.redirect("a", f"{server.address}/a"), tmp_path)
    with pytest.raises(DownloadError, match="sends us in a circle"):
        fetch(wanted)
    assert left(wanted) == []


@pytest.mark.parametrize("to", ["file:///etc/hostname", "ftp://127.0.0.1/a", "data:text/plain,a"])
def test_redirections_stay_in_the_web(server, tmp_path, to):
    with pytest.raises(DownloadError, match="not a safe connection"):
        fetch(download(server.redirect("a", to), tmp_path))


# Errors


@pytest.mark.parametrize(
    ("status", "match", "asked"),
    [
        (403, "accept a licence", 1),
        (404, "no file at", 1),
        (410, "no file at", 1),
        (418, "its answer is 418", 1),
        (429, "try again later", 3),
        (500, "try again later", 3),
        (503, "try again later", 3),
    ],
)
def test_errors_of_servers_are_sentences(server, tmp_path, status, match, asked):
    wanted = download(server.put("a.bin", CONTENT, Manner(status)) + "?key=secret", tmp_path)
    with pytest.raises(DownloadError, match=match) as told:
        fetch(wanted, patience=QUICK)
    assert "secret" not in str(told.value) and str(told.value).startswith("Model: ")
    assert len(server.requests) == asked
    assert left(wanted) == []


def test_servers_that_were_busy_are_asked_again(server, tmp_path):
    said = []
    busy = Manner(503, {"Retry-After": "1"})
    wanted = download(server.put("a.bin", CONTENT, Manner(500), busy, Manner()), tmp_path)
    started = time.monotonic()
    fetch(wanted, Monitor(message=said.append), patience=QUICK)
    assert time.monotonic() - started > 1.0
    assert len(said) == 2 and "Next attempt" in said[0]


def test_a_password_that_nobody_has_is_asked_for(server, tmp_path):
    wanted = download(server.put("a.bin", CONTENT, Manner(login=("me", "word"))), tmp_path)
    (task,) = in_tasks(lambda monitor: fetch(wanted, monitor))
    assert "add an authentication" in str(task.error)


def test_hosts_that_do_not_exist_are_said_at_once(tmp_path):
    started = time.monotonic()
    with pytest.raises(DownloadError, match=r"furrow\.invalid cannot be reached"):
        fetch(download("http://furrow.invalid/a.bin", tmp_path))
    with FileServer() as server:
        url = server.put("a.bin", CONTENT)
    with pytest.raises(DownloadError, match="cannot be reached"):
        fetch(download(url, tmp_path))
    assert time.monotonic() - started < 8.0


@pytest.mark.parametrize("url", ["ftp://example.org/a", "nonsense://a", "", "https://"])
def test_other_addresses_are_refused(tmp_path, url):
    with pytest.raises(DownloadError, match="is no address of a file"):
        fetch(download(url, tmp_path))


def test_certificates_are_checked(tmp_path):
    """A server that has signed for itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, paper = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", paper,
         "-days", "2", "-subj", "/CN=127.0.0.1"], check=True, capture_output=True,
    )  # fmt: skip
    running = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paper, key)
    running.socket = context.wrap_socket(running.socket, server_side=True)
    running.daemon_threads = True
    threading.Thread(target=running.serve_forever, daemon=True).start()
    wanted = download(f"https://127.0.0.1:{running.server_port}/a.bin", tmp_path)
    try:
        (task,) = in_tasks(lambda monitor: fetch(wanted, monitor, patience=QUICK))
    finally:
        running.shutdown()
        running.server_close()
    assert "does not trust the certificate" in str(task.error)


# Wrong files


@pytest.mark.parametrize("known", [{}, {"bytes": 0}, {"sha256": ""}])
def test_a_login_page_of_the_network_is_not_the_file(server, tmp_path, known):
    url = server.put("a.bin", PAGE, Manner(kind="text/html; charset=utf-8"))
    wanted = download(url, tmp_path, **known)
    with pytest.raises(DownloadError, match="is a web page and not the file"):
        fetch(wanted)
    assert left(wanted) == []


def test_a_login_page_does_not_cost_what_has_arrived(server, tmp_path):
    url = server.put("a.bin", CONTENT, Manner(break_after=100_000), Manner(404))
    wanted = download(url, tmp_path)
    with pytest.raises(DownloadError):
        fetch(wanted, patience=QUICK)
    server.put("a.bin", PAGE, Manner(kind="text/html"))
    with pytest.raises(DownloadError, match="web page"):
        fetch(wanted)
    assert part_of(wanted.target).stat().st_size == 100_000
    server.put("a.bin", CONTENT)
    fetch(wanted)
    assert server.requests[-1].headers["range"] == "bytes=100000-"


@pytest.mark.parametrize(
    ("content", "manner", "known", "match"),
    [
        (CONTENT[:-1], Manner(), {}, "has 299999 bytes, not 300000"),
        (CONTENT + b"1", Manner(), {}, "has 300001 bytes, not 300000"),
        (CONTENT + b"1", Manner(ends_with_connection=True), {}, "has more than 300000 bytes"),
        (CONTENT[::-1], Manner(), {}, "SHA-256 differs"),
        (CONTENT[::-1], Manner(ends_with_connection=True), {"bytes": 0}, "SHA-256 differs"),
        (CONTENT[:-1], Manner(ends_with_connection=True), {"bytes": 0}, "SHA-256 differs"),
    ],
)
def test_a_wrong_file_leaves_the_old_one(server, tmp_path, content, manner, known, match):
    wanted = download(server.put("a.bin", content, manner), tmp_path, **known)
    wanted.target.parent.mkdir()
    wanted.target.write_bytes(b"the old one")
    with pytest.raises(DownloadError, match=match):
        fetch(wanted, patience=QUICK)
    assert wanted.target.read_bytes() == b"the old one"
    assert left(wanted) == ["model.bin"]


# Breaks, stalls, resuming


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("known", [{}, {"bytes": 0}, {"bytes": 0, "sha256": ""}])
def test_a_download_goes_on_where_it_broke_off(server, tmp_path, reset, known):
    breaks = [Manner(break_after=90_000, reset=reset)] * 3
    wanted = download(server.put("a.bin", CONTENT, *breaks, Manner()), tmp_path, **known)
    assert fetch(wanted, patience=QUICK).read_bytes() == CONTENT
    places = [int(each.headers.get("range", "bytes=0-")[6:-1]) for each in server.requests]
    assert len(places) == 4 and places == sorted(places) and places[0] == 0
    if not reset:
        assert places == [0, 90_000, 180_000, 270_000]
    assert all("if-range" in each.headers for each in server.requests[1:])


def test_a_server_that_always_breaks_off_is_given_up(server, tmp_path):
    wanted = download(
        server.put("a.bin", CONTENT, Manner(break_after=50_000, ranges=False)), tmp_path
    )
    with pytest.raises(DownloadError, match="breaks off"):
        fetch(wanted, patience=QUICK)
    assert len(server.requests) == 3
    wanted = download(server.put("b.bin", CONTENT, Manner(break_after=-1)), tmp_path)
    with pytest.raises(DownloadError, match="breaks off"):
        fetch(wanted, patience=QUICK)
    assert left(wanted) == []


def test_a_file_that_ends_early_is_not_taken_for_whole(server, tmp_path):
    """The length is a promise."""
    manner = Manner(length=len(CONTENT) + 10)
    wanted = download(server.put("a.bin", CONTENT, manner), tmp_path, bytes=0, sha256="")
    with pytest.raises(DownloadError, match="breaks off"):
        fetch(wanted, patience=QUICK)
    assert not wanted.target.exists()
    manner = Manner(ends_with_connection=True, ranges=False)
    wanted = download(server.put("b.bin", CONTENT[:-1], manner), tmp_path, sha256="")
    with pytest.raises(DownloadError, match="it ended early"):
        fetch(wanted, patience=QUICK)


@pytest.mark.parametrize("after", [-1, 0, 120_000])
def test_a_stall_is_noticed_and_the_download_goes_on(server, tmp_path, after):
    url = server.put("a.bin", CONTENT, Manner(stall_after=after), Manner())
    started = time.monotonic()
    assert fetch(download(url, tmp_path), patience=QUICK).read_bytes() == CONTENT
    assert 0.6 < time.monotonic() - started < 5.0
    if after > 0:
        assert server.requests[-1].headers["range"] == f"bytes={after}-"


def test_a_server_that_stays_silent_is_given_up(server, tmp_path):
    silent = Manner(stall_after=120_000), Manner(stall_after=0)
    wanted = download(server.put("a.bin", CONTENT, *silent), tmp_path)
    with pytest.raises(DownloadError, match="nothing comes from 127.0.0.1.* any more"):
        fetch(wanted, patience=QUICK)
    assert part_of(wanted.target).stat().st_size == 120_000
    server.put("b.bin", CONTENT, Manner(stall_after=-1))
    with pytest.raises(DownloadError, match="nothing comes from"):
        fetch(download(f"{server.address}/b.bin", tmp_path), patience=QUICK)


def test_slow_is_not_stalled(server, tmp_path):
    patience = Patience(stall_seconds=0.5, waits=())
    url = server.put("a.bin", CONTENT, Manner(pace=200_000))
    assert fetch(download(url, tmp_path), patience=patience).exists()


@pytest.mark.parametrize("setting", [400])
def test_the_time_that_qgis_allows_is_respected(server, tmp_path, setting):
    before = QgsNetworkAccessManager.timeout()
    QgsNetworkAccessManager.setTimeout(setting)
    try:
        wanted = download(server.put("a.bin", CONTENT, Manner(stall_after=1000)), tmp_path)
        started = time.monotonic()
        with pytest.raises(DownloadError, match="nothing comes from"):
            fetch(wanted, patience=Patience(stall_seconds=20.0, waits=()))
        assert time.monotonic() - started < 5.0
    finally:
        QgsNetworkAccessManager.setTimeout(before)


def test_a_file_that_changed_is_not_mixed(server, tmp_path):
    url = server.put("a.bin", bytes(300_000), Manner(break_after=100_000), Manner(404))
    wanted = download(url, tmp_path)
    with pytest.raises(DownloadError):
        fetch(wanted, patience=QUICK)
    server.put("a.bin", CONTENT)
    assert fetch(wanted).read_bytes() == CONTENT
    assert server.requests[-1].headers["range"] == "bytes=100000-"


@pytest.mark.parametrize("manner", [Manner(etag=""), Manner(etag='"same"')])
def test_a_part_that_was_damaged_is_fetched_once_more(server, tmp_path, manner):
    """Bytes of an earlier attempt that only the SHA-256 shows to be wrong."""
    breaking = Manner(break_after=100_000, etag=manner.etag)
    wanted = download(server.put("a.bin", CONTENT, breaking, Manner(404)), tmp_path)
    with pytest.raises(DownloadError):
        fetch(wanted, patience=QUICK)
    with part_of(wanted.target).open("r+b") as file:
        file.write(b"damaged")
    server.put("a.bin", CONTENT, manner)
    assert fetch(wanted).read_bytes() == CONTENT
    assert "range" in server.requests[-2].headers and "range" not in server.requests[-1].headers


def test_a_part_that_is_whole_needs_no_network(server, tmp_path):
    wanted = download(server.put("a.bin", CONTENT), tmp_path)
    wanted.target.mkdir(parents=True)
    with pytest.raises(DownloadError, match="cannot be written"):
        fetch(wanted)
    wanted.target.rmdir()
    server.stop()
    assert fetch(wanted).read_bytes() == CONTENT


# Cancelling


@pytest.mark.parametrize(
    "manner",
    [Manner(stall_after=-1), Manner(stall_after=100_000), Manner(pace=100_000), Manner(delay=30),
     Manner(503, {"Retry-After": "20"})],
)  # fmt: skip
def test_cancelling_takes_less_than_a_second_and_keeps_what_is_here(server, tmp_path, manner):
    wanted = download(server.put("a.bin", CONTENT, manner), tmp_path)
    stop = time.monotonic() + 0.6
    with pytest.raises(Cancelled):
        fetch(wanted, Monitor(cancelled=lambda: time.monotonic() > stop))
    assert time.monotonic() - stop < 1.0
    assert not wanted.target.exists()
    server.put("a.bin", CONTENT)
    assert fetch(wanted).read_bytes() == CONTENT
    if manner.pace or manner.stall_after == 100_000:
        assert int(server.requests[-1].headers["range"][6:-1]) > 0


def test_an_error_of_the_listener_ends_the_download(server, tmp_path):
    def broken(share: float) -> None:
        raise KeyError("listener")

    url = server.put("a.bin", CONTENT, Manner(pace=200_000))
    before = threading.active_count()
    with pytest.raises(KeyError):
        fetch(download(url, tmp_path), Monitor(progress=broken))
    assert threading.active_count() <= before + 1


def test_two_do_not_write_one_file(server, tmp_path):
    """The first of them in a thread that Qt has not made."""
    url = server.put("a.bin", CONTENT, Manner(stall_after=100_000))
    wanted, arrived = download(url, tmp_path), []
    first = threading.Thread(target=lambda: arrived.append(fetch(wanted)))
    first.start()
    assert wait_until(lambda: notes_of(wanted.target).exists())
    with pytest.raises(DownloadError, match="is being downloaded already"):
        fetch(wanted)
    server.put("a.bin", CONTENT)
    server.free.set()
    first.join(30)
    assert arrived == [wanted.target]
    assert wanted.target.read_bytes() == CONTENT and left(wanted) == ["model.bin"]


# Files of this computer


@pytest.mark.parametrize("as_address", [str, lambda path: path.as_uri()])
def test_files_may_be_here_already(tmp_path, as_address):
    source = tmp_path / "USB stick ü" / "a.bin"
    source.parent.mkdir()
    source.write_bytes(CONTENT)
    shares = []
    wanted = download(as_address(source), tmp_path)
    fetch(wanted, Monitor(progress=shares.append))
    assert wanted.target.read_bytes() == CONTENT and shares[-1] == 1.0
    wanted = download(as_address(source), tmp_path, sha256="ab" * 32)
    with pytest.raises(DownloadError, match="SHA-256 differs"):
        fetch(wanted)
    with pytest.raises(DownloadError, match="bytes, not 5 as expected"):
        fetch(download(as_address(source), tmp_path, bytes=5))
    assert wanted.target.read_bytes() == CONTENT
    source.unlink()
    with pytest.raises(DownloadError, match="cannot be read"):
        fetch(wanted)


# Proxies, passwords, settings of QGIS


def use_proxy(settings: QgsSettings, proxy: FileServer, login: tuple = ("", "")) -> None:
    values = {"proxyEnabled": True, "proxyType": "HttpProxy", "proxyHost": "127.0.0.1",
              "proxyPort": str(proxy.port), "proxyUser": login[0],
              "proxyPassword": login[1]}  # fmt: skip
    for key, value in values.items():
        settings.setValue(f"proxy/{key}", value)


def test_the_proxy_of_qgis_is_used_and_a_change_counts_at_once(server, settings, tmp_path):
    """A host that only the proxy knows. The task's thread is used before and after the change."""
    path = server.put("a.bin", CONTENT)[len(server.address) - len(server.root) :]
    wanted = download(f"http://furrow.invalid{path}", tmp_path)
    with FileServer(behind=server) as proxy:
        (before,) = in_tasks(lambda monitor: fetch(wanted, monitor))
        use_proxy(settings, proxy)
        (with_proxy,) = in_tasks(lambda monitor: fetch(wanted, monitor))
        text = in_tasks(lambda monitor: read_text(wanted.url, monitor))[0].result
        assert [each.path for each in proxy.requests] == [wanted.url] * 2
    assert "cannot be reached" in str(before.error)
    assert with_proxy.result.read_bytes() == CONTENT and len(text) > 0
    wanted.target.unlink()
    (gone,) = in_tasks(lambda monitor: fetch(wanted, monitor, patience=QUICK))
    assert "cannot be reached" in str(gone.error) and "the proxy" in str(gone.error)
    settings.remove("proxy")
    (after,) = in_tasks(lambda monitor: fetch(wanted, monitor))
    assert "furrow.invalid cannot be reached" in str(after.error)


def test_proxies_may_want_a_password(server, settings, tmp_path):
    path = server.put("a.bin", CONTENT)[len(server.address) - len(server.root) :]
    wanted = download(f"http://furrow.invalid{path}", tmp_path)
    with FileServer(behind=server, proxy_login=("me", "word")) as proxy:
        use_proxy(settings, proxy)
        (without,) = in_tasks(lambda monitor: fetch(wanted, monitor))
        assert "the proxy asks for a user name and password" in str(without.error)
        use_proxy(settings, proxy, ("me", "word"))
        (task,) = in_tasks(lambda monitor: fetch(wanted, monitor))
        assert task.result == wanted.target


def test_hosts_without_proxy_stay_without(server, settings, tmp_path):
    with FileServer(behind=server) as proxy:
        use_proxy(settings, proxy)
        settings.setValue("proxy/proxyExcludedUrls", "http://127.0.0.1")
        settings.setValue("proxy/noProxyUrls", ["http://127.0.0.1"])
        fetch(download(server.put("a.bin", CONTENT), tmp_path))
        assert proxy.requests == []


# Texts


def test_texts_are_read(server):
    text = "Åkre <a href='x.whl'>x</a> 畑"
    assert read_text(server.put("simple/", text.encode(), Manner(kind="text/html"))) == text
    assert read_text(server.put("a", b"\xff\xfe broken")).endswith(" broken")
    url = server.put("b", text.encode(), Manner(break_after=10), Manner(500), Manner())
    assert read_text(server.redirect("c", url), patience=QUICK) == text


def test_texts_have_a_limit(server):
    url = server.put("a", b"1" * 1000)
    assert len(read_text(url, limit_bytes=1000)) == 1000
    endless = server.put("b", b"1" * 10**6, Manner(ends_with_connection=True))
    for each in (url, endless):
        with pytest.raises(DownloadError, match="is larger than 999 bytes"):
            read_text(each, limit_bytes=999)


def test_texts_fail_with_the_same_sentences(server):
    with pytest.raises(DownloadError, match="no file at http"):
        read_text(f"{server.address}/none")
    with pytest.raises(DownloadError, match="nothing comes from"):
        read_text(server.put("a", b"1", Manner(stall_after=-1)), patience=QUICK)
    with pytest.raises(Cancelled):
        read_text(server.put("b", b"1"), Monitor(cancelled=lambda: True))


def test_texts_of_this_computer_are_read(tmp_path):
    (tmp_path / "index.html").write_text("offline", encoding="utf-8")
    assert read_text((tmp_path / "index.html").as_uri()) == "offline"


# A QGIS of its own

ALONE = """
import importlib.util, os, sys, threading, time
from pathlib import Path
root, url, folder = sys.argv[1:]
spec = importlib.util.spec_from_file_location(
    "furrow", root + "/__init__.py", submodule_search_locations=[root])
sys.modules["furrow"] = importlib.util.module_from_spec(spec)
from qgis.core import QgsApplication, QgsAuthMethodConfig, QgsTask
from furrow.core.downloads import Download
from furrow.core.monitor import Monitor
from furrow.qgis_io.downloads import fetch

application = QgsApplication([], False)
application.initQgis()

class Task(QgsTask):
    def __init__(self, work):
        super().__init__("download", QgsTask.Flag.CanCancel)
        self.work = work
    def run(self):
        self.result = self.work(Monitor(cancelled=self.isCanceled, message=print))
        return True

def run(works):
    tasks = [Task(work) for work in works]
    for task in tasks:
        QgsApplication.taskManager().addTask(task)
    while QgsApplication.taskManager().countActiveTasks():
        application.processEvents()
        time.sleep(0.005)
    return [task.result for task in tasks]

def threads():
    return len(os.listdir("/proc/self/task"))
"""

TWENTY = (
    ALONE
    + """
def work(number):
    target = Path(folder, f"{number}.bin")
    return lambda monitor: fetch(Download(url, target, 0, "", ""), monitor)

run([lambda monitor: time.sleep(0.2)] * 40)  # the pool has its threads now
before = threads()
assert len(run([work(n) for n in range(20)])) == 20
print("more threads:", threads() - before)
application.exitQgis()
"""
)

BUSY = (
    ALONE
    + """
def work(monitor):
    for number in range(100):
        fetch(Download(url, Path(folder, f"{number}.bin"), 0, "", ""), monitor)

task = Task(work)
QgsApplication.taskManager().addTask(task)
while QgsApplication.taskManager().countActiveTasks():
    time.sleep(0.02)  # it is at other work, a few answers long
    application.processEvents()
print(len(list(Path(folder).glob("*.bin"))))
application.exitQgis()
"""
)

WITH_LOGIN = (
    ALONE
    + """
manager = QgsApplication.authManager()
assert manager.setMasterPassword("test", True)
config = QgsAuthMethodConfig("Basic")
config.setName("test")
config.setConfig("username", "me")
config.setConfig("password", "word")
assert manager.storeAuthenticationConfig(config)
target = Path(folder, "model.bin")
(path,) = run([lambda monitor: fetch(Download(url, target, 0, "", ""), monitor, config.id())])
print("bytes:", path.stat().st_size)
from furrow.core.errors import DownloadError
try:
    fetch(Download(url, target, 0, "", ""), authcfg="nothing")
except DownloadError as error:
    print(error)
application.exitQgis()
"""
)


def alone(script: str, root: Path, url: str, folder: Path) -> str:
    """What a QGIS with a profile of its own prints."""
    environment = {**os.environ, "QGIS_CUSTOM_CONFIG_PATH": str(folder / "profile"),
                   "QT_QPA_PLATFORM": "offscreen"}  # fmt: skip
    told = subprocess.run([sys.executable, "-c", script, str(root), url, str(folder)], text=True,
                          env=environment, capture_output=True, timeout=120)  # fmt: skip
    assert told.returncode == 0, told.stderr[-2000:]
    for word in ("Traceback", "QThread", "QObject", "Timers"):
        assert word not in told.stderr
    return told.stdout


def test_twenty_tasks_leave_no_thread_and_qgis_ends_well(server, root, tmp_path):
    url = server.put("a.bin", CONTENT)
    assert alone(TWENTY, root, url, tmp_path).strip() == "more threads: 0"
    assert len(server.requests) == 20


def test_a_busy_main_thread_does_not_end_an_answer(server, root, tmp_path):
    """What it hears late of answers that are gone is not about those that came after them."""
    url = server.put("a.bin", CONTENT, Manner(delay=0.01))
    assert alone(BUSY, root, url, tmp_path).strip() == "100"
    assert len(server.requests) == 100


def test_an_authentication_of_qgis_is_for_its_server_alone(server, root, tmp_path):
    with FileServer() as elsewhere:
        end = elsewhere.put("a.bin", CONTENT)
        server.put("b", b"", Manner(login=("me", "word")))
        server.redirect("a", end)
        url = server.put("c", CONTENT, Manner(login=("me", "word")))
        assert f"bytes: {len(CONTENT)}" in alone(WITH_LOGIN, root, url, tmp_path)
        assert server.requests[0].headers["authorization"].startswith("Basic ")
        told = alone(WITH_LOGIN, root, f"{server.address}/a", tmp_path / "other")
        assert f"bytes: {len(CONTENT)}" in told and "authentication nothing cannot be used" in told
        assert "authorization" not in elsewhere.requests[0].headers
        assert "authorization" in server.asked("a")[0].headers


def test_the_lock_of_a_qgis_that_was_killed_is_void(server, root, tmp_path):
    url = server.put("a.bin", CONTENT, Manner(stall_after=100_000), Manner())
    target = tmp_path / "model.bin"
    code = ALONE + "fetch(Download(url, Path(folder, 'model.bin'), 0, '', ''))"
    environment = {**os.environ, "QGIS_CUSTOM_CONFIG_PATH": str(tmp_path / "profile"),
                   "QT_QPA_PLATFORM": "offscreen"}  # fmt: skip
    child = subprocess.Popen([sys.executable, "-c", code, str(root), url, str(tmp_path)],
                             env=environment)  # fmt: skip
    try:
        assert wait_until(lambda: notes_of(target).exists() and server.requests)
        with pytest.raises(DownloadError, match="is being downloaded already"):
            fetch(Download(url, target))
    finally:
        child.kill()
        child.wait()
    assert fetch(Download(url, target)).read_bytes() == CONTENT
    assert left(Download(url, target)) == ["model.bin", "profile"]
