"""What the answers of web servers mean."""

from __future__ import annotations

import pytest

from furrow.core.errors import DownloadError
from furrow.core.web_answers import (
    Answer,
    Attempts,
    Interrupted,
    Patience,
    check_status,
    host_of,
    redirection,
    same_server,
    shown,
)

URL = "https://user:word@example.org:8443/files/model.onnx?key=secret#part"


def answer(status: int = 200, url: str = URL, **headers: str) -> Answer:
    return Answer(url, status, {name.replace("_", "-"): text for name, text in headers.items()})


@pytest.mark.parametrize(
    ("given", "start", "total"),
    [
        (answer(content_length="12"), None, 12),
        (answer(), None, None),
        (answer(content_length="12, 12"), None, None),
        (answer(206, content_length="12", content_range="bytes 5-16/17"), 5, 17),
        (answer(206, content_length="12", content_range="bytes 5-16/*"), 5, None),
        (answer(206, content_length="12"), None, None),
        (answer(416, content_length="0", content_range="bytes */17"), None, 17),
        (answer(416, content_length="0"), None, None),
    ],
)
def test_places_and_sizes(given, start, total):
    assert (given.start, given.total) == (start, total)


def test_only_strong_tags_tell_versions_apart():
    assert answer(etag='"a"', last_modified="Mon").validator == '"a"'
    assert answer(etag='W/"a"', last_modified="Mon").validator == "Mon"
    assert answer().validator == ""


def test_messages_hold_no_secrets():
    assert shown(URL) == "https://example.org:8443/files/model.onnx"
    assert host_of(URL) == "example.org:8443"
    assert shown("/home/a.onnx") == "/home/a.onnx"


def test_secrets_are_for_one_server():
    assert same_server(URL, "https://example.org:8443/other")
    for other in ("http://example.org:8443/", "https://example.org/", "https://a.example.org:8443"):
        assert not same_server(URL, other)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirections_lead_on(status):
    assert redirection("Model", answer(status, location="/new")) == (
        "https://user:word@example.org:8443/new"
    )
    assert redirection("Model", answer(status, location="//cdn.org/a")) == "https://cdn.org/a"
    up = answer(status, "http://example.org/a", location="https://example.org/a")
    assert redirection("Model", up) == "https://example.org/a"


def test_answers_that_are_no_redirections():
    for given in (answer(location="/new"), answer(302), answer(304, location="/new")):
        assert redirection("Model", given) is None


@pytest.mark.parametrize(
    "to", ["http://example.org/a", "file:///etc/passwd", "ftp://a/b", "HTTP://a"]
)
def test_redirections_to_less_safe_places_are_refused(to):
    with pytest.raises(DownloadError, match=r"Model: example\.org:8443 sends on to .* not a safe"):
        redirection("Model", answer(302, location=to))
    if not to.lower().startswith("http:"):
        with pytest.raises(DownloadError):
            redirection("Model", answer(302, "http://example.org", location=to))


@pytest.mark.parametrize(
    ("status", "match"),
    [
        (401, "user name and password; add an authentication"),
        (403, "accept a licence"),
        (404, "no file at https://example.org:8443/files/model.onnx any more"),
        (410, "any more"),
        (407, "the proxy asks"),
        (204, "its answer is 204"),
        (302, "its answer is 302"),
        (400, "its answer is 400"),
    ],
)
def test_refusals_say_what_to_do(status, match):
    with pytest.raises(DownloadError, match=match) as told:
        check_status("Model", answer(status))
    assert str(told.value).startswith("Model: ") and "secret" not in str(told.value)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_passes_is_worth_another_attempt(status):
    with pytest.raises(Interrupted, match=f"cannot answer now .{status}.; try again later") as told:
        check_status("Model", answer(status, retry_after="7"))
    assert told.value.pause == 7.0


@pytest.mark.parametrize("status", [200, 206, 416])
def test_answers_with_a_file_pass(status):
    check_status("Model", answer(status))


def waits(attempts: Attempts, *events: tuple) -> list:
    return [attempts.wait_after(trouble, received) for trouble, received in events]


def test_attempts_end_when_they_bring_nothing_new():
    attempts = Attempts(Patience(waits=(1.0, 3.0)), 100)
    broken = Interrupted("Broken.")
    assert waits(attempts, (broken, 100), (broken, 90)) == [1.0, 3.0]
    with pytest.raises(DownloadError, match="Broken"):
        attempts.wait_after(broken, 100)


def test_attempts_that_bring_something_are_not_counted():
    attempts = Attempts(Patience(waits=(1.0, 3.0)), 0)
    broken = Interrupted("Broken.")
    assert waits(attempts, *((broken, n) for n in (1, 2, 3, 3, 4))) == [1.0, 1.0, 1.0, 3.0, 1.0]


def test_nobody_there_is_said_at_once():
    nobody = Interrupted("Nobody.", connected=False)
    with pytest.raises(DownloadError):
        Attempts(Patience(), 50).wait_after(nobody, 50)
    # A network that was there a moment ago may come back.
    assert Attempts(Patience(), 50).wait_after(nobody, 60) > 0


def test_servers_may_ask_for_a_pause_but_not_for_any():
    attempts = Attempts(Patience(waits=(1.0, 3.0)), 0)
    events = ((Interrupted("", 7.0), 0), (Interrupted("", 1e6), 0))
    assert waits(attempts, *events) == [7.0, 30.0]
    assert answer(retry_after="Wed, 21 Oct 2015 07:28:00 GMT").pause == 0.0
