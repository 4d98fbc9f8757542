"""The other half of the dock in the real QGIS window, on patches around reference points.

Another engine, a layer of the user's with columns of its own, a project in another reference
system, and projects that close amid a task.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsPointXY,
    QgsProject,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import Qt, QTimer
from qgis.utils import iface

sys.path.insert(0, os.environ["FURROW_SCRIPTS"])
from window_session import Session, run, settle, wait_until  # noqa: E402 - found by then

DATA = Path(os.environ["FURROW_DATA"])


def own_layer() -> QgsVectorLayer:
    """A layer of the user's, in degrees, with columns that Furrow has to find."""
    layer = QgsVectorLayer(
        "Polygon?crs=EPSG:4326&field=crop_name:string&field=crop_code:integer", "mine", "memory"
    )
    QgsProject.instance().addMapLayer(layer)
    return layer


def middle(session: Session, image) -> QgsPointXY:  # noqa: ANN001
    """The reference point of a patch, on the canvas."""
    settings = session.canvas.mapSettings()
    return settings.layerToMapCoordinates(image, image.extent().center())


def keep_middle(session: Session, place, image) -> None:  # noqa: ANN001
    """Click the middle of an image and keep the field."""
    place.dock.set_image(image)
    place.choice.set_layer(image)
    extent = session.canvas.mapSettings().layerExtentToOutputExtent(image, image.extent())
    session.zoom_to(extent)
    session.click(middle(session, image))
    wait_until(lambda: place.labelling._offer.missing is None, "an answer")
    session.key(Qt.Key.Key_N)


def check_own_layer(session: Session, layer: QgsVectorLayer, count: int) -> None:
    """All fields are there, in degrees, with the class."""
    features = list(layer.getFeatures())
    session.expect(len(features) == count, f"{len(features)} fields of {count}")
    for feature in features:
        session.expect(feature["crop_name"] == "soy", f"class {feature['crop_name']}")
        session.expect(feature["crop_code"] == 4, f"code {feature['crop_code']}")
        box = feature.geometry().boundingBox()
        session.expect(-83 < box.xMinimum() < -79 and 41 < box.yMinimum() < 45, box.toString())


def close_amid_a_task(session: Session, place, image) -> None:  # noqa: ANN001
    """Layers, projects and the plugin go while windows are encoded."""
    grid = place.labelling._answers.grid
    place.clear_store()
    place.encoder.want([grid.shared_window(y, x, 100) for y in (20, 90) for x in (20, 90, 160)])
    QgsProject.instance().removeMapLayer(image.id())
    settle()
    session.expect(place.choice.layer is None or place.choice.layer.isValid(), "a dead layer")
    again = session.add_image(DATA / "1922_rgb.tif")
    place.dock.set_image(again)
    place.choice.set_layer(again)
    session.click(middle(session, again))
    iface.newProject(False)
    settle()
    last = session.add_image(DATA / "1923_rgb.tif")
    place.dock.set_image(last)
    place.choice.set_layer(last)
    session.click(middle(session, last))
    session.plugin().unload()
    settle()


def script(session: Session) -> None:
    """The session."""
    session.show()
    images = [session.add_image(DATA / f"{name}_rgb.tif") for name in (1921, 1924, 1926)]
    project = QgsProject.instance()
    project.setCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    session.canvas.setDestinationCrs(project.crs())
    place = session.plugin().window.show_dock()
    settle()
    layer = own_layer()
    place.dock.set_target(layer)
    place.fields.set_target(layer)
    session.expect(place.dock.mapping() == ("crop_name", "crop_code"),
                   f"columns {place.dock.mapping()}")  # fmt: skip
    first = place.classes.all()[0]
    place.classes.replace(first, type(first)("soy", 4, "#e69f00", 1))
    place.dock.choose_class("soy")
    place.choice.set_model("classical")
    place._toggle_tool(True)
    for image in images:
        keep_middle(session, place, image)
    session.picture("click_ontario")
    check_own_layer(session, layer, len(images))
    session.expect(project.crs().authid() == "EPSG:3857", "the project's system was changed")
    close_amid_a_task(session, place, images[0])


QTimer.singleShot(500, lambda: run(script))
