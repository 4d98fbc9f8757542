"""Where the pixels of a raster layer come from: its file, and what tells it from others."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional
from urllib.parse import unquote

from osgeo import gdal
from qgis.core import QgsProviderRegistry, QgsRasterLayer, QgsRasterRenderer
from qgis.PyQt.QtXml import QDomDocument, QDomElement, QDomNode

from ..core.errors import RasterError
from ..core.imagery.raster import RasterInfo
from ..core.imagery.raster_gdal import describe, quiet

_SECRET = re.compile(
    r"(?:(?<=[?&;\s\"'])|^)(?:http-header:[^=&]*|x-(?:amz|goog)-[a-z-]*|[a-z_]*(?:token|secret)"
    r"|user|username|password|authcfg|api_?key|key|sig|signature)=(?:'[^']*'|[^&;\s\"']*)",
    re.IGNORECASE,
)
_LOGIN = re.compile(r"(?<=//)[^/@\s]*@")
_BY_PRODUCTS = (".aux.xml", ".ovr")
"""Files that QGIS or GDAL writes beside an image: statistics and overviews."""


@dataclass(frozen=True)
class LayerSource:
    """What a raster layer is read from."""

    provider: str
    """QGIS' name of the driver, such as gdal or wms."""
    text: str
    """The source as QGIS holds it; it may hold credentials."""
    path: str
    """The file's path; empty where there is none or it is not on this machine."""
    file_name: str
    """Without folders; empty where there is none."""

    def describe(self) -> Optional[RasterInfo]:
        """What GDAL says of a file on this machine; None where it cannot."""
        if self.provider != "gdal" or not self.path:
            return None
        try:
            return describe(self.text)
        except RasterError:
            return None

    def identity(self) -> Dict[str, Any]:
        """What tells this source from others, the state of its files too; no credentials."""
        text = self.text.replace(self.path, str(Path(self.path).resolve())) if self.path else ""
        return {
            "provider": self.provider,
            "source": without_credentials(text or self.text),
            "files": [_state(path) for path in self._files()],
        }

    def _files(self) -> List[str]:
        """The files that hold the pixels, as a virtual raster has several."""
        if not self.path:
            return []
        if self.provider != "gdal":
            return [self.path]
        try:
            with quiet():
                dataset = gdal.OpenEx(self.text, gdal.OF_RASTER)
        except RuntimeError:  # where somebody called gdal.UseExceptions()
            dataset = None
        listed = (dataset.GetFileList() if dataset is not None else None) or []
        files = {path for path in listed if not path.endswith(_BY_PRODUCTS)}
        return sorted(files | {self.path})


def source_of(layer: QgsRasterLayer) -> LayerSource:
    """Look at a layer's source; nothing is opened."""
    provider, text = layer.dataProvider().name(), layer.source()
    parts = QgsProviderRegistry.instance().decodeUri(provider, text)
    path = str(parts.get("path") or "")
    named = "" if path.startswith("<") else str(parts.get("vsiSuffix") or path)
    name = named.split("?")[0].replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return LayerSource(provider, text, path if _stat(path) is not None else "", name)


def without_credentials(source: str) -> str:
    """A source without user names, passwords, keys and tokens."""
    bare = source
    # A service's address is encoded within the source, and may hold some itself.
    for text in (str, unquote):
        bare = _LOGIN.sub("", _SECRET.sub("", text(bare)))
    return bare


def renderer_text(renderer: QgsRasterRenderer) -> str:
    """A renderer's settings as text, the same in every run.

    Qt writes the attributes of XML in an order that changes from run to run.
    """
    document = QDomDocument()
    root = document.createElement("style")
    renderer.writeXml(document, root)
    return json.dumps(_plain_xml(root))


def _plain_xml(element: QDomElement) -> List[Any]:
    attributes = element.attributes()
    pairs = [attributes.item(k).toAttr() for k in range(attributes.count())]
    nodes = element.childNodes()
    children = [_plain_node(nodes.item(k)) for k in range(nodes.count())]
    return [element.tagName(), sorted([pair.name(), pair.value()] for pair in pairs), children]


def _plain_node(node: QDomNode) -> Any:
    return _plain_xml(node.toElement()) if node.isElement() else node.nodeValue()


def _state(path: str) -> List[Any]:
    """Path, size and time of the last change of a file; the path alone where it is not here."""
    found = _stat(path)
    if found is None:
        return [without_credentials(path)]
    return [str(Path(path).resolve()), found.st_size, found.st_mtime_ns]


def _stat(path: str) -> Optional[os.stat_result]:
    try:
        return Path(path).stat() if path else None
    except (OSError, ValueError):  # such as a name that is too long, or holds a null character
        return None
