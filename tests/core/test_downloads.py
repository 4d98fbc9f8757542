"""What has arrived of a download: kept, continued, checked, put in place."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from furrow.core.downloads import (
    CHUNK_BYTES,
    Download,
    Step,
    in_words,
    is_safe_name,
    local_path,
    missing_bytes,
    notes_of,
    open_part,
    part_of,
    replace,
)
from furrow.core.errors import Cancelled, DownloadError
from furrow.core.monitor import Monitor
from furrow.core.web_answers import Answer

CONTENT = bytes(range(256)) * 40
SHA = hashlib.sha256(CONTENT).hexdigest()
URL = "https://example.org/files/model.onnx?key=secret"
TAG = '"version 1"'


def download(folder: Path, **changes: object) -> Download:
    given = {"bytes": len(CONTENT), "sha256": SHA, "title": "Model", **changes}
    return Download(given.pop("url", URL), folder / "models" / "model.onnx", **given)


def answer(status: int = 200, **headers: object) -> Answer:
    usual = {} if status != 200 else {"content-length": str(len(CONTENT)), "etag": TAG}
    given = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return Answer(URL, status, {**usual, **given})


def rest(start: int, total: int = len(CONTENT), **headers: object) -> Answer:
    return answer(206, content_range=f"bytes {start}-{total - 1}/{total}", **headers)


def begun(wanted: Download, size: int, first: Answer = None) -> None:
    """Leave a part."""
    with open_part(wanted) as part:
        assert part.begin(first or answer()) is Step.READ
        part.write(CONTENT[:size])


def test_a_file_arrives_in_pieces(tmp_path):
    wanted = download(tmp_path)
    with open_part(wanted) as part:
        assert part.request_headers() == {} and not part.complete and not part.resumed
        part.begin(answer())
        for start in range(0, len(CONTENT), 999):
            part.write(CONTENT[start : start + 999])
        assert part.complete and part.matches() and not wanted.target.exists()
        assert part.place() == wanted.target
    assert wanted.target.read_bytes() == CONTENT
    assert list(wanted.target.parent.iterdir()) == [wanted.target]


def test_a_part_is_continued_where_it_ended(tmp_path):
    wanted = download(tmp_path)
    begun(wanted, 5000)
    assert part_of(wanted.target).stat().st_size == 5000
    with open_part(wanted) as part:
        assert (part.received, part.resumed) == (5000, True)
        assert part.request_headers() == {"Range": "bytes=5000-", "If-Range": TAG}
        assert part.begin(rest(5000, etag=TAG)) is Step.READ
        part.write(CONTENT[5000:])
        part.place()
    assert wanted.target.read_bytes() == CONTENT


def test_what_is_complete_needs_no_server(tmp_path):
    wanted = download(tmp_path)
    begun(wanted, len(CONTENT))
    with open_part(wanted) as part:
        assert part.complete
        part.place()
    assert wanted.target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("changes", "headers", "expected"),
    [
        ({}, {}, {"If-Range": TAG}),
        ({}, {"etag": 'W/"weak"', "last_modified": "Mon"}, {"If-Range": "Mon"}),
        ({}, {"etag": 'W/"weak"'}, {}),
        ({"sha256": ""}, {"etag": "", "last_modified": "Mon"}, {"If-Range": "Mon"}),
        ({"sha256": ""}, {"etag": ""}, None),
    ],
)
def test_a_part_is_continued_only_if_the_file_is_known_to_be_the_same(
    tmp_path, changes, headers, expected
):
    wanted = download(tmp_path, **changes)
    begun(wanted, 5000, answer(**headers))
    with open_part(wanted) as part:
        asked = part.request_headers()
        asked.pop("Range", None)
        assert (asked if part.received else None) == expected


@pytest.mark.parametrize(
    "changes", [{"url": URL + "2"}, {"sha256": "ab" * 32}, {"bytes": len(CONTENT) + 1}]
)
def test_a_part_of_another_file_is_not_continued(tmp_path, changes):
    begun(download(tmp_path), 5000)
    with open_part(download(tmp_path, **changes)) as part:
        assert (part.received, part.request_headers()) == (0, {})
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("notes", [None, "", "[]", "{}", "no json", '{"url": 1}', "\0"])
def test_damaged_notes_mean_a_new_start(tmp_path, notes):
    wanted = download(tmp_path)
    begun(wanted, 5000)
    if notes is None:
        notes_of(wanted.target).unlink()
    else:
        notes_of(wanted.target).write_text(notes)
    with open_part(wanted) as part:
        assert part.received == 0
        part.begin(rest(0))
        part.write(CONTENT)
        part.place()
    assert wanted.target.read_bytes() == CONTENT


def test_a_part_that_is_too_long_means_a_new_start(tmp_path):
    wanted = download(tmp_path)
    begun(wanted, len(CONTENT))
    with part_of(wanted.target).open("ab") as file:
        file.write(b"more")
    with open_part(wanted) as part:
        assert part.received == 0


def test_notes_hold_no_more_than_is_needed(tmp_path):
    wanted = download(tmp_path)
    begun(wanted, 10)
    notes = json.loads(notes_of(wanted.target).read_text())
    assert set(notes) == {"url", "bytes", "sha256", "validator", "total"}


def test_a_server_may_send_the_whole_file_again(tmp_path):
    wanted = download(tmp_path)
    begun(wanted, 5000)
    with open_part(wanted) as part:
        assert part.begin(answer(etag='"version 2"')) is Step.READ
        assert part.received == 0
        part.write(CONTENT[:100])
    with open_part(wanted) as part:
        assert part.request_headers() == {"Range": "bytes=100-", "If-Range": '"version 2"'}


@pytest.mark.parametrize(
    "other",
    [
        rest(4999), rest(0), rest(5000, etag='"version 2"'), answer(206), answer(416),
        answer(206, content_range="nonsense"), answer(416, content_range="bytes */77"),
    ],
)  # fmt: skip
def test_a_continuation_that_does_not_fit_means_a_new_start(tmp_path, other):
    wanted = download(tmp_path, bytes=0)
    begun(wanted, 5000)
    with open_part(wanted) as part:
        assert part.begin(other) is Step.AGAIN
        assert (part.received, part.request_headers()) == (0, {})
    with open_part(wanted) as part:
        assert part.begin(answer()) is Step.READ


def test_nothing_more_to_send_means_that_all_is_here(tmp_path):
    wanted = download(tmp_path, bytes=0)
    begun(wanted, len(CONTENT), answer(content_length=""))
    with open_part(wanted) as part:
        assert not part.complete
        assert part.begin(answer(416, content_range=f"bytes */{len(CONTENT)}")) is Step.DONE
        part.place()
    assert wanted.target.read_bytes() == CONTENT


@pytest.mark.parametrize("strange", [rest(100), answer(416), answer(206)])
def test_parts_that_nobody_asked_for_are_refused(tmp_path, strange):
    with open_part(download(tmp_path, bytes=0)) as part, pytest.raises(DownloadError):
        part.begin(strange)


def test_a_wrong_file_does_not_replace_the_right_one(tmp_path):
    wanted = download(tmp_path)
    wanted.target.parent.mkdir()
    wanted.target.write_bytes(b"the old one")
    with open_part(wanted) as part:
        part.begin(answer())
        part.write(bytes(len(CONTENT)))
        with pytest.raises(DownloadError, match="SHA-256 differs") as told:
            part.place()
    assert "secret" not in str(told.value) and "Model" in str(told.value)
    assert wanted.target.read_bytes() == b"the old one"
    assert list(wanted.target.parent.iterdir()) == [wanted.target]


def test_the_right_file_replaces_an_old_one(tmp_path):
    wanted = download(tmp_path, sha256=f" {SHA.upper()}\n", bytes=0)
    wanted.target.parent.mkdir()
    wanted.target.write_bytes(b"the old one")
    with open_part(wanted) as part:
        part.begin(answer())
        part.write(CONTENT)
        part.place()
    assert wanted.target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("first", "match"),
    [
        (answer(content_length=77), f"has 77 bytes, not {len(CONTENT)}"),
        (answer(content_type="Text/HTML; charset=utf-8", content_length=77), "is a web page"),
        (answer(content_type="text/html", content_length=""), "is a web page"),
        (rest(5000, total=10**6), "has 1000000 bytes"),
    ],
)
def test_another_file_is_refused_before_its_first_byte(tmp_path, first, match):
    """A network that wants a login must not cost what has arrived before."""
    wanted = download(tmp_path)
    begun(wanted, 5000)
    with open_part(wanted) as part, pytest.raises(DownloadError, match=match) as told:
        part.begin(first)
    assert "secret" not in str(told.value)
    with open_part(wanted) as part:
        assert part.received == 5000


def test_a_web_page_is_refused_where_nothing_is_known_of_the_file(tmp_path):
    with open_part(download(tmp_path, bytes=0, sha256="")) as part:
        with pytest.raises(DownloadError, match="is a web page"):
            part.begin(answer(content_type="text/html"))
    # A server that knows no better, but the size is right.
    with open_part(download(tmp_path)) as part:
        assert part.begin(answer(content_type="text/html")) is Step.READ


@pytest.mark.parametrize("changes", [{}, {"bytes": 0}])
def test_more_bytes_than_there_should_be_are_refused(tmp_path, changes):
    wanted = download(tmp_path, **changes)
    with open_part(wanted) as part:
        part.begin(answer())
        part.write(CONTENT)
        with pytest.raises(DownloadError, match=f"more than {len(CONTENT)} bytes"):
            part.write(b"1")
    assert not part_of(wanted.target).exists()


def test_a_disk_without_room_is_noticed_first(tmp_path):
    wanted = download(tmp_path, bytes=10**17)
    with open_part(wanted) as part, pytest.raises(DownloadError, match="make .* GB free"):
        part.begin(answer(content_length=10**17))
    assert missing_bytes(tmp_path, 0) == 0
    assert missing_bytes(tmp_path / "not there", 10**17) == 0
    assert missing_bytes(tmp_path, 10**17) > 9 * 10**16


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "models").write_text("a file")
    with pytest.raises(DownloadError, match="cannot be written"), open_part(download(tmp_path)):
        pass


def test_a_target_that_cannot_be_replaced_leaves_the_part(tmp_path):
    wanted = download(tmp_path)
    wanted.target.mkdir(parents=True)
    with open_part(wanted) as part:
        part.begin(answer())
        part.write(CONTENT)
        with pytest.raises(DownloadError, match="cannot be written"):
            part.place()
    wanted.target.rmdir()
    with open_part(wanted) as part:
        assert part.complete
        part.place()


def test_reading_a_large_part_can_be_cancelled(tmp_path):
    wanted = download(tmp_path, bytes=0)
    with open_part(wanted) as part:
        part.begin(answer(content_length=10 * CHUNK_BYTES))
        part.write(bytes(5 * CHUNK_BYTES))
    asked = []
    with pytest.raises(Cancelled):
        with open_part(wanted, Monitor(cancelled=lambda: len(asked) > 2 or asked.append(1))):
            pass
    with open_part(wanted) as part:
        assert part.received == 5 * CHUNK_BYTES


def test_replacing_waits_for_nothing_that_does_not_pass(tmp_path):
    with pytest.raises(OSError):
        replace(tmp_path / "none", tmp_path / "other")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://example.org/a", None),
        ("HTTP://example.org/a", None),
        ("file:///home/a%20b/c.onnx", Path("/home/a b/c.onnx")),
        ("file://localhost/home/c.onnx", Path("/home/c.onnx")),
        ("/home/Åse/c.onnx", Path("/home/Åse/c.onnx")),
        ("c.onnx", Path("c.onnx")),
        ("C:\\models\\c.onnx", Path("C:\\models\\c.onnx")),
    ],
)
def test_addresses_on_this_computer(url, path):
    assert local_path(url) == path


@pytest.mark.parametrize("url", ["", "ftp://example.org/a", "https:///a", "data:text/plain,a"])
def test_other_addresses_are_refused(url):
    with pytest.raises(DownloadError, match="is no address of a file"):
        local_path(url)


def test_names_of_files():
    assert is_safe_name("Äcker 2023.onnx") and not is_safe_name("ä" * 128)
    assert not any(is_safe_name(name) for name in ("", "..", "a/b", "b\\c", "NUL.txt"))


def test_sizes_in_words():
    assert [in_words(size) for size in (0, 12_000, 3_400_000, 2_564_550_879)] == [
        "0 kB", "12 kB", "3.4 MB", "2.6 GB"
    ]  # fmt: skip
