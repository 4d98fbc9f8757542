"""The start after QGIS was killed: the fields are offered, and come back."""

from __future__ import annotations

import os
import sys

from qgis.core import QgsProject
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QPushButton
from qgis.utils import iface

sys.path.insert(0, os.environ["FURROW_SCRIPTS"])
from window_session import Session, run, settle  # noqa: E402 - found by then

FIELDS = 3


def script(session: Session) -> None:
    """The session."""
    session.show()
    place = session.plugin().window.show_dock()
    settle()
    session.picture("recovery")
    item = iface.messageBar().currentItem()
    session.expect(item is not None and str(FIELDS) in item.text(), "nothing is offered")
    button = next(b for b in item.findChildren(QPushButton) if b.text() == "Recover")
    button.click()
    settle()
    layer = place.fields.target
    session.expect(layer in QgsProject.instance().mapLayers().values(), "no layer came back")
    session.expect(layer.featureCount() == FIELDS, f"{layer.featureCount()} fields came back")
    session.expect(not place.journal.recoverable(), "the same fields are offered again")
    session.plugin().unload()


QTimer.singleShot(500, lambda: run(script))
