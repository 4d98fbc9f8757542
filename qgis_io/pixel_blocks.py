"""Reading a raster layer's provider or renderer, and QGIS' blocks of pixels as arrays.

The readers keep a clone of what they read, so the layer may be gone. Several threads may ask;
they wait for each other.
"""

from __future__ import annotations

import threading
from typing import Dict, Iterable, Optional, Protocol, Sequence, Tuple

import numpy as np
from qgis.core import (
    Qgis,
    QgsRasterBlock,
    QgsRasterBlockFeedback,
    QgsRasterDataProvider,
    QgsRasterInterface,
    QgsRasterRange,
    QgsRasterRenderer,
    QgsRectangle,
)
from qgis.PyQt import sip

from ..core.errors import RasterError
from ..core.imagery.composite import stretch
from .texts import tr

_DTYPES = {
    getattr(Qgis.DataType, name): np.dtype(name.lower())
    for name in ("Int8", "UInt16", "Int16", "UInt32", "Int32", "Float32", "Float64")
    if hasattr(Qgis.DataType, name)  # Int8 came with QGIS 3.30
}
_DTYPES[Qgis.DataType.Byte] = np.dtype(np.uint8)
_OPAQUE = 255

Shown = Tuple[np.ndarray, np.ndarray]
"""(h, w, 3) uint8, 0 where not valid, and (h, w) bool: valid."""


class Reader(Protocol):
    """Where the colours of a window come from."""

    def read(
        self, extent: QgsRectangle, inside: np.ndarray, feedback: QgsRasterBlockFeedback
    ) -> Shown:
        """Read the pixels of an extent.

        :param inside: (h, w) bool: pixels that the layer has; the others are not valid.
        :param feedback: cancels the reading.
        :raises RasterError: where the layer cannot be read here.
        """


class BandReader:
    """Three bands, stretched over the window as a file's are."""

    def __init__(
        self, provider: QgsRasterDataProvider, bands: Sequence[int], alpha: Optional[int]
    ) -> None:
        """Clone the provider.

        :param bands: 1-based numbers of three numeric bands.
        :param alpha: the band that is 0 where a pixel is transparent, or None.
        """
        self._copy = _Copy(provider)
        self._bands = tuple(bands)
        self._alpha = alpha

    def read(
        self, extent: QgsRectangle, inside: np.ndarray, feedback: QgsRasterBlockFeedback
    ) -> Shown:
        """See `Reader.read`."""
        with self._copy as provider:
            return self._shown(provider, extent, inside, feedback)

    def _shown(
        self,
        provider: QgsRasterDataProvider,
        extent: QgsRectangle,
        inside: np.ndarray,
        feedback: QgsRasterBlockFeedback,
    ) -> Shown:
        values: Dict[int, np.ndarray] = {}
        empty = np.ones_like(inside)
        for band in set(self._bands):
            block = _block(provider, band, extent, inside.shape, feedback)
            values[band] = values_of(block)
            empty &= missing(block, values[band], provider.userNoDataValues(band))
        stored = np.stack([values[band] for band in self._bands])
        valid = inside & ~empty & np.isfinite(stored).all(axis=0)
        if self._alpha is not None:
            valid &= values_of(_block(provider, self._alpha, extent, inside.shape, feedback)) > 0
        return stretch(stored, valid), valid


class StyleReader:
    """The colours in which a layer's renderer shows it, whatever the layer's opacity."""

    def __init__(self, provider: QgsRasterDataProvider, renderer: QgsRasterRenderer) -> None:
        """Clone both; filters that resample or recolour are not part of the renderer."""
        self._copy = _Copy(provider)
        self.renderer = renderer.clone()
        self.renderer.setOpacity(1.0)

    def read(
        self, extent: QgsRectangle, inside: np.ndarray, feedback: QgsRasterBlockFeedback
    ) -> Shown:
        """See `Reader.read`."""
        with self._copy as provider:
            renderer = self.renderer.clone()
            renderer.setInput(provider)
            image, valid = colours_of(_block(renderer, 1, extent, inside.shape, feedback))
            valid &= inside
            if not valid.any():
                # A renderer shows nothing, and tells nothing, where the provider fails.
                for band in renderer.usesBands():
                    _block(provider, band, extent, inside.shape, feedback)
        image[~valid] = 0
        return image, valid


