"""What the tests of dialogs share: a server, clean settings, dialogs that go with their test."""

from __future__ import annotations

from typing import Any, Callable, Iterator, List, Tuple

import pytest

from furrow.tests.file_server import FileServer


@pytest.fixture
def server(qgis_app: Any) -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture
def settings(qgis_app: Any) -> Iterator[Any]:
    """The profile of the tests without Furrow's settings, before and after."""
    from qgis.core import QgsSettings

    settings = QgsSettings()
    settings.remove("furrow")
    yield settings
    settings.remove("furrow")


@pytest.fixture
def show_dialog(qgis_app: Any) -> Iterator[Callable[[Any, Callable[[], None]], Any]]:
    """Shows a dialog and returns it; it is closed as told and deleted when the test has ended."""
    from qgis.PyQt import sip
    from qgis.PyQt.QtCore import QCoreApplication, QEvent

    shown: List[Tuple[Any, Callable[[], None]]] = []

    def show(dialog: Any, close: Callable[[], None]) -> Any:
        shown.append((dialog, close))
        dialog.show()
        QCoreApplication.processEvents()
        return dialog

    yield show
    for dialog, close in shown:
        if not sip.isdeleted(dialog):
            close()
            sip.delete(dialog)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
