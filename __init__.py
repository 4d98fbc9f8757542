"""Furrow: field polygons, clean crop samples and crop maps from a few labelled points."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qgis.gui import QgisInterface

    from .plugin import FurrowPlugin


def classFactory(iface: QgisInterface | None) -> FurrowPlugin:  # noqa: N802 - name set by QGIS
    """Return the plugin object; QGIS calls this when it loads the plugin."""
    from .plugin import FurrowPlugin

    return FurrowPlugin(iface)
