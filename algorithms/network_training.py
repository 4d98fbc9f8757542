"""Training a network on crops of fields: its parameters, and the run in the worker's Python."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from qgis.core import QgsProcessingContext, QgsProcessingParameterFile

from ..core.errors import ParameterError
from ..core.fields.classification.bands import Bands
from ..core.fields.classification.features import GROUPS
from ..core.fields.classification.model_folder import CNN, NETWORK
from ..core.fields.classification.splits import folds_of
from ..core.fields.classification.training import LabelledFields, Tested
from ..core.monitor import Monitor
from ..models.fieldnets.crops import CropFiles
from ..models.fieldnets.launching import require_environment, run_training
from ..models.fieldnets.onnx_classifier import require_runtime
from ..models.fieldnets.order import CHANCES, WEIGHTS_FILE, TrainingOrder
from ..models.fieldnets.sizes import RESNET50, SIZES
from ..qgis_io.field_views import PlacedField, PlacedFields
from ..qgis_io.places import places
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm
from .classifier_training import Seen, Trained
from .network_crops import MARGIN, each_crop
from .series_parameters import Real, Whole, choice, number


def add_network(algorithm: FurrowAlgorithm) -> None:
    """NETWORK, EPOCHS, BATCH, CROP_SIDE, RATE and WEIGHTS."""
    definitions = (
        (
            choice("NETWORK", tr("Network"), tuple(SIZES), RESNET50),
            tr("For cnn. resnet18 and small learn faster, and from fewer fields."),
        ),
        (
            number("EPOCHS", tr("Epochs"), Whole, 30, 1, 1000),
            tr("For cnn: how often every field is looked at."),
        ),
        (
            number("BATCH", tr("Fields in a batch"), Whole, 32, 2, 512),
            tr("For cnn: fewer need less memory."),
        ),
        (
            number("CROP_SIDE", tr("Side of crops in pixels"), Whole, 128, 32, 512),
            tr("For cnn: fields are enlarged or reduced to this, with a tenth around them."),
        ),
        (
            number("RATE", tr("Learning rate"), Real, 5e-4, 1e-6, 1.0),
            tr("For cnn: the highest of the training (AdamW)."),
        ),
        (
            QgsProcessingParameterFile("WEIGHTS", tr("Weights to begin with"), optional=True),
            tr(
                "For cnn: a file with a ResNet of that size as torchvision or transformers writes "
                "it (.pth or .safetensors). Empty: random weights; nothing is downloaded."
            ),
        ),
    )
    for definition, help_text in definitions:
        algorithm.add(definition, help_text, advanced=True)


def check_network(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> None:
    """Refuse what cannot run here.

    :raises ModelError: there is no environment with PyTorch, or no onnxruntime.
    :raises ParameterError: there is no such file of weights.
    """
    require_environment(places().environment)
    require_runtime()
    weights = algorithm.text(parameters, "WEIGHTS", context)
    if weights and not Path(weights).exists():
        raise ParameterError(f"WEIGHTS: {weights} does not exist; choose a file or none.")


def read_network_training(
    algorithm: FurrowAlgorithm,
    parameters: Dict[str, Any],
    context: QgsProcessingContext,
    folds: int,
    seed: int,
) -> NetworkTraining:
    """The training that the parameters ask for."""
    order = TrainingOrder(
        classes=0,
        side=algorithm.parameterAsInt(parameters, "CROP_SIDE", context),
        network=algorithm.parameterAsEnumString(parameters, "NETWORK", context),
        epochs=algorithm.parameterAsInt(parameters, "EPOCHS", context),
        batch=algorithm.parameterAsInt(parameters, "BATCH", context),
        rate=algorithm.parameterAsDouble(parameters, "RATE", context),
        seed=seed,
        weights=algorithm.text(parameters, "WEIGHTS", context),
    )
    return NetworkTraining(order, folds, places().environment)


@dataclass(frozen=True)
class NetworkTraining:
    """A network on crops; fulfils `Training`."""

    order: TrainingOrder
    """All but the number of classes."""
    folds: int
    environment: Path
    """With PyTorch."""
    groups: Tuple[str, ...] = GROUPS
    kind: str = CNN

    def look(
        self,
        placed: PlacedFields,
        fields: Sequence[PlacedField],
        bands: Bands,
        context: QgsProcessingContext,
        monitor: Monitor,
    ) -> Seen:
        """See `Training.look`; the crops lie in a temporary folder, for they may be many."""
        folder = _Folder()
        files = CropFiles(folder.path, max(1, len(fields)), self.order.side)
        kept: List[PlacedField] = []
        skipped: List[Tuple[int, str]] = []
        for each, crop, reason in each_crop(
            placed, fields, bands, self.order.side, context, monitor
        ):
            if crop is None:
                skipped.append((each.feature.id(), reason))
            else:
                files.add(crop)
                kept.append(each)
        return Seen(tuple(kept), tuple(skipped), (files, folder))

    def fit(
        self, seen: Seen, bands: Bands, labelled: LabelledFields, folder: Path, monitor: Monitor
    ) -> Trained:
        """See `Training.fit`; one fold is held back for the test, the network is that of it."""
        files, crops = seen.data
        classes = len(labelled.classes)
        fold_of = folds_of(
            labelled.groups, labelled.labels, classes, self.folds, self.order.seed
        )
        held = fold_of == 0
        files.finish(labelled.labels, held)
        order = TrainingOrder(**{**vars(self.order), "classes": classes})
        said = run_training(self.environment, crops.path, order, monitor)
        tested = _tested(labelled, held, np.load(crops.path / CHANCES, allow_pickle=False))
        for name in (NETWORK, WEIGHTS_FILE):
            shutil.move(str(crops.path / name), str(folder / name))
        network = {**vars(order), **said, "margin": MARGIN, "held": int(held.sum())}
        return Trained(tested, network)


class _Folder:
    """A temporary folder that is gone with this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="furrow_crops_"))
        weakref.finalize(self, shutil.rmtree, self.path, True)


def _tested(labelled: LabelledFields, held: np.ndarray, chances: np.ndarray) -> Tested:
    """:param chances: (k, c) of the fields that were held back."""
    found = np.full(len(held), -1, np.int64)
    found[held] = chances.argmax(axis=1)
    every = np.full((len(held), len(labelled.classes)), np.nan)
    every[held] = chances
    return Tested(np.where(held, 0, -1), found, every, labelled)
