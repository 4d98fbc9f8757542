"""furrow:rankimages: which date of a series shows an area best."""

from __future__ import annotations

import datetime as dt
from typing import Any, Dict, List, Optional

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputFile,
    QgsProcessingOutputString,
    QgsProcessingParameterDateTime,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterFeatureSource,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QDate

from ..core.errors import ParameterError, SeriesError
from ..core.imagery.ranking import ValidShare, valid_shares
from ..core.imagery.series import Series
from ..qgis_io.compat import DATE, INTEGER, REAL, TEXT, make_fields, to_qdate
from ..qgis_io.ground import crs_of
from ..qgis_io.monitors import monitor_of
from ..qgis_io.shapes import PolygonMask, window_of
from ..qgis_io.sinks import write_layer
from ..qgis_io.sources import moved
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm, SourceType, report_skips
from .series_parameters import add_index, add_reading, add_series, read_index, read_series

_CLEAR = 0.02
"""Shares this close to each other count as equal where a date is asked for."""


class RankImages(FurrowAlgorithm):
    """Ranks the dates of a series by the share of valid pixels in an area."""

    NAME = "rankimages"
    LABEL = "Rank images by clear sky"
    GROUP = "Samples"
    SUMMARY = "Share of valid pixels of every date in an area, and the best image."
    TAGS = "cloud,clear,date,series,sentinel,scl,quality,rank"
    HELP = (
        "Counts, for every date of a series, the pixels of an area that have data and no cloud, "
        "and ranks the dates.\n\nExample: with a field layer as area and 2022-06-15 as date, "
        "BEST_IMAGE is the clearest image, and of equally clear ones the closest to that date."
    )

    def add_parameters(self) -> None:
        add_series(self)
        self.add(
            QgsProcessingParameterFeatureSource(
                "AOI", tr("Area"), [SourceType.TypeVectorPolygon], optional=True
            ),
            tr("Polygons that matter; empty: the whole images."),
        )
        self.add(
            QgsProcessingParameterDateTime(
                "TARGET_DATE",
                tr("Wanted date"),
                type=QgsProcessingParameterDateTime.Type.Date,
                optional=True,
            ),
            tr("Of equally clear images the one closest to this date ranks first."),
        )
        add_index(self)
        add_reading(self)
        self.add(
            QgsProcessingParameterFeatureSink("OUTPUT", tr("Ranking"), SourceType.TypeVector),
            tr("A table: date, file, valid_share (0 to 1), rank (1 is best)."),
        )
        self.addOutput(QgsProcessingOutputFile("BEST_IMAGE", tr("Best image")))
        self.addOutput(QgsProcessingOutputString("BEST_DATE", tr("Best date")))

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        self._target(parameters, context)
        read_series(self, parameters, context, read_index(self, parameters, context))

    def work(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        index = read_index(self, parameters, context)
        series = read_series(self, parameters, context, index)
        area = self._area(parameters, context, series)
        shares, broken = valid_shares(series, sorted(index.roles), area, monitor_of(feedback))
        skipped = [(s.item, s.reason) for s in (*series.skipped, *broken)]
        report_skips(feedback, tr("Image"), skipped)
        if not shares:
            raise SeriesError(f"SERIES: no image of {series.folder} can be read.")
        ranked = rank(shares, self._target(parameters, context))
        best = ranked[0]
        rows = [
            (None, [to_qdate(s.image.date), s.image.info.path, round(s.share, 6), k])
            for k, s in enumerate(ranked, start=1)
        ]
        fields = make_fields(
            ("date", DATE), ("file", TEXT), ("valid_share", REAL), ("rank", INTEGER)
        )
        none = QgsWkbTypes.Type.NoGeometry
        outputs: Dict[str, Any] = {
            "OUTPUT": write_layer(
                self, parameters, "OUTPUT", context, fields, none, crs_of(series.grid), rows
            )
        }
        feedback.pushInfo(
            tr("Best image: {} ({:.1f} % valid).").format(best.image.name, 100 * best.share)
        )
        self.write_records(outputs, {"images": len(ranked)}, skipped)
        return {
            **outputs,
            "BEST_IMAGE": best.image.info.path,
            "BEST_DATE": best.image.date.isoformat(),
        }

    def _area(
        self, parameters: Dict[str, Any], context: QgsProcessingContext, series: Series
    ) -> Optional[PolygonMask]:
        source = self.parameterAsSource(parameters, "AOI", context)
        if source is None:
            return None
        shapes = list(moved(list(source.getFeatures()), source, crs_of(series.grid), context))
        if not any(not s.isEmpty() and window_of(s, series.grid) for s in shapes):
            raise ParameterError(
                "AOI: no polygon lies in the area of the images; check its coordinate reference "
                "system."
            )
        return PolygonMask(shapes, series.grid)

    def _target(
        self, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> Optional[dt.date]:
        if not parameters.get("TARGET_DATE"):
            return None
        date: QDate = self.parameterAsDateTime(parameters, "TARGET_DATE", context).date()
        if not date.isValid():
            raise ParameterError(
                f"TARGET_DATE: {parameters['TARGET_DATE']} is no date; write it like 2022-06-15."
            )
        return dt.date(date.year(), date.month(), date.day())


def rank(shares: List[ValidShare], target: Optional[dt.date]) -> List[ValidShare]:
    """Best first: clearest; where a date is wanted, nearest to it among about equally clear."""
    if target is None:
        return sorted(shares, key=lambda s: (-s.share, s.image.date, s.image.name))
    best = max(s.share for s in shares)
    return sorted(
        shares,
        key=lambda s: (
            round((best - s.share) / _CLEAR),
            abs((s.image.date - target).days),
            -s.share,
            s.image.name,
        ),
    )
