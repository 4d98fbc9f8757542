"""The Processing provider: the list of Furrow's algorithms."""

from __future__ import annotations

from collections import deque
from importlib import import_module
from pathlib import Path
from typing import Any, Deque

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from ..qgis_io.field_preview import FieldPreview

ICON = Path(__file__).resolve().parents[1] / "icons" / "furrow.svg"

_KEPT = 200

# Module and class of each algorithm; imported when QGIS asks for them, so that it starts fast.
ALGORITHMS = (
    ("generate_samples", "GenerateSamples"),
    ("clean_samples", "CleanSamples"),
    ("extract_profiles", "ExtractProfiles"),
    ("rank_images", "RankImages"),
    ("segment_prompts", "SegmentPrompts"),
    ("delineate", "Delineate"),
    ("refine_fields", "RefineFields"),
    ("encode_image", "EncodeImage"),
    ("evaluate_fields", "EvaluateFields"),
    ("export_field_crops", "ExportFieldCrops"),
    ("import_field_labels", "ImportFieldLabels"),
    ("train_field_classifier", "TrainFieldClassifier"),
    ("classify_fields", "ClassifyFields"),
)


class FurrowProvider(QgsProcessingProvider):
    """Offers the algorithms in the Toolbox, in models and to `qgis_process`."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: Deque[Any] = deque(maxlen=_KEPT)
        self.preview = FieldPreview()
        """Tells the window of fields while they are found. Qt does not own it: a run that goes on
        after the plugin was unloaded still has it."""

    def keep(self, thing: Any) -> None:
        """Hold what a run leaves to be called later; the oldest things go."""
        self._kept.append(thing)

    def id(self) -> str:
        """Return the prefix of every algorithm id; never translated."""
        return "furrow"

    def name(self) -> str:
        """Return the name shown in the Toolbox."""
        return "Furrow"

    def icon(self) -> QIcon:
        """Return the icon shown in the Toolbox."""
        return QIcon(str(ICON))

    def svgIconPath(self) -> str:
        """Return the icon's file for places that draw it at other sizes."""
        return str(ICON)

    def loadAlgorithms(self) -> None:
        """Make one instance of every algorithm."""
        for module, name in ALGORITHMS:
            algorithm = getattr(import_module(f".{module}", __package__), name)
            self.addAlgorithm(algorithm())
