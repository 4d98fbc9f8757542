"""Three combos in a row: the bands shown as red, green and blue."""

from __future__ import annotations

from typing import Optional, Tuple

from qgis.core import QgsMultiBandColorRenderer, QgsRasterLayer
from qgis.gui import QgsRasterBandComboBox
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import QComboBox, QHBoxLayout, QSizePolicy, QWidget

from ..qgis_io.texts import tr

Bands = Optional[Tuple[int, int, int]]
"""Red, green and blue, from 1; None without an image."""


class BandRow(QWidget):
    """Bands of one raster layer."""

    bands_changed = pyqtSignal()
    """The user chose another band."""

    def __init__(self, parent: Optional[QWidget] = None) -> None:
        super().__init__(parent)
        self.setObjectName("bands_row")
        self._layer_bands = 0
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        titles = (tr("Band shown as red"), tr("Band shown as green"), tr("Band shown as blue"))
        self.combos = tuple(self._combo(title) for title in titles)
        """Red, green, blue; they follow each other in the tab order."""
        for combo in self.combos:
            row.addWidget(combo)

    def set_layer(self, layer: Optional[QgsRasterLayer]) -> None:
        """Offer the bands of a layer and show those that its style shows."""
        self._layer_bands = layer.bandCount() if layer is not None else 0
        for combo in self.combos:
            combo.blockSignals(True)
            combo.setLayer(layer)
            combo.blockSignals(False)
        self.setEnabled(layer is not None)
        self.set_bands(_styled(layer))

    def bands(self) -> Bands:
        """What the combos show."""
        if not self._layer_bands:
            # The combos go on showing the bands of a layer that is gone.
            return None
        red, green, blue = (combo.currentBand() for combo in self.combos)
        return (red, green, blue) if min(red, green, blue) > 0 else None

    def set_bands(self, bands: Bands) -> None:
        """Show bands; those that the layer lacks stay as they are."""
        for combo, band in zip(self.combos, bands or ()):
            if 0 < band <= self._layer_bands:
                combo.blockSignals(True)
                combo.setBand(band)
                combo.blockSignals(False)

    def _combo(self, title: str) -> QgsRasterBandComboBox:
        combo = QgsRasterBandComboBox(self)
        combo.setToolTip(title)
        combo.setAccessibleName(title)
        # Long band names are cut, not the dock widened.
        combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        combo.setMinimumContentsLength(1)
        combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        combo.bandChanged.connect(self.bands_changed)
        return combo


def _styled(layer: Optional[QgsRasterLayer]) -> Bands:
    """The bands that the layer's style shows as red, green and blue, else the first ones."""
    if layer is None:
        return None
    renderer, last = layer.renderer(), layer.bandCount()
    if isinstance(renderer, QgsMultiBandColorRenderer):
        shown = renderer.redBand(), renderer.greenBand(), renderer.blueBand()
        if min(shown) > 0:
            return shown
    return 1, min(2, last), min(3, last)
