"""Show the demo's results in QGIS: one image, the fields, the samples.

QGIS runs it: `qgis --code demo/open_project.py` (`make run`). With FURROW_PICTURE=file.png it
writes a picture of the window and ends QGIS; its exit status says whether all layers were shown.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from qgis.core import (
    QgsContrastEnhancement,
    QgsMapLayer,
    QgsMultiBandColorRenderer,
    QgsProject,
    QgsRasterLayer,
    QgsRasterMinMaxOrigin,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QApplication, QDockWidget, QTreeView
from qgis.utils import iface, plugins

FOLDER = Path("build/demo").resolve()
"""`make run` starts QGIS in the repository root."""
COLOURS = ("B04", "B03", "B02")
MARGIN = 1.15


def open_project() -> list[QgsMapLayer]:
    """Load the layers from top to bottom, zoom to them, show the Toolbox."""
    layers = [vector_layer("samples"), vector_layer("fields"), picture_layer()]
    layers = [layer for layer in layers if layer.isValid()]
    QgsProject.instance().addMapLayers(layers)
    iface.mapCanvas().setDestinationCrs(layers[0].crs())
    zoom_to(layers[-1])
    toolbox = iface.mainWindow().findChild(QDockWidget, "ProcessingToolbox")
    if toolbox is not None:
        toolbox.show()
        show_furrow(toolbox)
    return layers


def show_furrow(toolbox: QDockWidget) -> None:
    """Open the branch with Furrow's algorithms."""
    tree = toolbox.findChild(QTreeView)
    if tree is None:
        return
    for row in range(tree.model().rowCount()):
        branch = tree.model().index(row, 0)
        if branch.data() == "Furrow":
            tree.expandRecursively(branch)
            tree.scrollTo(branch, QTreeView.ScrollHint.PositionAtTop)


def zoom_to(layer: QgsMapLayer) -> None:
    """Show all of a layer."""
    canvas = iface.mapCanvas()
    extent = canvas.mapSettings().layerExtentToOutputExtent(layer, layer.extent())
    extent.scale(MARGIN)
    canvas.setExtent(extent)
    canvas.refresh()


def vector_layer(name: str) -> QgsVectorLayer:
    """A result; its style is in its GeoPackage."""
    return QgsVectorLayer(str(FOLDER / "out" / f"{name}.gpkg"), name, "ogr")


def picture_layer() -> QgsRasterLayer:
    """The image in the middle of the season, in natural colours where the bands are named."""
    record = json.loads((FOLDER / "out" / "samples.gpkg.run.json").read_text(encoding="utf-8"))
    files = sorted(Path(record["parameters"]["SERIES"]).glob("*.tif"))
    file = files[len(files) // 2]
    layer = QgsRasterLayer(str(file), file.stem)
    bands = colour_bands(layer)
    if bands:
        layer.setRenderer(QgsMultiBandColorRenderer(layer.dataProvider(), *bands))
    layer.setContrastEnhancement(
        QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum,
        QgsRasterMinMaxOrigin.Limits.CumulativeCut,
    )
    return layer


def colour_bands(layer: QgsRasterLayer) -> list[int]:
    """Numbers of the red, green and blue band by their names; empty where one is missing."""
    provider = layer.dataProvider()
    count = provider.bandCount()
    names = {provider.generateBandName(k).split(": ")[-1]: k for k in range(1, count + 1)}
    return [names[n] for n in COLOURS] if all(n in names for n in COLOURS) else []


def show() -> None:
    """Load all; take the picture where one is asked for."""
    picture = os.environ.get("FURROW_PICTURE")
    if not picture:
        open_project()
        return
    status = 1
    try:
        status = 0 if save_picture(Path(picture), open_project()) else 1
    finally:
        os._exit(status)


def save_picture(path: Path, layers: list[QgsMapLayer]) -> bool:
    """Write a picture of the window; say whether everything was there to be shown."""
    window = iface.mainWindow()
    window.showNormal()
    window.setGeometry(0, 0, 1400, 900)
    QApplication.processEvents()
    # Again, now that the window has its size.
    zoom_to(layers[-1])
    iface.mapCanvas().waitWhileRendering()
    QApplication.processEvents()
    path.parent.mkdir(parents=True, exist_ok=True)
    return window.grab().save(str(path)) and len(layers) == 3 and "furrow" in plugins


QTimer.singleShot(500, show)
