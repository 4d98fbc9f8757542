"""Parameters that several algorithms share, and how they are read."""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
)

from ..core.errors import ParameterError
from ..core.imagery.bands import parse_bands
from ..core.imagery.indices import Index, parse_index
from ..core.imagery.quality import DEFAULT_INVALID, parse_invalid_codes
from ..core.imagery.series import Series, SeriesOptions, open_series
from ..core.samples.cleaning import CleaningOptions
from ..core.samples.distances import Metric, require
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm

Whole = QgsProcessingParameterNumber.Type.Integer
Real = QgsProcessingParameterNumber.Type.Double


def choice(
    name: str, label: str, options: Sequence[str], default: Optional[str]
) -> QgsProcessingParameterEnum:
    """An enumeration whose values are their own texts."""
    return QgsProcessingParameterEnum(
        name, label, options=list(options), defaultValue=default, usesStaticStrings=True
    )


def number(
    name: str,
    label: str,
    kind: QgsProcessingParameterNumber.Type,
    default: Optional[float],
    low: Optional[float] = None,
    high: Optional[float] = None,
) -> QgsProcessingParameterNumber:
    """A number; optional where it has no default."""
    limits = {}
    if low is not None:
        limits["minValue"] = low
    if high is not None:
        limits["maxValue"] = high
    return QgsProcessingParameterNumber(
        name, label, type=kind, defaultValue=default, optional=default is None, **limits
    )


def add_series(algorithm: FurrowAlgorithm) -> None:
    """The folder of dated images."""
    algorithm.add(
        QgsProcessingParameterFile(
            "SERIES",
            tr("Folder of dated images"),
            behavior=QgsProcessingParameterFile.Behavior.Folder,
        ),
        tr(
            "One GeoTIFF a date. The date is in the file name (YYYYMMDD, YYYY-MM-DD or YYYYDDD) or "
            "in its tags; bands are named by their description (B02, B03, B04, B08, SCL, or blue, "
            "green, red, nir, qa). Images on another grid are warped when read."
        ),
    )


def add_index(algorithm: FurrowAlgorithm) -> None:
    """The spectral index."""
    algorithm.add(
        QgsProcessingParameterString("INDEX", tr("Spectral index"), defaultValue="NDVI"),
        tr(
            "NDVI, EVI2, NDRE, GNDVI, or an expression of band roles such as "
            "(nir-swir16)/(nir+swir16)."
        ),
    )


def add_reading(algorithm: FurrowAlgorithm) -> None:
    """How image files are to be understood; advanced."""
    algorithm.add(
        QgsProcessingParameterString(
            "INVALID_QA",
            tr("Quality codes to leave out"),
            defaultValue=",".join(str(code) for code in sorted(DEFAULT_INVALID)),
            optional=True,
        ),
        tr(
            "Codes of the quality band (SCL) that make a pixel invalid: no data, saturated, cloud "
            "shadow, clouds, cirrus, snow. Empty: none."
        ),
        advanced=True,
    )
    algorithm.add(
        QgsProcessingParameterString("BANDS", tr("Band numbers"), optional=True),
        tr("Where bands have no names: blue=1,green=2,red=3,nir=4,qa=5."),
        advanced=True,
    )
    algorithm.add(
        number("SCALE", tr("Scale"), Real, None),
        tr(
            "Reflectance = stored value x SCALE + OFFSET. Empty: from the file; whole numbers "
            "without a scale count as 10000 = 1.0."
        ),
        advanced=True,
    )
    algorithm.add(
        number("OFFSET", tr("Offset"), Real, None),
        tr(
            "In reflectance (-0.1), or in stored values (-1000). Empty: from the file, and -1000 "
            "where name or tags show Sentinel-2 processing baseline 04.00 or later."
        ),
        advanced=True,
    )


