"""Parameters of the segmentation model, and how they are read."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from qgis.core import QgsProcessingContext, QgsProcessingParameterFile

from ..core.fields.masks import MaskRule
from ..core.fields.segmenter import Segmenter
from ..models.segmenters.furrow_field.field_model import FAST_ID, MODEL_ID
from ..models.segmenters.registry import Registry
from ..qgis_io.places import places
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm
from .series_parameters import Whole, choice, number

DEFAULT_RULE = MaskRule.BEST
"""Measures best on the real data (docs/benchmarks.md)."""


def add_engine(algorithm: FurrowAlgorithm, scene: bool = False) -> None:
    """MODEL and MODEL_FILE.

    :param scene: for all fields of a scene, which furrow-field-fast finds as well as furrow-field
        does in two thirds of the time (docs/benchmarks.md).
    """
    ids = Registry(places()).ids()
    usual = FAST_ID if scene and ids[0] == MODEL_ID else ids[0]
    algorithm.add(
        choice("MODEL", tr("Segmentation model"), ids, usual),
        tr(
            "Who finds the field around a point or in a box. furrow-field: the trained model that "
            "comes with Furrow; it needs the Python package onnxruntime and is the default where "
            "that is installed. furrow-field-fast: the same in less time, less accurate at single "
            "points, as good for whole scenes. "
            "classical: regions of even colour, nothing to install. The others, Segment Anything "
            "and its kin, are downloaded in the model manager, which tells their sizes, licences "
            "and what they need; models of your own come last."
        ),
    )
    algorithm.add(
        QgsProcessingParameterFile("MODEL_FILE", tr("Model file"), optional=True),
        tr(
            "A model of your own in place of MODEL: an ONNX pair (.onnx; the encoder or the "
            "decoder, with the other one beside it) or a checkpoint of Segment Anything (.pth, .pt "
            "or .safetensors)."
        ),
        advanced=True,
    )


def add_model(algorithm: FurrowAlgorithm) -> None:
    """MODEL, MODEL_FILE, WINDOW and MASK_RULE."""
    add_engine(algorithm)
    algorithm.add(
        number("WINDOW", tr("Window in pixels"), Whole, 200, 32, 1024),
        tr(
            "Side of the square around a prompt that is looked at. A field that runs into its "
            "edge is looked for again in a larger one."
        ),
        advanced=True,
    )
    algorithm.add(
        choice("MASK_RULE", tr("Which mask"), [r.value for r in MaskRule], DEFAULT_RULE.value),
        tr(
            "A model offers masks from fine to coarse. finest: the smallest; best: the one with "
            "the highest score; balanced: the largest that is homogeneous (in the index where "
            "there is a series, else in brightness)."
        ),
    )


def check_model(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> None:
    """Refuse a MODEL or MODEL_FILE that cannot run here; opens no model, so it takes no time.

    :raises ModelError: a file or what runs it is missing.
    """
    Registry(places()).require(*read_model(algorithm, parameters, context))


def read_segmenter(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> Segmenter:
    """The engine behind MODEL or MODEL_FILE."""
    return Registry(places()).load(*read_model(algorithm, parameters, context))


def model_record(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> Dict[str, str]:
    """What the run record says of MODEL or MODEL_FILE."""
    return Registry(places()).record(*read_model(algorithm, parameters, context))


def read_model(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> Tuple[str, Optional[str]]:
    """MODEL and MODEL_FILE."""
    model = algorithm.parameterAsEnumString(parameters, "MODEL", context)
    return (
        model or Registry(places()).ids()[0],
        algorithm.text(parameters, "MODEL_FILE", context) or None,
    )


def read_rule(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> MaskRule:
    """MASK_RULE."""
    return MaskRule(algorithm.parameterAsEnumString(parameters, "MASK_RULE", context))