class _Copy:
    """A provider's clone that one thread at a time may use.

    One clone for good, not one a read: the bindings mistake a clone for an earlier one that stood
    at the same place in memory, and then call it deleted.
    """

    def __init__(self, provider: QgsRasterDataProvider) -> None:
        self._provider = provider.clone()
        # The bindings forget that the caller owns a provider's clone; of renderers they know it.
        sip.transferback(self._provider)
        # Otherwise the provider may smooth between pixels, as the layer's settings say.
        self._provider.enableProviderResampling(False)
        self._lock = threading.Lock()

    def __enter__(self) -> QgsRasterDataProvider:
        self._lock.acquire()
        return self._provider

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _block(
    source: QgsRasterInterface,
    band: int,
    extent: QgsRectangle,
    shape: Tuple[int, int],
    feedback: QgsRasterBlockFeedback,
) -> QgsRasterBlock:
    height, width = shape
    block = source.block(band, extent, width, height, feedback)
    if block is None or not block.isValid() or block.isEmpty():
        raise RasterError(tr("the pixels cannot be read"))
    return block


def is_numeric(provider: QgsRasterDataProvider, band: int) -> bool:
    """Whether a band holds plain numbers: neither colours nor complex numbers."""
    return provider.dataType(band) in _DTYPES


def values_of(block: QgsRasterBlock) -> np.ndarray:
    """(h, w) in the block's own number type; the block must be numeric."""
    values = np.frombuffer(bytes(block.data()), dtype=_DTYPES[block.dataType()])
    return values.reshape(block.height(), block.width())


def missing(
    block: QgsRasterBlock, values: np.ndarray, ranges: Iterable[QgsRasterRange]
) -> np.ndarray:
    """(h, w) bool: where the block says no data.

    :param values: the block's values.
    :param ranges: the values that the user calls no data; a block without a no data value of
        its own marks them in a bitmap that Python does not see.
    """
    found = np.zeros(values.shape, dtype=bool)
    if block.hasNoDataValue() and not np.isnan(block.noDataValue()):
        found |= values == block.noDataValue()
    for one in ranges:
        found |= _within(values, one)
    return found


def colours_of(block: QgsRasterBlock) -> Tuple[np.ndarray, np.ndarray]:
    """(h, w, 3) uint8 and (h, w) bool: the colours, and where they are not all transparent.

    Colours are as they were before they were made half transparent; 0 where nothing is shown.
    """
    packed = np.frombuffer(bytes(block.data()), dtype=np.uint32)
    packed = packed.reshape(block.height(), block.width())
    alpha = packed >> 24
    colours = np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=-1)
    faint = (alpha > 0) & (alpha < _OPAQUE)
    if block.dataType() == Qgis.DataType.ARGB32_Premultiplied and faint.any():
        share = alpha[faint][:, None]
        colours[faint] = np.minimum((colours[faint] * _OPAQUE + share // 2) // share, _OPAQUE)
    colours[alpha == 0] = 0
    return colours.astype(np.uint8), alpha > 0


def _within(values: np.ndarray, one: QgsRasterRange) -> np.ndarray:
    """Whether values lie in a range; NaN leaves an end of it open."""
    kinds = QgsRasterRange.BoundsType
    low, high, kind = one.min(), one.max(), one.bounds()
    inside = np.ones(values.shape, dtype=bool)
    if not np.isnan(low):
        closed = kind in (kinds.IncludeMinAndMax, kinds.IncludeMin)
        inside &= values >= low if closed else values > low
    if not np.isnan(high):
        closed = kind in (kinds.IncludeMinAndMax, kinds.IncludeMax)
        inside &= values <= high if closed else values < high
    return inside
