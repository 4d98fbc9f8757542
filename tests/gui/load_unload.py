"""Load and unload the plugin twice inside the real QGIS window; run by `qgis --code`.

The plugin starts out disabled. After each unload everything must be as it was before. Writes a
picture and a list of problems to the paths in FURROW_PICTURE and FURROW_PROBLEMS; the exit status
is the verdict: 0 right, 1 problems, 2 the script itself failed.
"""

from __future__ import annotations

import os
import traceback
from pathlib import Path

from qgis import utils
from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QCoreApplication, QEvent, QTimer
from qgis.PyQt.QtWidgets import QAction, QApplication, QDockWidget, QLineEdit, QToolBar
from qgis.utils import iface

NAME = "furrow"
PICTURE = Path(os.environ["FURROW_PICTURE"])
PROBLEMS = Path(os.environ["FURROW_PROBLEMS"])
EXPECTED = set(os.environ["FURROW_ALGORITHMS"].split(","))


def settle() -> None:
    """Let QGIS work off what is due, objects to delete included."""
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()


def snapshot() -> dict[str, object]:
    """All that a plugin could leave behind in the window and the registries."""
    window = iface.mainWindow()
    return {
        "providers": sorted(p.id() for p in QgsApplication.processingRegistry().providers()),
        "menus": sorted(menu_texts()),
        "toolbars": sorted(bar.objectName() for bar in window.findChildren(QToolBar)),
        "docks": sorted(dock.objectName() for dock in window.findChildren(QDockWidget)),
        "actions": len(window.findChildren(QAction)),
        "plugins": sorted(utils.plugins),
    }


def menu_texts() -> list[str]:
    """Texts of the main menus and of the entries in the plugin menus."""
    menus = [iface.pluginMenu(), iface.rasterMenu(), iface.vectorMenu(), iface.webMenu()]
    texts = [action.text() for action in iface.mainWindow().menuBar().actions()]
    return texts + [f"{menu.title()}/{entry.text()}" for menu in menus for entry in menu.actions()]


def load() -> list[str]:
    """Load and start the plugin; problems found."""
    errors: list[str] = []
    # QGIS would open a dialog and wait.
    utils.showException = lambda kind, value, *_, **__: errors.append(f"{kind.__name__}: {value}")
    if not (utils.loadPlugin(NAME) and utils.startPlugin(NAME)):
        return ["QGIS could not load and start the plugin", *errors]
    settle()
    provider = QgsApplication.processingRegistry().providerById(NAME)
    if provider is None:
        return ["the provider is not registered"]
    found = {algorithm.name() for algorithm in provider.algorithms()}
    problems = [] if found == EXPECTED else [f"algorithms: {sorted(found)}"]
    if provider.icon().isNull():
        problems.append("the provider has no icon")
    utils.plugins[NAME].window.show_dock()
    settle()
    return problems if dock_is_shown() else [*problems, "the dock is not shown"]


def dock_is_shown() -> bool:
    """Whether the dock is in the window, and its action says so."""
    window = iface.mainWindow()
    dock = window.findChild(QDockWidget, "FurrowDock")
    action = utils.plugins[NAME].window._action
    return dock is not None and dock.isVisible() and action.isChecked()


def unload(before: dict[str, object]) -> list[str]:
    """Unload the plugin; what differs from before it was loaded."""
    plugin = utils.plugins[NAME]
    if not utils.unloadPlugin(NAME):
        return ["QGIS could not unload the plugin"]
    plugin.unload()  # a second time must do no harm
    del plugin
    settle()
    after = snapshot()
    return [f"left {k}: {after[k]}, was {before[k]}" for k in before if after[k] != before[k]]


def take_picture() -> None:
    """The window with the Toolbox open on Furrow."""
    window = iface.mainWindow()
    window.showNormal()
    window.setGeometry(0, 0, 1400, 900)
    toolbox = window.findChild(QDockWidget, "ProcessingToolbox")
    toolbox.show()
    search = toolbox.findChild(QLineEdit)
    search.setText("furrow")
    settle()
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    window.grab().save(str(PICTURE))
    search.clear()
    toolbox.hide()
    settle()


def check() -> list[str]:
    """Load, unload, load, unload."""
    utils.updateAvailablePlugins()
    if NAME in utils.plugins:
        return ["the plugin is loaded already: it should start out disabled"]
    settle()
    before = snapshot()
    problems = load()
    if not problems:
        take_picture()
        problems = [*unload(before), *load(), *unload(before)]
    return problems


def main() -> None:
    """Report and end QGIS."""
    status = 2
    try:
        problems = check()
        PROBLEMS.write_text("\n".join(problems), encoding="utf-8")
        status = 1 if problems else 0
    except BaseException:  # noqa: BLE001 - QGIS would go on running and the caller would wait
        PROBLEMS.write_text(traceback.format_exc(), encoding="utf-8")
    finally:
        os._exit(status)


QTimer.singleShot(500, main)
