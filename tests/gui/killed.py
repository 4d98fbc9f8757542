"""Click fields, save nothing, and have QGIS killed in the middle."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from qgis.core import QgsPointXY
from qgis.PyQt.QtCore import Qt, QTimer

sys.path.insert(0, os.environ["FURROW_SCRIPTS"])
from window_session import Session, run, settle, wait_until  # noqa: E402 - found by then

SHARES = ((0.5, 0.5), (0.3, 0.3), (0.7, 0.6))


def script(session: Session) -> None:
    """The session; it does not end by itself."""
    session.show()
    image = session.add_image(Path(os.environ["FURROW_DATA"]) / "s2_rgb.tif")
    place = session.plugin().window.show_dock()
    place.dock.set_image(image)
    place.choice.set_layer(image)
    place._toggle_tool(True)
    box = image.extent()
    session.zoom_to(box)
    for x, y in SHARES:
        spot = QgsPointXY(box.xMinimum() + x * box.width(), box.yMinimum() + y * box.height())
        session.click(spot)
        wait_until(lambda: place.labelling._offer.missing is None, "an answer")
        session.key(Qt.Key.Key_Return)
    settle()
    if place.fields.target.featureCount() != len(SHARES):
        session.problems.append(f"{place.fields.target.featureCount()} fields")
        return
    os.kill(os.getpid(), signal.SIGKILL)


QTimer.singleShot(500, lambda: run(script))
