"""How a classifier of fields is trained: on statistics, here; on crops, in network_training.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Protocol, Sequence, Tuple

import numpy as np
from qgis.core import QgsProcessingContext

from ..core.fields.classification.bands import Bands
from ..core.fields.classification.features import feature_names
from ..core.fields.classification.forest import ForestOptions
from ..core.fields.classification.model_folder import STATISTICS, write_forest
from ..core.fields.classification.training import (
    LabelledFields,
    Tested,
    cross_validated,
    most_important,
    whole_forest,
)
from ..core.monitor import Monitor
from ..qgis_io.field_features import feature_table
from ..qgis_io.field_views import PlacedField, PlacedFields

_TOLD_FEATURES = 12


@dataclass(frozen=True)
class Seen:
    """What was read of fields, for a training of its own kind."""

    fields: Tuple[PlacedField, ...]
    """Those that can be used."""
    skipped: Tuple[Tuple[int, str], ...]
    """Feature id and reason of the others."""
    data: Any
    """In the order of `fields`."""


@dataclass(frozen=True)
class Trained:
    """What came of a training, beside the files that it wrote."""

    tested: Tested
    network: Mapping[str, Any] = field(default_factory=dict)
    """What model.json says of a network."""
    important: Sequence[Tuple[str, float]] = ()
    """Features and their share in the decisions."""


class Training(Protocol):
    """One kind of training."""

    kind: str
    groups: Tuple[str, ...]
    """Of features."""

    def look(
        self,
        placed: PlacedFields,
        fields: Sequence[PlacedField],
        bands: Bands,
        context: QgsProcessingContext,
        monitor: Monitor,
    ) -> Seen:
        """Read what it learns from."""

    def fit(
        self, seen: Seen, bands: Bands, labelled: LabelledFields, folder: Path, monitor: Monitor
    ) -> Trained:
        """Test, learn and write the numbers into the folder."""


@dataclass(frozen=True)
class StatisticsTraining:
    """A forest on features; fulfils `Training`."""

    options: ForestOptions
    folds: int
    groups: Tuple[str, ...]
    kind: str = STATISTICS

    def look(
        self,
        placed: PlacedFields,
        fields: Sequence[PlacedField],
        bands: Bands,
        context: QgsProcessingContext,
        monitor: Monitor,
    ) -> Seen:
        """See `Training.look`."""
        table = feature_table(placed, fields, bands, self.groups, context, monitor)
        return Seen(table.fields, table.skipped, table.values)

    def fit(
        self, seen: Seen, bands: Bands, labelled: LabelledFields, folder: Path, monitor: Monitor
    ) -> Trained:
        """See `Training.fit`; every fold is tested, then a forest grows on all fields."""
        values: np.ndarray = seen.data
        tested = cross_validated(values, labelled, self.options, self.folds, monitor.part(0, 0.8))
        forest = whole_forest(values, labelled, self.options, monitor.part(0.8, 1))
        write_forest(folder, forest)
        names = feature_names(bands, self.groups)
        return Trained(tested, {}, most_important(forest, names, _TOLD_FEATURES))
