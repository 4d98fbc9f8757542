"""What the forms (.ui) cannot say themselves: icons drawn at any size, widths, empty choices."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from qgis.core import QgsApplication, QgsMapLayer
from qgis.gui import QgsMapLayerComboBox
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QLayout, QScrollArea, QStyle, QToolButton, QWidget

ICONS = Path(__file__).resolve().parents[1] / "icons"


def set_icons(form: QWidget) -> None:
    """The icons that a form names in the properties own_icon and theme_icon.

    Where a form holds an icon, it is drawn at one size only, which blurs on fine screens.
    """
    for button in form.findChildren(QToolButton):
        if button.property("own_icon"):
            button.setIcon(own_icon(button.property("own_icon")))
        if button.property("theme_icon"):
            button.setIcon(QgsApplication.getThemeIcon(f"/{button.property('theme_icon')}.svg"))


def own_icon(name: str) -> QIcon:
    """One of Furrow's icons."""
    return QIcon(str(ICONS / f"{name}.svg"))


def forbid_sideways_scrolling(area: QScrollArea) -> None:
    """Keep an area as wide as its content, however wide the font and the language are."""
    # The inner layouts first: each remembers sizes from before texts and icons were set.
    for layout in reversed(area.widget().findChildren(QLayout)):
        layout.activate()
    bar = area.style().pixelMetric(QStyle.PixelMetric.PM_ScrollBarExtent)
    area.setMinimumWidth(area.widget().minimumSizeHint().width() + bar)


def show_layer(combo: QgsMapLayerComboBox, layer: Optional[QgsMapLayer]) -> None:
    """Show a layer; the entry for none, where the combo has one, is not found by QGIS itself."""
    combo.setLayer(layer)
    if layer is None and combo.allowEmptyLayer():
        combo.setCurrentIndex(0)


def leave_lost_layer(combo: QgsMapLayerComboBox, layer_id: str) -> None:
    """Show none where the layer that was shown is no longer offered.

    By itself a combo goes on to some other layer, which the user has not chosen.
    """
    offered = (id_of(combo.layer(place)) for place in range(combo.count()))
    if layer_id and layer_id not in offered:
        combo.blockSignals(True)
        show_layer(combo, None)
        combo.blockSignals(False)


def id_of(layer: Optional[QgsMapLayer]) -> str:
    """The id of a layer, empty for none."""
    return layer.id() if layer is not None else ""
