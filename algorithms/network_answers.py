"""Classes of fields by a network, which onnxruntime runs on crops."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Sequence, Tuple

import numpy as np
from qgis.core import QgsProcessingContext

from ..core.errors import ModelError
from ..core.fields.classification.model_folder import NETWORK, ClassifierSettings
from ..core.monitor import Monitor
from ..models.fieldnets.crops import CropBatch, FieldCrop
from ..models.fieldnets.onnx_classifier import NetworkClassifier, require_runtime
from ..qgis_io.field_views import PlacedField, PlacedFields
from .network_crops import each_crop

_TOGETHER = 32
_SIDES = range(16, 1025)


def check_network_model(folder: Path, settings: ClassifierSettings) -> None:
    """Refuse a network that cannot run here; opens no file, so it takes no time.

    :raises ModelError: what runs it is missing, or it does not say how it wants its crops.
    """
    require_runtime()
    _side_of(folder, settings)


def network_answers(
    folder: Path,
    settings: ClassifierSettings,
    placed: PlacedFields,
    context: QgsProcessingContext,
    monitor: Monitor,
) -> Tuple[Sequence[PlacedField], np.ndarray, Sequence[Tuple[int, str]]]:
    """The fields that could be classified, (n, c) probabilities, and the others with a reason.

    :raises ModelError: the network cannot be run.
    :raises Cancelled:
    """
    classifier = NetworkClassifier(folder / NETWORK, len(settings.classes))
    side = _side_of(folder, settings)
    fields: List[PlacedField] = []
    skipped: List[Tuple[int, str]] = []
    waiting: List[FieldCrop] = []
    found = [np.zeros((0, len(settings.classes)), np.float32)]
    crops = each_crop(placed, placed.fields, settings.bands, side, context, monitor)
    for field, crop, reason in crops:
        if crop is None:
            skipped.append((field.feature.id(), reason))
            continue
        fields.append(field)
        waiting.append(crop)
        if len(waiting) == _TOGETHER:
            found.append(classifier.chances(CropBatch.of(tuple(waiting))))
            waiting.clear()
    if waiting:
        found.append(classifier.chances(CropBatch.of(tuple(waiting))))
    return fields, np.concatenate(found), skipped


def _side_of(folder: Path, settings: ClassifierSettings) -> int:
    side: Any = settings.network.get("side")
    if not isinstance(side, int) or side not in _SIDES:
        raise ModelError(
            f"MODEL: {folder} does not say how large its crops are; train the model again."
        )
    return side
