"""Pictures of any raster layer that QGIS can show, read through its data provider.

Never through the screen: at the layer's own pixels, or at a chosen size of pixel where a web
service has none. The layer is looked at once, on the main thread; what is needed is cloned, so
that windows can be read in other threads while the layer goes away.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Iterable, List, Optional, Sequence, Tuple

import numpy as np
from qgis.core import (
    QgsColorRampShader,
    QgsMultiBandColorRenderer,
    QgsPalettedRasterRenderer,
    QgsPointXY,
    QgsRaster,
    QgsRasterBlockFeedback,
    QgsRasterLayer,
    QgsRectangle,
    QgsSingleBandPseudoColorRenderer,
)

from ..core.errors import BandError, Cancelled, RasterError
from ..core.imagery.bands import REFLECTANCE, role_of, roles_from_names
from ..core.imagery.dates import date_from_name, date_from_tags
from ..core.imagery.grid import Grid, Window
from ..core.imagery.pictures import FALSE_COLOUR, TRUE_COLOUR, Picture, default_bands
from ..core.monitor import SILENT, Monitor
from .layer_grids import edges, own_grid, web_grid
from .layer_sources import renderer_text, source_of
from .pixel_blocks import BandReader, Reader, StyleReader, is_numeric
from .texts import tr

_METRES = 10.0


class Look(Enum):
    """How a layer may be looked at."""

    FALSE_COLOUR = "false_colour"
    """Near infrared, red and green, stretched."""
    TRUE_COLOUR = "true_colour"
    """Red, green and blue, stretched."""
    BANDS = "bands"
    """Three bands of the user's choice, stretched."""
    STYLED = "styled"
    """As the layer's renderer shows it."""


_ROLES = {Look.FALSE_COLOUR: FALSE_COLOUR, Look.TRUE_COLOUR: TRUE_COLOUR}


@dataclass(frozen=True)
class LayerLook:
    """A look, and the user's bands where it shows those."""

    look: Look
    bands: Optional[Tuple[int, int, int]] = None
    """1-based, for `Look.BANDS`; None: those that `bands_for` gives."""


def looks_of(layer: QgsRasterLayer) -> Tuple[Look, ...]:
    """The looks that a layer can offer, the best one first; STYLED is always the last."""
    offered = [look for look in Look if look is Look.STYLED or bands_for(layer, look)]
    return tuple(offered)


def bands_for(layer: QgsRasterLayer, look: Look) -> Optional[Tuple[int, int, int]]:
    """The 1-based bands of a look; None where the layer cannot offer it, and for STYLED.

    For BANDS those that the layer shows as red, green and blue, else the likely ones.
    """
    if look is Look.STYLED or not _has_numbers(layer):
        return None
    names = band_names(layer)
    if look is Look.BANDS:
        return _shown_bands(layer) or default_bands(names)
    roles = roles_from_names(names)
    if not all(role in roles for role in _ROLES[look]):
        return None
    return tuple(roles[role] for role in _ROLES[look])


def band_names(layer: QgsRasterLayer) -> Tuple[str, ...]:
    """One name a band, B04 of QGIS' "Band 1: B04"; "Band 1" where a band has no name."""
    provider = layer.dataProvider()
    if provider is None or not layer.isValid():
        return ()
    names = (provider.generateBandName(k + 1) for k in range(provider.bandCount()))
    return tuple(name.partition(": ")[2] or name for name in names)


def is_web(layer: QgsRasterLayer) -> bool:
    """Whether a layer has no pixels of its own, as the pictures of web services have none."""
    provider = layer.dataProvider()
    return provider is not None and layer.isValid() and provider.xSize() <= 0


class LayerPictures:
    """One raster layer on the grid of its provider; fulfils `Pictures`."""

    def __init__(
        self,
        layer: QgsRasterLayer,
        look: LayerLook,
        metres: float = _METRES,
        centre: Optional[QgsPointXY] = None,
    ) -> None:
        """Look at the layer, on the main thread.

        :param metres: how large a pixel of a web layer may be on the ground.
        :param centre: where on a web layer that is so, in the layer's reference system; None:
            in its middle.
        :raises RasterError: where the layer cannot be used.
        :raises BandError: where it cannot offer that look.
        """
        provider = layer.dataProvider()
        if provider is None or not layer.isValid() or layer.renderer() is None:
            raise RasterError(
                tr("The layer {name} cannot be read; repair its data source.").format(
                    name=layer.name()
                )
            )
        source = source_of(layer)
        info = source.describe()
        self.grid = web_grid(layer, metres, centre) if is_web(layer) else own_grid(layer)
        self.name = source.file_name or layer.name()
        self.date = (
            date_from_name(self.name)
            or date_from_tags(info.tags if info else {})
            or date_from_name(layer.name())
        )
        self._layer_name = layer.name()
        self._edges = self.grid.bounds() if is_web(layer) else edges(layer)
        self._outline = info.grid if info and _is_rotated(info.grid) else None
        self._reader, settings = _reader_for(layer, look)
        self.key = _digest([source.identity(), asdict(self.grid), settings])

    def prepare(self, windows: Iterable[Window], monitor: Monitor = SILENT) -> None:
        """Nothing to choose."""

    def pictures(self, window: Window) -> Sequence[Picture]:
        """See `Pictures.pictures`. Any thread may call."""
        return [self.read(window)]

    def patch(self, window: Window, name: str) -> np.ndarray:
        """See `Pictures.patch`."""
        return self.read(window).image

    def read(self, window: Window, feedback: Optional[QgsRasterBlockFeedback] = None) -> Picture:
        """The picture of a window of `grid`. Any thread may call, several at once.

        :param feedback: cancels the reading, from any thread.
        :returns: a picture without a valid pixel where the layer shows nothing; so it is too
            where the tiles of a service fail and QGIS does not tell.
        :raises RasterError: where nothing can be read.
        :raises Cancelled: where the feedback was cancelled.
        """
        feedback = QgsRasterBlockFeedback() if feedback is None else feedback
        _check(feedback)
        try:
            image, valid = self._reader.read(self._extent(window), self._inside(window), feedback)
        except RasterError as error:
            _check(feedback)
            raise self._unreadable(error) from error
        _check(feedback)
        if feedback.errors() and not valid.any():
            raise self._unreadable(feedback.errors()[0])
        brightness = image.mean(axis=2, dtype=np.float32) / np.float32(255)
        feature = np.where(valid, brightness, np.float32(np.nan))
        return Picture(image, valid, feature, self.date, self.name)

    def _extent(self, window: Window) -> QgsRectangle:
        """A window in map units, whose edges are the layer's own where it touches them."""
        west, south, east, north = self._edges
        cols = np.array([window.col, window.col + window.width]) / self.grid.width
        rows = np.array([window.row, window.row + window.height]) / self.grid.height
        x = west * (1 - cols) + east * cols
        y = north * (1 - rows) + south * rows
        return QgsRectangle(float(x[0]), float(y[1]), float(x[1]), float(y[0]))

    def _inside(self, window: Window) -> np.ndarray:
        """(h, w) bool: not in the corners that QGIS adds to a rotated file."""
        if self._outline is None:
            return np.ones((window.height, window.width), dtype=bool)
        rows, cols = np.mgrid[window.slices]
        x, y = self._outline.to_pixel(*self.grid.centres(rows, cols))
        return (x >= 0) & (x < self._outline.width) & (y >= 0) & (y < self._outline.height)

    def _unreadable(self, reason: object) -> RasterError:
        text = tr(
            "The layer {name} cannot be read here: {reason}; see whether its file is whole or its "
            "service can be reached."
        )
        return RasterError(text.format(name=self._layer_name, reason=str(reason).strip(" .")))