def add_cleaning(algorithm: FurrowAlgorithm, max_distance: Optional[float] = 0.05) -> None:
    """How profiles are compared."""
    algorithm.add(
        choice("METRIC", tr("Distance between profiles"), [m.value for m in Metric], "mean"),
        tr(
            "mean: mean absolute difference. sum: sum of absolute differences, the very decisions "
            "of the reference system. dtw: dynamic time warping within SHIFT_DAYS, a date. "
            "fastdtw: the fastdtw library, where it is installed."
        ),
    )
    algorithm.add(
        number("MAX_DISTANCE", tr("Largest distance"), Real, max_distance, 0.0),
        tr(
            "In index units for mean and dtw (0.03 strict, 0.05 usual, 0.08 generous). For sum and "
            "fastdtw: 0.428571 (similarity 0.7) or 1.222222 (similarity 0.45)."
        )
        + ("" if max_distance is not None else " " + tr("Empty: 0.05 with REFERENCE_FIELD, "
           "0.15 against class profiles.")),
    )  # fmt: skip
    algorithm.add(
        number("SHIFT_DAYS", tr("Largest shift in days (dtw)"), Real, 15.0, 0.0),
        tr("How far dates may be apart that dynamic time warping pairs."),
        advanced=True,
    )
    algorithm.add(
        number("MIN_VALID_SHARE", tr("Smallest share of valid dates"), Real, 0.4, 0.0, 1.0),
        tr("Pixels and references with fewer valid dates are left out. At least 6 dates count."),
        advanced=True,
    )
    algorithm.add(
        number("MAX_GAP_DAYS", tr("Longest gap to fill in days"), Real, 60.0, 0.0),
        tr("Gaps up to this length are filled linearly in days and flagged."),
        advanced=True,
    )


def read_index(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> Index:
    """INDEX, parsed."""
    return parse_index(algorithm.text(parameters, "INDEX", context) or "NDVI")


def read_series_options(
    algorithm: FurrowAlgorithm, parameters: Dict[str, Any], context: QgsProcessingContext
) -> SeriesOptions:
    """BANDS, SCALE, OFFSET and INVALID_QA."""
    scale = algorithm.optional_number(parameters, "SCALE", context)
    if scale is not None and scale == 0:
        raise ParameterError("SCALE: 0 would make every value 0; give 0.0001 or leave it empty.")
    return SeriesOptions(
        parse_bands(algorithm.text(parameters, "BANDS", context)),
        scale,
        algorithm.optional_number(parameters, "OFFSET", context),
        parse_invalid_codes(algorithm.text(parameters, "INVALID_QA", context)),
    )


def read_series(
    algorithm: FurrowAlgorithm,
    parameters: Dict[str, Any],
    context: QgsProcessingContext,
    index: Index,
    at_least: int = 1,
) -> Series:
    """SERIES with the bands that the index needs."""
    options = read_series_options(algorithm, parameters, context)
    folder = algorithm.text(parameters, "SERIES", context)
    return open_series(folder, sorted(index.roles), options, at_least)


def read_cleaning(
    algorithm: FurrowAlgorithm,
    parameters: Dict[str, Any],
    context: QgsProcessingContext,
    max_distance: Optional[float] = None,
) -> CleaningOptions:
    """The cleaning parameters; `max_distance` overrules an empty MAX_DISTANCE."""
    metric = Metric(algorithm.parameterAsEnumString(parameters, "METRIC", context))
    require(metric)
    given = algorithm.optional_number(parameters, "MAX_DISTANCE", context)
    if given is None:
        given = max_distance
    if given is None:
        given = algorithm.parameterAsDouble(parameters, "MAX_DISTANCE", context)
    return CleaningOptions(
        metric,
        given,
        algorithm.parameterAsDouble(parameters, "SHIFT_DAYS", context),
        algorithm.parameterAsDouble(parameters, "MIN_VALID_SHARE", context),
        algorithm.parameterAsDouble(parameters, "MAX_GAP_DAYS", context),
    )
