"""Fields in the map while they are found, in the real QGIS window; run by `qgis --code`.

FURROW_IMAGE is the image whose fields are looked for. See window_session.py for the rest.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Optional

from qgis import utils
from qgis.core import (
    QgsApplication,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QTimer
from qgis.utils import iface

sys.path.insert(0, os.environ["FURROW_SCRIPTS"])
from window_session import PROBLEMS, Session, run, settle, wait_until  # noqa: E402

IMAGE = Path(os.environ["FURROW_IMAGE"])
TILES = 9
"""So many tiles are waited for before the picture is taken."""


class Run:
    """furrow:delineate as a task."""

    def __init__(self) -> None:
        self.worked: Optional[bool] = None
        self.feedback, self._context = QgsProcessingFeedback(False), QgsProcessingContext()
        self._context.setProject(QgsProject.instance())
        algorithm = QgsApplication.processingRegistry().algorithmById("furrow:delineate")
        parameters = {
            "INPUT": str(IMAGE), "MODEL": "furrow-field-fast", "TILE": 192, "ROUNDS": 1,
            "REFINE": False, "PREVIEW": True, "OUTPUT": str(PROBLEMS.parent / "fields.gpkg"),
        }  # fmt: skip
        self._task = QgsProcessingAlgRunnerTask(
            algorithm, parameters, self._context, self.feedback
        )
        self._task.executed.connect(self._on_executed)
        QgsApplication.taskManager().addTask(self._task)

    def cancel(self) -> None:
        """Stop it, and wait until it has."""
        self._task.cancel()
        wait_until(lambda: self.worked is not None, "the end of the run")

    def _on_executed(self, worked: bool, results: dict[str, Any]) -> None:
        self.worked = worked


def previews() -> list[QgsVectorLayer]:
    """The layers that show fields so far."""
    layers = QgsProject.instance().mapLayers().values()
    return [each for each in layers if each.name() == f"Fields so far: {IMAGE.stem}"]


def tiles_done() -> int:
    """Tiles that are kept beside the output."""
    return len(list((PROBLEMS.parent / "fields.gpkg.tiles").glob("*.npz")))


def fields() -> int:
    """Fields that are shown."""
    return sum(layer.featureCount() for layer in previews())


def watched(session: Session) -> int:
    """A run that is stopped halfway; how many fields it showed."""
    project, active = QgsProject.instance(), iface.activeLayer()
    one = Run()
    wait_until(lambda: tiles_done() >= TILES and fields() > 0, "half of the tiles", 90)
    session.expect(one.worked is None, f"the run is over: {one.feedback.textLog()}")
    session.wait(1.5)
    session.picture("delineate_preview")
    shown = fields()
    top = project.layerTreeRoot().children()[0].name()
    session.expect(top == f"Fields so far: {IMAGE.stem}", f"{top} is above the preview")
    session.expect(iface.activeLayer() is active, "another layer is active")
    session.expect(not project.isDirty(), "the preview changed the project")
    one.cancel()
    wait_until(lambda: not previews(), "the preview to go")
    return shown


def script(session: Session) -> None:
    """The session."""
    project = QgsProject.instance()
    session.show()
    session.plugin()
    image = session.add_image(IMAGE)
    iface.setActiveLayer(image)
    settle()
    project.setDirty(False)
    before = list(project.mapLayers()), iface.activeLayer()
    shown = watched(session)
    settle()
    session.expect(not project.isDirty(), "the end of the run changed the project")
    session.expect(before == (list(project.mapLayers()), iface.activeLayer()), "other layers")
    again = Run()
    wait_until(lambda: fields() >= shown, "the fields of the run before", 20)
    session.expect(utils.unloadPlugin("furrow"), "QGIS could not unload the plugin")
    settle()
    session.expect(not previews(), "the preview stays without the plugin")
    again.cancel()
    session.wait(0.5)
    session.expect(before[0] == list(project.mapLayers()), "other layers after unloading")
    session.expect(not project.isDirty(), "unloading changed the project")
    project.setDirty(True)
    session.expect(project.isDirty(), "the project cannot be marked as changed any more")


QTimer.singleShot(500, lambda: run(script))
