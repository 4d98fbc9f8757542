"""furrow:extractprofiles: the time series of an index at points or in polygons, as a table."""

from __future__ import annotations

from typing import Any, Dict, Iterator

import numpy as np
from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterFeatureSource,
    QgsWkbTypes,
)

from ..core.errors import ParameterError
from ..core.samples.cleaning import Reason
from ..core.samples.gapfill import fill_gaps
from ..core.samples.profiles import Profiles
from ..core.samples.zones import zone_profiles
from ..qgis_io.compat import BOOLEAN, DATE, INTEGER, REAL, make_fields, to_qdate
from ..qgis_io.ground import crs_of
from ..qgis_io.monitors import monitor_of
from ..qgis_io.sinks import Row, write_layer
from ..qgis_io.texts import tr
from ..qgis_io.zones import ZoneLayer, read_zones
from .base import FurrowAlgorithm, SourceType, report_skips
from .series_parameters import (
    Real,
    add_index,
    add_reading,
    add_series,
    choice,
    number,
    read_index,
    read_series,
)


class ExtractProfiles(FurrowAlgorithm):
    """Writes one row a feature and date."""

    NAME = "extractprofiles"
    LABEL = "Extract profiles"
    GROUP = "Samples"
    SUMMARY = "Time series of a spectral index at points or in polygons, as a table."
    TAGS = "profile,time series,ndvi,phenology,sentinel,table,extract"
    HELP = (
        "Reads a spectral index on every date of a series at points, or as the median of the "
        "valid pixels of polygons.\n\nExample: field polygons and NDVI give a table with one row "
        "a field and date, ready to be plotted."
    )

    def add_parameters(self) -> None:
        add_series(self)
        kinds = [SourceType.TypeVectorPoint, SourceType.TypeVectorPolygon]
        self.add(
            QgsProcessingParameterFeatureSource("INPUT", tr("Points or polygons"), kinds),
            tr("A polygon's value is the median of its valid pixels; half of them must be valid."),
        )
        add_index(self)
        self.add(
            choice("GAPFILL", tr("Gap filling"), ("none", "linear"), "none"),
            tr("linear: between two valid dates, in days; filled values are flagged."),
        )
        self.add(
            number("MAX_GAP_DAYS", tr("Longest gap to fill in days"), Real, 60.0, 0.0),
            tr("Longer gaps stay empty."),
            advanced=True,
        )
        add_reading(self)
        self.add(
            QgsProcessingParameterFeatureSink("OUTPUT", tr("Profiles"), SourceType.TypeVector),
            tr("A table: fid of the feature, date, value, valid, interpolated."),
        )
        self.addOutput(QgsProcessingOutputNumber("FEATURES", tr("Features with a profile")))
        self.addOutput(QgsProcessingOutputNumber("SKIPPED", tr("Skipped features")))

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        read_series(self, parameters, context, read_index(self, parameters, context))

    def work(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        index = read_index(self, parameters, context)
        series = read_series(self, parameters, context, index)
        source = self.parameterAsSource(parameters, "INPUT", context)
        if source is None:
            raise ParameterError(self.invalidSourceError(parameters, "INPUT"))
        layer = read_zones(source, series.grid, context)
        if not layer.sizes.any():
            raise ParameterError(
                f"INPUT: none of the {len(layer.features)} feature(s) lies in the area of the "
                "images; check its coordinate reference system."
            )
        monitor = monitor_of(feedback)
        profiles = zone_profiles(series, layer.zones, index, monitor)
        monitor.check()
        images = [(s.item, s.reason) for s in (*series.skipped, *profiles.broken)]
        report_skips(feedback, tr("Image"), images)
        outside = [f.id() for f, size in zip(layer.features, layer.sizes) if size == 0]
        skipped = [(fid, Reason.OUTSIDE.value) for fid in outside]
        report_skips(feedback, tr("Feature"), skipped)
        linear = self.parameterAsEnumString(parameters, "GAPFILL", context) == "linear"
        gap = self.parameterAsDouble(parameters, "MAX_GAP_DAYS", context) if linear else 0.0
        fields = make_fields(
            ("fid", INTEGER), ("date", DATE), ("value", REAL), ("valid", BOOLEAN),
            ("interpolated", BOOLEAN),
        )  # fmt: skip
        none = QgsWkbTypes.Type.NoGeometry
        outputs: Dict[str, Any] = {
            "OUTPUT": write_layer(
                self, parameters, "OUTPUT", context, fields, none, crs_of(series.grid),
                _rows(layer, profiles, gap),
            )
        }  # fmt: skip
        counts = {"FEATURES": len(layer.features) - len(outside), "SKIPPED": len(outside)}
        self.write_records(outputs, counts, images + skipped)
        return {**outputs, **counts}


def _rows(layer: ZoneLayer, profiles: Profiles, gap: float) -> Iterator[Row]:
    """One row a feature and date; features outside the images have none."""
    filled, _, interpolated = fill_gaps(profiles.values, profiles.valid, profiles.days, gap)
    dates = [to_qdate(date) for date in profiles.dates]
    for k, feature in enumerate(layer.features):
        if layer.sizes[k] == 0:
            continue
        for t, date in enumerate(dates):
            value = float(filled[k, t])
            yield None, [
                feature.id(),
                date,
                None if np.isnan(value) else round(value, 6),
                bool(profiles.valid[k, t]),
                bool(interpolated[k, t]),
            ]
