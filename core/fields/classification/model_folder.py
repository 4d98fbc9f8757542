"""The folder of a field classifier: model.json, the numbers beside it, and a page for people.

    model.json      what it is: kind, classes, bands, features, where it comes from, how good it is
    forest.npz      the trees (kind "statistics"), plain arrays
    network.onnx    the network (kind "cnn"), run by onnxruntime
    README.md       the model card: the same for people

Nothing in it is code, and nothing is read that could be.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple, Union

import numpy as np

from ...errors import ModelError
from ...report.run_record import json_safe
from .bands import Bands
from .features import FEATURES_VERSION, GROUPS, feature_names
from .forest import Forest

FORMAT = 1
"""Raised when a reader of the old format would misread the new one."""
STATISTICS, CNN = "statistics", "cnn"
KINDS = (STATISTICS, CNN)
SETTINGS, FOREST, NETWORK, CARD = "model.json", "forest.npz", "network.onnx", "README.md"

Label = Union[str, int, float]
"""A class as the user's field holds it."""


@dataclass(frozen=True)
class ClassifierSettings:
    """What model.json says."""

    kind: str
    """STATISTICS or CNN."""
    classes: Tuple[Label, ...]
    """In the order of the probabilities."""
    bands: Bands
    groups: Tuple[str, ...] = GROUPS
    """Of features; for STATISTICS."""
    network: Mapping[str, Any] = field(default_factory=dict)
    """Side of the crops, margin and the like; for CNN."""
    trained: Mapping[str, Any] = field(default_factory=dict)
    """When, with which versions, on how many fields of each class and pictures, figures."""

    @property
    def features(self) -> Tuple[str, ...]:
        """Names of the features in their order."""
        return feature_names(self.bands, self.groups)


def write_settings(folder: Path, settings: ClassifierSettings, card: str) -> None:
    """Write model.json and README.md; the numbers have to be there already.

    :raises OSError: the folder cannot be written to.
    """
    content: Dict[str, Any] = {
        "format": FORMAT,
        "kind": settings.kind,
        "classes": list(settings.classes),
        "bands": settings.bands.as_json(),
        "trained": settings.trained,
    }
    if settings.kind == STATISTICS:
        content["features"] = {
            "version": FEATURES_VERSION,
            "groups": list(settings.groups),
            "names": list(settings.features),
        }
    else:
        content["network"] = settings.network
    content["card"] = card
    text = json.dumps(json_safe(content), ensure_ascii=False, indent=2) + "\n"
    (folder / CARD).write_text(card, encoding="utf-8")
    (folder / SETTINGS).write_text(text, encoding="utf-8")


def read_settings(folder: Path) -> ClassifierSettings:
    """What the folder of a classifier says of itself.

    :raises ModelError: it is no such folder, damaged, or of a newer Furrow.
    """
    path = folder / SETTINGS
    if not path.is_file():
        raise ModelError(
            f"MODEL: {folder} holds no {SETTINGS}; choose a folder that trainfieldclassifier wrote."
        )
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if said["format"] > FORMAT:
            raise ModelError(f"MODEL: {folder} was made by a newer Furrow; update Furrow.")
        return _settings(said)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"MODEL: {path} is damaged ({error}); train the model again.") from error


def _settings(said: Mapping[str, Any]) -> ClassifierSettings:
    kind = said["kind"]
    features = said.get("features", {})
    settings = ClassifierSettings(
        kind,
        tuple(said["classes"]),
        Bands.from_json(said["bands"]),
        tuple(features.get("groups", GROUPS)),
        dict(said.get("network", {})),
        dict(said.get("trained", {})),
    )
    if kind not in KINDS or len(settings.classes) < 2:
        raise ModelError("MODEL: its model.json names no kind or no classes; train it again.")
    if kind == STATISTICS and features["version"] != FEATURES_VERSION:
        raise ModelError(
            f"MODEL: it was trained with features of version {features['version']}, this Furrow "
            f"has version {FEATURES_VERSION}; train it again."
        )
    if kind == STATISTICS and tuple(features["names"]) != settings.features:
        raise ModelError("MODEL: its model.json names unknown features; train it again.")
    return settings


def write_forest(folder: Path, forest: Forest) -> None:
    """Write forest.npz."""
    arrays = {name: getattr(forest, name) for name in Forest.__dataclass_fields__}
    np.savez_compressed(folder / FOREST, **arrays)


def read_forest(folder: Path, features: int, classes: int) -> Forest:
    """Read forest.npz.

    :param features: number of features that the settings name.
    :raises ModelError: it is missing, damaged or does not belong to the settings.
    """
    path = folder / FOREST
    try:
        with np.load(path, allow_pickle=False) as stored:
            forest = Forest(**{name: stored[name] for name in Forest.__dataclass_fields__})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"MODEL: {path} is missing or damaged; train the model again.") from error
    if not _holds_together(forest, features, classes):
        raise ModelError(f"MODEL: {path} does not belong to its {SETTINGS}; train the model again.")
    return forest


def _holds_together(forest: Forest, features: int, classes: int) -> bool:
    """Whether every field comes to a leaf: children follow their parents."""
    nodes = len(forest.feature)
    sizes = {len(forest.threshold), len(forest.child), len(forest.chances), nodes}
    if len(sizes) != 1 or forest.chances.shape != (nodes, classes) or not len(forest.roots):
        return False
    if forest.stand_in.shape != (features,) or not np.isfinite(forest.chances).all():
        return False
    inner = forest.feature >= 0
    child = forest.child[inner]
    following = (child > np.flatnonzero(inner)) & (child + 1 < nodes)
    in_range = (forest.feature < features).all() and (forest.roots < nodes).all()
    return bool(following.all() and in_range and (forest.roots >= 0).all())


def sha256_of(folder: Path, kind: str) -> str:
    """SHA-256 of the file with the numbers."""
    total = hashlib.sha256()
    with (folder / (FOREST if kind == STATISTICS else NETWORK)).open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            total.update(block)
    return total.hexdigest()