def _check(feedback: QgsRasterBlockFeedback) -> None:
    if feedback.isCanceled():
        raise Cancelled


def _has_numbers(layer: QgsRasterLayer) -> bool:
    """Whether the bands hold measurements: neither colours nor codes of classes."""
    provider = layer.dataProvider()
    if provider is None or not layer.isValid() or is_web(layer):
        return False
    count = provider.bandCount()
    if count == 0 or (count == 1 and _holds_classes(layer)):
        return False
    return all(is_numeric(provider, k + 1) for k in range(count))


def _holds_classes(layer: QgsRasterLayer) -> bool:
    renderer = layer.renderer()
    if isinstance(renderer, QgsSingleBandPseudoColorRenderer):
        shader = renderer.shader()
        ramp = shader.rasterShaderFunction() if shader is not None else None
        exact = QgsColorRampShader.Type.Exact
        return isinstance(ramp, QgsColorRampShader) and ramp.colorRampType() == exact
    palette = QgsRaster.ColorInterpretation.PaletteIndex
    coded = layer.dataProvider().colorInterpretation(1) == palette
    return coded or isinstance(renderer, QgsPalettedRasterRenderer)


def _shown_bands(layer: QgsRasterLayer) -> Optional[Tuple[int, int, int]]:
    renderer = layer.renderer()
    if not isinstance(renderer, QgsMultiBandColorRenderer):
        return None
    bands = renderer.redBand(), renderer.greenBand(), renderer.blueBand()
    return bands if all(1 <= band <= layer.bandCount() for band in bands) else None


def _is_rotated(grid: Grid) -> bool:
    return grid.transform[2] != 0 or grid.transform[4] != 0


def _reader_for(layer: QgsRasterLayer, look: LayerLook) -> Tuple[Reader, List[Any]]:
    """What reads the layer, and what tells its pictures from those of another look."""
    provider = layer.dataProvider()
    if look.look is Look.STYLED:
        reader = StyleReader(provider, layer.renderer())
        bands, style = reader.renderer.usesBands(), renderer_text(reader.renderer)
    else:
        bands, style = _bands_of(layer, look), ""
        reader = BandReader(provider, bands, _alpha_band(layer, bands))
    no_data = [
        [provider.useSourceNoDataValue(k)]
        + [[r.min(), r.max(), r.asText()] for r in provider.userNoDataValues(k)]
        for k in bands
    ]
    return reader, [look.look.value, list(bands), no_data, style]


def _bands_of(layer: QgsRasterLayer, look: LayerLook) -> Tuple[int, ...]:
    possible = bands_for(layer, look.look)
    if possible is None:
        text = tr("The layer {name} has no bands for this look; choose another one.")
        raise BandError(text.format(name=layer.name()))
    chosen = look.bands if look.look is Look.BANDS and look.bands else possible
    if len(chosen) != 3 or min(chosen) < 1 or max(chosen) > layer.bandCount():
        text = tr("{name} has {count} band(s); bands {bands} were asked for.")
        raise BandError(
            text.format(name=layer.name(), count=layer.bandCount(), bands=tuple(chosen))
        )
    return tuple(chosen)


def _alpha_band(layer: QgsRasterLayer, shown: Sequence[int]) -> Optional[int]:
    """The band that says where pixels are transparent.

    GDAL calls the fourth of four bytes so, where the file does not say: a band that is shown
    or has the name of a reflectance is none.
    """
    provider, alpha = layer.dataProvider(), QgsRaster.ColorInterpretation.AlphaBand
    for band, name in enumerate(band_names(layer), start=1):
        measured = band in shown or role_of(name) in REFLECTANCE
        if provider.colorInterpretation(band) == alpha and not measured:
            return band
    return None


def _digest(parts: List[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
