"""Parameters of fields on images, which those that classify fields share."""

from __future__ import annotations

from typing import Any, Dict, Hashable, List, Optional, Tuple

from qgis.core import (
    QgsFeatureRequest,
    QgsFeatureSource,
    QgsProcessingContext,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterMultipleLayers,
)

from ..core.errors import ParameterError
from ..qgis_io.field_views import PlacedField, PlacedFields, place_fields
from ..qgis_io.sources import labels_of
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm, SourceType
from .image_parameters import read_image

NO_CLASS = "no_class"


def add_fields(algorithm: FurrowAlgorithm, help_text: str) -> None:
    """FIELDS."""
    algorithm.add(
        QgsProcessingParameterFeatureSource(
            "FIELDS", tr("Fields"), [SourceType.TypeVectorPolygon]
        ),
        help_text,
    )


def add_class_field(algorithm: FurrowAlgorithm, help_text: str, optional: bool = False) -> None:
    """CLASS_FIELD of FIELDS."""
    algorithm.add(
        QgsProcessingParameterField(
            "CLASS_FIELD",
            tr("Class field"),
            parentLayerParameterName="FIELDS",
            optional=optional,
        ),
        help_text,
    )


def add_more_images(algorithm: FurrowAlgorithm) -> None:
    """MORE_IMAGES and IMAGE_FIELD."""
    algorithm.add(
        QgsProcessingParameterMultipleLayers(
            "MORE_IMAGES",
            tr("More images"),
            SourceType.TypeRaster,
            optional=True,
        ),
        tr("Where the fields lie in several images: the others, with the same bands."),
        advanced=True,
    )
    algorithm.add(
        QgsProcessingParameterField(
            "IMAGE_FIELD",
            tr("Image field"),
            parentLayerParameterName="FIELDS",
            optional=True,
        ),
        tr(
            "Holds the file name of each field's image; needed where images have no place on the "
            "map. Empty: the first image that a field lies in."
        ),
        advanced=True,
    )


def read_fields(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> PlacedFields:
    """The fields with their places in INPUT and MORE_IMAGES.

    :raises ParameterError: there is no image, or no field lies in one.
    :raises RasterError: an image cannot be read.
    """
    source = read_field_source(algorithm, parameters, context)
    field = algorithm.text(parameters, "IMAGE_FIELD", context)
    placed = place_fields(source, image_paths(algorithm, parameters, context), context, field)
    if not placed.fields:
        raise ParameterError(
            f"FIELDS: none of the {source.featureCount()} feature(s) is a polygon in the area of "
            "the image; check its coordinate reference system."
        )
    return placed


def read_field_source(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> QgsFeatureSource:
    """FIELDS; polygons that cross themselves come too, whatever Processing's settings say.

    :raises ParameterError: it cannot be read.
    """
    source = algorithm.parameterAsSource(parameters, "FIELDS", context)
    if source is None:
        raise ParameterError(algorithm.invalidSourceError(parameters, "FIELDS"))
    source.setInvalidGeometryCheck(QgsFeatureRequest.InvalidGeometryCheck.GeometryNoCheck)
    return source


def image_paths(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> List[str]:
    """The files behind INPUT and MORE_IMAGES.

    :raises ParameterError: there is none, or one is no file.
    """
    paths = [read_image(algorithm, parameters, context)]
    for layer in algorithm.parameterAsLayerList(parameters, "MORE_IMAGES", context) or []:
        path = algorithm.raster_path({"MORE_IMAGES": layer}, "MORE_IMAGES", context)
        if path is not None and path not in paths:
            paths.append(path)
    return paths


def with_classes(
    placed: PlacedFields, class_field: str
) -> Tuple[List[PlacedField], List[Hashable], List[Tuple[int, str]]]:
    """The fields that have a class, their classes, and the others with a reason."""
    labels: List[Optional[Hashable]] = labels_of([f.feature for f in placed.fields], class_field)
    known = [(f, label) for f, label in zip(placed.fields, labels) if label is not None]
    without = [
        (f.feature.id(), NO_CLASS) for f, label in zip(placed.fields, labels) if label is None
    ]
    return [f for f, _ in known], [label for _, label in known], without


def check_score_field(
    algorithm: FurrowAlgorithm,
    parameters: Dict[str, Any],
    context: QgsProcessingContext,
    source: QgsFeatureSource,
) -> None:
    """SCORE_FIELD, where there is one.

    :raises ParameterError: it holds no numbers.
    """
    name = algorithm.text(parameters, "SCORE_FIELD", context)
    if name and not source.fields().field(name).isNumeric():
        raise ParameterError(
            f"SCORE_FIELD: '{name}' holds no numbers; choose a field of numbers or leave it empty."
        )
