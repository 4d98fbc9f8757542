"""The model manager in the real QGIS window: opened from the dock, a model tried and made the
default; taken back with the plugin while it works. Run by `qgis --code`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, os.environ["FURROW_SCRIPTS"])

from qgis import utils  # noqa: E402
from qgis.PyQt.QtCore import Qt, QTimer  # noqa: E402
from qgis.PyQt.QtTest import QTest  # noqa: E402
from qgis.PyQt.QtWidgets import QDialog  # noqa: E402
from qgis.utils import iface  # noqa: E402
from window_session import SCREENS, Session, run, settle, wait_until  # noqa: E402

DATA = Path(os.environ["FURROW_DATA"])


def managers() -> list:
    return [each for each in iface.mainWindow().findChildren(QDialog, "ModelManager")]


def menu_entries() -> list:
    entries = iface.pluginMenu().actions()
    return [each for each in entries if each.objectName() == "FurrowModelsAction"]


def script(session: Session) -> None:
    plugin = session.plugin()
    session.show()
    session.add_image(DATA / "s2_rgb.tif")
    workplace = plugin.window.show_dock()
    settle()
    QTest.mouseClick(workplace.dock.models_button, Qt.MouseButton.LeftButton)
    wait_until(lambda: plugin.window.models is not None, "the model manager")
    manager = plugin.window.models
    manager.resize(1000, 640)
    manager.choose("furrow-field")
    QTest.mouseClick(manager.test_button, Qt.MouseButton.LeftButton)
    wait_until(lambda: manager.jobs.job is None, "the test of the model", 60)
    settle()
    manager.grab().save(str(SCREENS / "model_manager.png"))
    session.picture("models_dock")
    manager.choose("classical")
    QTest.mouseClick(manager.default_button, Qt.MouseButton.LeftButton)
    settle()
    session.expect(workplace.dock.model() in ("classical", "furrow-field"), "the dock has no model")
    manager.close()
    settle()
    session.expect(plugin.window.models is None, "the manager is still there")
    menu_entries()[0].trigger()
    settle()
    plugin.window.models.choose("furrow-field")
    plugin.window.models.test()
    settle()
    session.expect(utils.unloadPlugin("furrow"), "QGIS could not unload the plugin")
    settle()
    session.expect(not menu_entries(), "the entry of the menu is still there")
    session.expect(not managers(), "the dialog is still there")
    session.wait(1.0)


QTimer.singleShot(500, lambda: run(script))
