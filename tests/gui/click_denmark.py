"""Click fields in the real QGIS window as a user does; run by `qgis --code`.

FURROW_DATA is the folder with the Danish image and its parcels. See window_session.py for the rest.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from qgis.core import QgsGeometry, QgsPointXY, QgsProject, QgsVectorLayer
from qgis.PyQt.QtCore import Qt, QTimer
from qgis.utils import iface

sys.path.insert(0, os.environ["FURROW_SCRIPTS"])
from window_session import Session, run, settle, wait_until  # noqa: E402 - found by then

DATA = Path(os.environ["FURROW_DATA"])
CLASSES = ("wheat", "maize", "grass")
CLICKS = 12
HECTARE = 10_000


def inner_points(count: int) -> list[QgsPointXY]:
    """Places well inside large parcels, far from each other."""
    layer = QgsVectorLayer(str(DATA / "fields.gpkg"), "parcels", "ogr")
    shapes = [QgsGeometry(f.geometry()) for f in layer.getFeatures()]
    large = sorted((s for s in shapes if s.area() > 4 * HECTARE), key=lambda s: s.area())
    points = [shape.poleOfInaccessibility(5.0)[0].asPoint() for shape in large]
    return points[:: max(1, len(points) // count)][:count]


def set_classes(place) -> None:  # noqa: ANN001
    """Three crops in place of the class that a project starts with."""
    first = place.classes.all()[0]
    place.classes.add(CLASSES[0])
    place.classes.remove(first)
    for name in CLASSES[1:]:
        place.classes.add(name)


def clicked(session: Session, place, point: QgsPointXY) -> bool:  # noqa: ANN001
    """Click a place and wait for its answer; whether there is a field."""
    session.click(point)
    labelling = place.labelling
    wait_until(lambda: labelling._offer.missing is None, "an answer")
    return labelling.current is not None


def label(session: Session, place, points: list[QgsPointXY]) -> int:  # noqa: ANN001
    """Click and keep; how many were kept."""
    kept = 0
    for number, point in enumerate(points):
        session.key([Qt.Key.Key_1, Qt.Key.Key_2, Qt.Key.Key_3][number % 3])
        if clicked(session, place, point):
            before = place.fields.target.featureCount() if place.fields.target else 0
            session.key(Qt.Key.Key_Return)
            kept += place.fields.target.featureCount() - before
        settle()
    return kept


def check_undo(session: Session, layer: QgsVectorLayer, kept: int) -> None:
    """QGIS' own undo takes fields back one by one."""
    layer.undoStack().undo()
    session.expect(layer.featureCount() == kept - 1, "undo did not take one field back")
    layer.undoStack().redo()
    session.expect(layer.featureCount() == kept, "redo did not bring it again")


def check_fields(session: Session, layer: QgsVectorLayer) -> None:
    """Fields have a class and do not overlap."""
    features = list(layer.getFeatures())
    session.expect({f["class"] for f in features} == set(CLASSES), "classes are missing")
    for number, one in enumerate(features):
        for other in features[number + 1 :]:
            shared = one.geometry().intersection(other.geometry()).area()
            session.expect(shared < 1e-3, f"fields {one.id()}, {other.id()} share {shared} m2")


def check_editing(session: Session, place, layer: QgsVectorLayer) -> None:  # noqa: ANN001
    """What is cut from a field can be added to it again."""
    feature = max(layer.getFeatures(), key=lambda f: f.geometry().area())
    area = feature.geometry().area()
    inside = feature.geometry().pointOnSurface().asPoint()
    for mode, wanted in (("cut", "smaller"), ("add", "larger")):
        getattr(place.dock, f"{mode}_button").click()
        if not clicked(session, place, inside):
            session.problems.append(f"{mode}: no field at {inside}")
            continue
        for _ in range(3):
            session.key(Qt.Key.Key_Minus if mode == "cut" else Qt.Key.Key_Plus)
        session.key(Qt.Key.Key_Return)
        changed = layer.getFeature(feature.id()).geometry().area()
        fine = changed < area if wanted == "smaller" else changed > area
        session.expect(fine, f"{mode}: {area} m2 became {changed} m2, not {wanted}")
        area = changed
    place.dock.new_button.click()


def script(session: Session) -> None:
    """The session."""
    session.show()
    image = session.add_image(DATA / "s2_rgb.tif")
    place = session.plugin().window.show_dock()
    settle()
    project = QgsProject.instance()
    before = project.crs().authid(), image.id()
    session.expect(place.dock.isVisible(), "the dock is not shown")
    set_classes(place)
    place.dock.set_image(image)
    place.choice.set_layer(image)
    place._toggle_tool(True)
    session.zoom_to(image.extent())
    session.expect(session.canvas.mapTool() is place.tool, "the tool is not on the canvas")
    points = inner_points(CLICKS)
    session.move(points[0])
    wait_until(lambda: place.labelling._marks._outline is not None, "a preview")
    session.picture("click_hover")
    kept = label(session, place, points)
    layer = place.fields.target
    session.expect(kept >= 0.8 * len(points), f"{kept} fields kept of {len(points)}")
    session.expect(layer.isEditable(), "the layer is not being edited")
    check_undo(session, layer, kept)
    check_fields(session, layer)
    clicked(session, place, points[0])
    session.click(points[1], Qt.MouseButton.RightButton)
    session.picture("click_fields")
    session.key(Qt.Key.Key_Escape)
    check_editing(session, place, layer)
    after = project.crs().authid(), place.choice.layer.id()
    session.expect(before == after, f"the project was changed: {before}, {after}")
    session.move(points[2])
    layer.rollBack()
    iface.newProject(False)
    settle()
    session.expect(place.choice.layer is None, "an image that is gone is still chosen")
    session.plugin().unload()
    settle()


QTimer.singleShot(500, lambda: run(script))
