"""What the tests of installing share: an index of small wheels, an awkward folder."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from furrow.tests.file_server import FileServer
from furrow.tests.models.dependencies.small_index import SmallIndex


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """This computer is asked directly, whatever proxy it has."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def index() -> Iterator[SmallIndex]:
    """A package index that runs."""
    with FileServer() as server:
        yield SmallIndex(server)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder as users have them."""
    folder = tmp_path / "Jürgen Müller, 農場" / "QGIS profile"
    folder.mkdir(parents=True)
    return folder
