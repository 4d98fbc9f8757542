"""The polygon layer that accepted fields go into: made or checked, filled, changed, counted.

Every change is one edit command: one undo of QGIS takes one field back.
"""

from __future__ import annotations

import itertools
import re
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Dict, Iterator, Optional, Sequence, Set, Tuple

from osgeo import gdal
from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCoordinateTransformContext,
    QgsExpression,
    QgsFeature,
    QgsFeatureRequest,
    QgsGeometry,
    QgsMemoryProviderUtils,
    QgsRendererCategory,
    QgsVectorDataProvider,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsVectorLayerUtils,
    QgsWkbTypes,
)

from ..core.errors import OutputError
from ..core.imagery.raster_gdal import quiet
from .compat import is_null
from .field_columns import FieldMapping, FieldValues, attributes_of, field_columns
from .ground import Ground
from .polygons import clean_polygons, moved_by
from .sinks import file_of
from .styles import field_symbol, plain_field_renderer
from .texts import tr

_OTHER_COLOUR = "#8c8c8c"
_HECTARE_DIGITS = 4


def new_memory_layer(crs: QgsCoordinateReferenceSystem, name: str) -> QgsVectorLayer:
    """An empty layer of multipolygons in memory with all columns."""
    kind = QgsWkbTypes.Type.MultiPolygon
    layer = QgsMemoryProviderUtils.createMemoryLayer(name, field_columns(), kind, crs)
    layer.setCrs(crs)  # without one QGIS takes EPSG:4326
    return layer


def new_geopackage_layer(
    path: Path, crs: QgsCoordinateReferenceSystem, name: str
) -> QgsVectorLayer:
    """An empty table of multipolygons with all columns, in a new or an existing GeoPackage.

    Nothing is overwritten: the table gets a name that is free.

    :raises OutputError: the file cannot be made or changed.
    """
    if not path.parent.is_dir():
        raise OutputError(
            tr("{}: the folder does not exist; make it or choose another one.").format(path)
        )
    existed = path.exists()
    table = _free_table(path, name) if existed else _table_name(name)
    error = _write_table(path, table, crs, existed)
    layer = QgsVectorLayer(f"{path}|layername={table}", name, "ogr")
    if error or not layer.isValid():
        if not existed:
            path.unlink(missing_ok=True)
        raise OutputError(
            tr("{} cannot be written ({}); choose a folder that you may write to, and see that "
               "the disk is not full.").format(path, error or tr("the table is missing afterwards"))
        )  # fmt: skip
    return layer


def check_target(layer: QgsVectorLayer) -> None:
    """See that fields can go into a layer.

    :raises OutputError: it is no polygon layer, has no reference system or cannot be edited.
    """
    trouble = _trouble_with(layer)
    if trouble:
        raise OutputError(trouble)


def add_field(
    layer: QgsVectorLayer,
    shape: QgsGeometry,
    shape_crs: QgsCoordinateReferenceSystem,
    values: FieldValues,
    mapping: FieldMapping,
    transform_context: QgsCoordinateTransformContext,
) -> int:
    """Add a field to a layer as one edit; editing starts where it has not.

    Of several parts, a layer of single polygons gets the largest. What a column cannot hold
    stays null there.

    :returns: the feature's id until the layer is saved.
    :raises OutputError: the layer does not take it; nothing has changed then.
    """
    geometry = _for_layer(shape, shape_crs, layer, transform_context)
    if geometry.isEmpty():
        raise OutputError(tr("The field has no area; mark it again."))
    written = {**asdict(values), **_measured(geometry, layer, transform_context)}
    attributes = attributes_of(layer.fields(), mapping, written)
    feature = QgsVectorLayerUtils.createFeature(
        layer, geometry, attributes, layer.createExpressionContext()
    )
    with _one_command(layer, tr("Add field")):
        _must(layer.addFeature(feature), layer)
    return feature.id()


def change_shape(
    layer: QgsVectorLayer,
    fid: int,
    shape: QgsGeometry,
    shape_crs: QgsCoordinateReferenceSystem,
    text: str,
    transform_context: QgsCoordinateTransformContext,
    mapping: Optional[FieldMapping] = None,
) -> None:
    """Give a field another shape, and its area, as one edit; an empty shape deletes it.

    :param text: names the edit in QGIS' undo.
    :param mapping: tells the column of the area; guessed where it is not given.
    :raises OutputError: there is no such field, or the layer does not take the shape.
    """
    _existing(layer, fid)
    geometry = _for_layer(shape, shape_crs, layer, transform_context)
    with _one_command(layer, text):
        if geometry.isEmpty():
            _must(layer.deleteFeature(fid), layer)
        else:
            _reshape(layer, fid, geometry, mapping, transform_context)


