"""From clicks to samples in the real QGIS window: a series, its seasons, both algorithms."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from qgis.core import QgsCoordinateTransform, QgsProject, QgsVectorLayer
from qgis.PyQt.QtCore import Qt, QTimer
from qgis.PyQt.QtWidgets import QTabWidget

sys.path.insert(0, os.environ["FURROW_SCRIPTS"])
from window_session import Session, run, settle, wait_until  # noqa: E402 - found by then

DATA = Path(os.environ["FURROW_DATA"])
MONTH = "2022-06-01"


def references(session: Session) -> list:
    """Reference points with their crop, on the canvas."""
    layer = QgsVectorLayer(str(DATA / "reference_points.gpkg"), "points", "ogr")
    move = QgsCoordinateTransform(
        layer.crs(), session.canvas.mapSettings().destinationCrs(), QgsProject.instance()
    )
    return [(move.transform(f.geometry().asPoint()), f["crop"]) for f in layer.getFeatures()]


def label(session: Session, place) -> None:  # noqa: ANN001
    """A field for each reference point, by its crop."""
    first = place.classes.all()[0]
    for spot, crop in references(session):
        if place.classes.by_name(crop) is None:
            place.classes.add(crop)
        place.dock.choose_class(crop)
        session.click(spot)
        wait_until(lambda: place.labelling._offer.missing is None, "an answer")
        session.key(Qt.Key.Key_Return)
        session.key(Qt.Key.Key_Escape)  # two points may lie in one field
    place.classes.remove(first)
    settle()


def show_season(session: Session, place) -> None:  # noqa: ANN001
    """The chart of a field that was clicked."""
    place.dock.findChild(QTabWidget, "tabs").setCurrentIndex(1)
    session.click(references(session)[0][0])
    wait_until(lambda: place.labelling.current is not None, "a field")
    reader = place.season.reader
    wait_until(lambda: reader.class_season is not None and not reader.busy, "the season")
    session.wait(0.3)
    session.picture("click_season")
    session.key(Qt.Key.Key_Escape)
    place.dock.findChild(QTabWidget, "tabs").setCurrentIndex(0)


def make_samples(session: Session, place, kind: str, layers: int) -> None:  # noqa: ANN001
    """Run an algorithm from the dock; as many layers have to come."""
    before = set(QgsProject.instance().mapLayers())
    place._make_samples(kind)
    session.expect(bool(place.samples._running), f"{kind} did not start")
    wait_until(lambda: not place.samples._running, f"samples to {kind}", 90)
    settle()
    new = [QgsProject.instance().mapLayer(i) for i in set(QgsProject.instance().mapLayers())
           - before]  # fmt: skip
    session.expect(len(new) == layers, f"{kind}: layers {[layer.name() for layer in new]}")
    for layer in new:
        session.expect(layer.featureCount() > 0, f"{kind}: {layer.name()} is empty")
        session.expect(layer.renderer().type() == "categorizedSymbol",
                       f"{kind}: {layer.name()} has no style")  # fmt: skip


def script(session: Session) -> None:
    """The session."""
    session.show()
    image = next(path for path in sorted((DATA / "series").iterdir()) if MONTH in path.name)
    layer = session.add_image(image)
    place = session.plugin().window.show_dock()
    settle()
    place.dock.set_image(layer)
    place.choice.set_layer(layer)
    place.season.set_series(str(DATA / "series"))
    place._toggle_tool(True)
    session.zoom_to(layer.extent())
    label(session, place)
    show_season(session, place)
    make_samples(session, place, "generate", 2)
    session.picture("click_samples")
    make_samples(session, place, "clean", 1)
    session.plugin().unload()
    settle()


QTimer.singleShot(500, lambda: run(script))
