"""How outputs look: samples by class, rejected ones hollow, fields as coloured outlines.

A GeoPackage keeps its style as the default one, other files have a .qml beside them, so that
they open styled anywhere.
"""

from __future__ import annotations

from typing import Any, Callable, Optional, Sequence

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsFeatureRenderer,
    QgsFillSymbol,
    QgsMarkerSymbol,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsProcessingUtils,
    QgsRendererCategory,
    QgsSingleSymbolRenderer,
    QgsSymbol,
    QgsVectorLayer,
)

from ..core.palette import colours_of
from .sinks import file_of


def sample_renderer(column: str, classes: Sequence[Any]) -> QgsFeatureRenderer:
    """Filled points, one colour a class."""

    def symbol(colour: str) -> QgsSymbol:
        return QgsMarkerSymbol.createSimple(
            {"name": "circle", "color": colour, "size": "1.6", "outline_color": "#ffffff",
             "outline_width": "0.1"}
        )  # fmt: skip

    return _by_class(column, classes, symbol)


def rejected_renderer(column: str, classes: Sequence[Any]) -> QgsFeatureRenderer:
    """Hollow points, one colour a class."""

    def symbol(colour: str) -> QgsSymbol:
        return QgsMarkerSymbol.createSimple(
            {"name": "circle", "color": "0,0,0,0", "size": "1.6", "outline_color": colour,
             "outline_width": "0.3"}
        )  # fmt: skip

    return _by_class(column, classes, symbol)


def field_renderer(column: str, classes: Sequence[Any]) -> QgsFeatureRenderer:
    """Outlines with a light fill, one colour a class."""
    return _by_class(column, classes, field_symbol)


def plain_field_renderer() -> QgsFeatureRenderer:
    """Outlines in one colour that shows on any image."""
    return QgsSingleSymbolRenderer(field_symbol("#e69f00"))


def field_symbol(colour: str) -> QgsSymbol:
    """An outline in a colour, #rrggbb, with a light fill."""
    return QgsFillSymbol.createSimple(
        {"color": _see_through(colour), "outline_color": colour, "outline_width": "0.5"}
    )


def _see_through(colour: str) -> str:
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return f"{red},{green},{blue},50"


def _by_class(
    column: str, classes: Sequence[Any], symbol: Callable[[str], QgsSymbol]
) -> QgsFeatureRenderer:
    categories = [
        QgsRendererCategory(value, symbol(colour), str(value))
        for value, colour in colours_of(classes).items()
    ]
    return QgsCategorizedSymbolRenderer(f'"{column}"', categories)


class Styler(QgsProcessingLayerPostProcessorInterface):
    """Sets the renderer when Processing loads a file, which it does without the file's style."""

    def __init__(self, renderer: QgsFeatureRenderer) -> None:
        super().__init__()
        self._renderer = renderer

    def postProcessLayer(
        self,
        layer: QgsVectorLayer,
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> None:
        """Called by QGIS on the main thread."""
        if isinstance(layer, QgsVectorLayer):
            layer.setRenderer(self._renderer.clone())
            layer.triggerRepaint()


def apply_style(
    destination: Optional[str],
    renderer: QgsFeatureRenderer,
    context: QgsProcessingContext,
    keep: Callable[[Styler], None],
) -> None:
    """Give an output its style: in memory at once, in a file for whoever opens it.

    :param keep: holds what Processing calls when it loads the layer; the algorithm that runs is
        a copy that is gone by then.
    """
    if not destination:
        return
    path = file_of(destination)
    if path is None:
        layer = QgsProcessingUtils.mapLayerFromString(destination, context)
    else:
        layer = QgsVectorLayer(destination, "style", "ogr")
    if layer is None or not layer.isValid():
        return
    layer.setRenderer(renderer.clone())
    if path is not None and path.suffix.lower() == ".gpkg":
        layer.saveStyleToDatabase("furrow", "Furrow's default", True, "")
    elif path is not None:
        layer.saveNamedStyle(str(path.with_suffix(".qml")))
    if context.willLoadLayerOnCompletion(destination):
        styler = Styler(renderer)
        keep(styler)
        context.layerToLoadOnCompletionDetails(destination).setPostProcessor(styler)