def merge_fields(
    layer: QgsVectorLayer,
    fids: Sequence[int],
    transform_context: QgsCoordinateTransformContext,
    mapping: Optional[FieldMapping] = None,
) -> int:
    """Join fields into the first of them, which keeps its attributes, as one edit.

    :param mapping: tells the column of the area; guessed where it is not given.
    :returns: the id of the first.
    :raises OutputError: fewer than two fields, or apart in a layer of single polygons.
    """
    different = list(dict.fromkeys(fids))
    if len(different) < 2:
        raise OutputError(tr("Merging needs two fields or more; choose another one."))
    shapes = [clean_polygons(_existing(layer, fid).geometry()) for fid in different]
    union = clean_polygons(QgsGeometry.unaryUnion(shapes))
    if union.isMultipart() and QgsWkbTypes.isSingleType(layer.wkbType()):
        raise OutputError(
            tr("The fields lie apart, and {} holds single polygons; merge neighbours.").format(
                layer.name()
            )
        )
    geometry = _for_layer(union, layer.crs(), layer, transform_context)
    with _one_command(layer, tr("Merge fields")):
        _reshape(layer, different[0], geometry, mapping, transform_context)
        _must(layer.deleteFeatures(different[1:]), layer)
    return different[0]


def class_totals(
    layer: QgsVectorLayer,
    mapping: FieldMapping,
    transform_context: QgsCoordinateTransformContext,
) -> Dict[str, Tuple[int, float]]:
    """Class to number of fields and hectares on the ground, uncommitted edits included.

    Fields without a class are counted under an empty text.
    """
    position = layer.fields().lookupField(mapping.class_name) if mapping.class_name else -1
    ground = Ground(layer.crs(), transform_context)
    totals: Dict[str, Tuple[int, float]] = {}
    request = QgsFeatureRequest().setSubsetOfAttributes([position] if position >= 0 else [])
    for feature in layer.getFeatures(request):
        value = feature.attribute(position) if position >= 0 else None
        label = "" if is_null(value) else str(value)
        count, hectares = totals.get(label, (0, 0.0))
        totals[label] = count + 1, hectares + ground.hectares(feature.geometry())
    return totals


def style_by_class(
    layer: QgsVectorLayer, mapping: FieldMapping, classes: Sequence[Tuple[str, str]]
) -> None:
    """Draw a layer's fields in the colours of their classes.

    :param classes: name and colour, #rrggbb; fields of other classes are grey.
    """
    if not mapping.class_name:
        layer.setRenderer(plain_field_renderer())
    else:
        categories = [QgsRendererCategory(n, field_symbol(colour), n) for n, colour in classes]
        # Without a category for the rest QGIS would not draw it.
        categories.append(QgsRendererCategory(None, field_symbol(_OTHER_COLOUR), tr("other")))
        column = QgsExpression.quotedColumnRef(mapping.class_name)
        layer.setRenderer(QgsCategorizedSymbolRenderer(column, categories))
    layer.triggerRepaint()


def _table_name(name: str) -> str:
    """A layer's name as the name of a table that needs no quotes."""
    return re.sub(r"\W+", "_", name).strip("_") or "fields"


def _free_table(path: Path, name: str) -> str:
    """A table that an existing GeoPackage does not have.

    :raises OutputError: the file is no GeoPackage, or others hold it.
    """
    with quiet():
        tables = _tables(path)
    if tables is None:
        raise OutputError(
            tr("{} is no GeoPackage that you may change, or is open elsewhere; close it there or "
               "choose another name.").format(path)
        )  # fmt: skip
    wanted = _table_name(name)
    numbered = (f"{wanted}_{k}" for k in itertools.count(2))
    return next(t for t in itertools.chain([wanted], numbered) if t.lower() not in tables)


def _tables(path: Path) -> Optional[Set[str]]:
    """Lower-case names of everything in a GeoPackage; None where it cannot be written to now.

    Others may read the file meanwhile, as they may while QGIS edits it.
    """
    try:
        data = gdal.OpenEx(str(path), gdal.OF_VECTOR | gdal.OF_UPDATE, allowed_drivers=["GPKG"])
        if data is None:
            return None
        # At once: OGR would try again for half a minute.
        data.ReleaseResultSet(data.ExecuteSQL("PRAGMA busy_timeout = 200"))
        gdal.ErrorReset()
        data.ExecuteSQL("BEGIN IMMEDIATE")
        if gdal.GetLastErrorType() >= gdal.CE_Failure:
            return None
        data.ExecuteSQL("ROLLBACK")
        rows = data.ExecuteSQL("SELECT lower(name) AS name FROM sqlite_master")
        names = {row.GetField(0) for row in rows}
        data.ReleaseResultSet(rows)
    except RuntimeError:  # where somebody has called gdal.UseExceptions()
        return None
    return names


