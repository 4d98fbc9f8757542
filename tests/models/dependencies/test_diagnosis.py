"""Sentences for what pip says, and the text to copy."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Any

import pytest

from furrow.core.places import Places
from furrow.models.dependencies.diagnosis import diagnosis, redacted
from furrow.models.dependencies.failures import explained
from furrow.models.dependencies.obtaining import Sources, shown_size
from furrow.models.dependencies.packages import read_packages


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "expects"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
         "disk is full"),
        ("WARNING: Retrying after connection broken by 'ProxyError('Cannot connect to proxy.', "
         "NewConnectionError('Connection refused'))': /simple/x/", "proxy"),
        ("ERROR: Could not install packages due to an OSError: Missing dependencies for SOCKS "
         "support.", "SOCKS"),
        ("Retrying after connection broken by 'SSLError(SSLCertVerificationError(1, '[SSL: "
         "CERTIFICATE_VERIFY_FAILED]", "certificate"),
        ("Retrying (Retry(total=2)) after connection broken by 'NewConnectionError('<x>: Failed to "
         "establish a new connection: [Errno 111] Connection refused')': /simple/a/", "reached"),
        ("pip._vendor.urllib3.exceptions.ReadTimeoutError: Read timed out.", "broke off"),
        ("ERROR: HTTP error 403 while getting x; 403 Client Error: Forbidden", "refuses"),
        ("ERROR: No matching distribution found for alpha==1.0", "missing in the package index"),
        ("ERROR: Could not install packages due to an OSError: [WinError 5] Access is denied",
         "in use or protected"),
        ("/usr/bin/python3: No module named venv", "python3-venv"),
        ("ImportError: DLL load failed while importing onnxruntime_pybind11_state", "Visual C"),
    ],
)  # fmt: skip
def test_what_pip_says_becomes_a_sentence(line: str, remedy: str) -> None:
    # What pip ends with whenever it gives up on the network.
    end = ["ERROR: Could not find a version that satisfies it"] if "Retry" in line else []
    lines = ["Collecting alpha", line, *end]
    sentence = explained("Installing failed", lines)
    assert sentence.startswith("Installing failed: ")
    assert remedy in sentence


def test_what_is_not_known_is_quoted() -> None:
    lines = ["Collecting alpha", "ERROR: the moon is in the way", "done"]
    assert "(ERROR: the moon is in the way)" in explained("Installing failed", lines)
    assert explained("Installing failed", []).startswith("Installing failed;")


def test_diagnosis(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hidden@proxy:1")
    monkeypatch.setenv("LOGNAME", "jmueller")
    places = Places.under(place / "furrow")
    places.packages.mkdir(parents=True)
    sources = Sources("https://me:hidden@mirror/simple", place / "wheels")
    text = diagnosis(
        places, read_packages(), sources, {"QGIS": "3.22", "Furrow": "0.1"},
        ["Looking in http://tok:hidden@x", "of jmueller at C:\\Users\\jmueller\\AppData"],
    )  # fmt: skip
    assert "QGIS: 3.22" in text
    assert f"{sys.version_info[0]}.{sys.version_info[1]}" in text
    assert "Package index: https://mirror/simple" in text
    assert "Wheel folder: ~/wheels" in text
    assert "https_proxy" in text
    assert "not installed" in text
    assert not [word for word in ("hidden", "jmueller", "Müller", str(place)) if word in text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"C:\Users\Anna B\AppData", r"C:\Users\USER B\AppData"),
        ("c:/users/anna/x", "c:/users/USER/x"),
        ("/home/anna/x /Users/anna/y", "/home/USER/x /Users/USER/y"),
        ("/opt/qgis", "/opt/qgis"),
    ],
)
def test_other_homes(text: str, expected: str) -> None:
    assert redacted(text) == expected


def test_no_user_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Any:
        raise KeyError("no such user")

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert redacted("text") == "text"


def test_size_of_a_folder(place: Path) -> None:
    (place / "a").write_bytes(bytes(100))
    (place / "b").mkdir()
    (place / "b" / "c").write_bytes(bytes(50))
    (place / "link").symlink_to(place / "a")
    assert 150 <= shown_size(place) < 150 + 500
    assert shown_size(place / "none") == 0
