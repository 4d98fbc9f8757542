"""Generate samples inside the real QGIS window and look at the layers it loads.

Run by `qgis --code`. Layers in memory, a Shapefile and a GeoPackage must all come with a colour a
class. Writes a picture and a list of problems to the paths in FURROW_PICTURE and FURROW_PROBLEMS;
the exit status is the verdict: 0 right, 1 problems, 2 the script itself failed.
"""

from __future__ import annotations

import os
import traceback
from pathlib import Path

from qgis import utils
from qgis.core import QgsProject
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QApplication
from qgis.utils import iface

PICTURE = Path(os.environ["FURROW_PICTURE"])
PROBLEMS = Path(os.environ["FURROW_PROBLEMS"])
SCENE = Path(os.environ["FURROW_SCENE"])


def generate() -> None:
    """Run the algorithm as the Toolbox does and let QGIS load what it made."""
    import processing  # only there when QGIS has started its own plugins

    processing.runAndLoadResults(
        "furrow:generatesamples",
        {
            "SERIES": str(SCENE / "series"),
            "REFERENCES": str(SCENE / "reference_points.gpkg"),
            "CLASS_FIELD": "crop",
            "OUTPUT": "TEMPORARY_OUTPUT",
            "FIELDS": str(PROBLEMS.parent / "fields.gpkg"),
            "REJECTED": str(PROBLEMS.parent / "rejected.shp"),
        },
    )


def problems() -> list[str]:
    """What is wrong with the layers that are there now."""
    layers = list(QgsProject.instance().mapLayers().values())
    found = [] if len(layers) == 3 else [f"{len(layers)} layers instead of 3"]
    for layer in layers:
        if layer.renderer().type() != "categorizedSymbol":
            found.append(f"{layer.name()} ({layer.source()}) is not coloured by class")
        elif len(layer.renderer().categories()) < 2:
            found.append(f"{layer.name()} has fewer than two classes")
    return found


def picture() -> None:
    """A picture of the window with the layers."""
    window, canvas = iface.mainWindow(), iface.mapCanvas()
    window.showNormal()
    window.setGeometry(0, 0, 1400, 900)
    canvas.zoomToFullExtent()
    canvas.waitWhileRendering()
    QApplication.processEvents()
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    window.grab().save(str(PICTURE))


def check() -> None:
    """Run, look, and leave with the verdict."""
    status = 2
    try:
        if "furrow" not in utils.plugins:
            utils.loadPlugin("furrow")
            utils.startPlugin("furrow")
        generate()
        QApplication.processEvents()
        found = problems()
        picture()
        PROBLEMS.write_text("\n".join(found), encoding="utf-8")
        status = 1 if found else 0
    except Exception:  # noqa: BLE001 - whatever it is, the test has to see it
        PROBLEMS.write_text(traceback.format_exc(), encoding="utf-8")
    finally:
        os._exit(status)


QTimer.singleShot(500, check)