def _write_table(path: Path, table: str, crs: QgsCoordinateReferenceSystem, existed: bool) -> str:
    """Make an empty table; what went wrong, or an empty text."""
    action = QgsVectorFileWriter.ActionOnExistingFile
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    options.layerName = table
    options.actionOnExistingFile = (
        action.CreateOrOverwriteLayer if existed else action.CreateOrOverwriteFile
    )
    kind = QgsWkbTypes.Type.MultiPolygon
    context = QgsCoordinateTransformContext()
    with quiet():
        writer = QgsVectorFileWriter.create(str(path), field_columns(), kind, crs, context, options)
        error = writer.errorMessage()
        del writer  # closes the file
    return error


def _trouble_with(layer: QgsVectorLayer) -> str:
    """Why fields cannot go into a layer and what to do; empty where they can."""
    if not isinstance(layer, QgsVectorLayer) or not layer.isValid():
        return tr("The target layer cannot be read; choose another one.")
    text = ""
    can = layer.dataProvider().capabilities()
    if layer.geometryType() != QgsWkbTypes.GeometryType.PolygonGeometry:
        text = tr("{layer} holds no polygons; choose a polygon layer.")
    elif not layer.crs().isValid():
        text = tr("{layer} has no reference system; set it in the layer's properties.")
    elif layer.readOnly() or not can & QgsVectorDataProvider.Capability.AddFeatures:
        text = tr("{layer} is read-only; choose a layer that can be edited, or save a copy.")
    elif _is_locked(layer):
        text = tr("{layer} is locked by another program; close its file there.")
    return text.format(layer=layer.name())


def _is_locked(layer: QgsVectorLayer) -> bool:
    """Whether another program is writing to a layer's GeoPackage."""
    path = file_of(layer.source())
    if layer.isEditable() or path is None or path.suffix.lower() != ".gpkg":
        return False
    with quiet():
        return _tables(path) is None


def _for_layer(
    shape: QgsGeometry,
    crs: QgsCoordinateReferenceSystem,
    layer: QgsVectorLayer,
    context: QgsCoordinateTransformContext,
) -> QgsGeometry:
    """A shape as a layer holds it: its reference system, valid, single or multi, with heights.

    Of several parts, a layer of single polygons gets the largest.
    """
    moved = moved_by(shape, QgsCoordinateTransform(crs, layer.crs(), context))
    polygons = clean_polygons(moved)
    if polygons.isEmpty():
        return QgsGeometry()
    return max(polygons.coerceToType(layer.wkbType()), key=lambda part: part.area())


def _reshape(
    layer: QgsVectorLayer,
    fid: int,
    geometry: QgsGeometry,
    mapping: Optional[FieldMapping],
    context: QgsCoordinateTransformContext,
) -> None:
    """Write a geometry of the layer's type and the area it has."""
    _must(layer.changeGeometry(fid, geometry), layer)
    known = FieldMapping.guess(layer) if mapping is None else mapping
    written = _measured(geometry, layer, context)
    for position, value in attributes_of(layer.fields(), known, written).items():
        _must(layer.changeAttributeValue(fid, position, value), layer)


def _measured(
    geometry: QgsGeometry, layer: QgsVectorLayer, context: QgsCoordinateTransformContext
) -> Dict[str, float]:
    hectares = Ground(layer.crs(), context).hectares(geometry)
    return {"area_ha": round(hectares, _HECTARE_DIGITS)}


def _existing(layer: QgsVectorLayer, fid: int) -> QgsFeature:
    feature = layer.getFeature(fid)
    if not feature.isValid():
        raise OutputError(
            tr("The field is no longer in {}; choose another one.").format(layer.name())
        )
    return feature


@contextmanager
def _one_command(layer: QgsVectorLayer, text: str) -> Iterator[None]:
    """Edits within are undone together, and at once where one of them fails."""
    if not layer.isEditable():
        _must(layer.startEditing(), layer)
    layer.beginEditCommand(text)
    done = False
    try:
        yield
        done = True
    finally:
        if done:
            layer.endEditCommand()
        else:
            layer.destroyEditCommand()


def _must(done: bool, layer: QgsVectorLayer) -> None:
    if not done:
        raise OutputError(
            tr("{} does not take the change; see that it is not locked or read-only.").format(
                layer.name()
            )
        )
