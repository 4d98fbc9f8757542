"""furrow:evaluatefields: how good are fields, against true ones?"""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFileDestination,
    QgsWkbTypes,
)

from ..core.errors import ParameterError
from ..core.evaluation.comparison import Comparison, GroupFigures, Groups, matched
from ..core.monitor import Monitor
from ..core.report.from_evaluation import evaluation_report
from ..core.report.run_record import utc_now
from ..core.report.table_report import TableReport, render_tables
from ..qgis_io.compat import INTEGER, REAL, TEXT, is_null, make_fields
from ..qgis_io.field_overlaps import (
    PolygonLayer,
    comparison_plane,
    outlines_near,
    overlaps_of,
    read_polygons,
)
from ..qgis_io.monitors import monitor_of
from ..qgis_io.sinks import Row, write_layer
from ..qgis_io.styles import apply_style, field_renderer
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm, SourceType, report_skips, versions, write_text
from .field_parameters import check_score_field
from .series_parameters import Real, choice, number

BEST, SPACENET = "best", "spacenet"
FOUND, WRONG, MISSED = "found", "wrong", "missed"
_SPACENET_LEAST_AREA = 20.0
_FIGURES = (
    ("PRECISION", "Precision"),
    ("RECALL", "Recall"),
    ("F1", "F1"),
    ("MEAN_IOU", "Mean IoU of the fields found"),
    ("OVERSEGMENTATION", "Oversegmentation"),
    ("UNDERSEGMENTATION", "Undersegmentation"),
    ("BOUNDARY_F1", "F1 of the outlines"),
    ("AVERAGE_PRECISION", "Average precision"),
)
_COUNTS = (("FOUND", "Fields found"), ("WRONG", "Wrong fields"), ("MISSED", "Missed fields"))
_MATCHED = (
    ("result", TEXT),
    ("field_id", INTEGER),
    ("truth_id", INTEGER),
    ("iou", REAL),
    ("score", REAL),
    ("group", TEXT),
)


class EvaluateFields(FurrowAlgorithm):
    """Compares fields with true fields, object by object."""

    NAME = "evaluatefields"
    LABEL = "Evaluate fields"
    GROUP = "Evaluation"
    SUMMARY = "Precision, recall, F1, IoU and errors of segmentation of fields against true fields."
    TAGS = "accuracy,field,parcel,boundary,object,iou,precision,recall,f1,spacenet,truth,validation"
    HELP = (
        "Matches fields and true fields one to one where their intersection over union (IoU) "
        "reaches a limit, and counts what was found, what is wrong and what was missed. OUTPUT "
        "shows all three on the map.\n\nOversegmentation: share of a true field that its largest "
        "overlap leaves out; undersegmentation: share of that overlapping field that lies outside "
        "(means over true fields). F1 of the outlines: how much of each outline lies within "
        "BOUNDARY_M of the other.\n\nExample: FIELDS from Furrow, TRUTH a parcel register clipped "
        "to the same area, IOU 0.5; the report has figures for each class with GROUP_FIELD=crop."
    )

    def add_parameters(self) -> None:
        polygons = [SourceType.TypeVectorPolygon]
        self.add(
            QgsProcessingParameterFeatureSource("FIELDS", tr("Fields"), polygons),
            tr("The polygons to be judged."),
        )
        self.add(
            QgsProcessingParameterFeatureSource("TRUTH", tr("True fields"), polygons),
            tr("The polygons that are right. They should cover the same area."),
        )
        self.add(
            QgsProcessingParameterField(
                "SCORE_FIELD",
                tr("Score field"),
                parentLayerParameterName="FIELDS",
                optional=True,
            ),
            tr("How sure each field is; needed for the average precision."),
        )
        self.add(
            number("IOU", tr("Least IoU"), Real, 0.5, 0.01, 1.0),
            tr("From this intersection over union on a field counts as found."),
        )
        self.add(
            QgsProcessingParameterField(
                "GROUP_FIELD",
                tr("Group field"),
                parentLayerParameterName="TRUTH",
                optional=True,
            ),
            tr(
                "Figures for each of its values too. Where FIELDS has a field of that name, only "
                "polygons of one group are compared (pictures in pixel coordinates, say)."
            ),
        )
        self.add(
            number("MIN_AREA", tr("Least area"), Real, None, 0.0),
            tr(
                "Smaller polygons of both layers are left out; square metres, or square units "
                "without a reference system. Empty: 0, and 20 with the rules of SpaceNet."
            ),
            advanced=True,
        )
        self.add(
            choice("RULES", tr("Rules"), (BEST, SPACENET), BEST),
            tr(
                "best: the pairs of highest IoU are matched first. spacenet: fields by falling "
                "score (else in their order), each takes the free true field of highest IoU."
            ),
            advanced=True,
        )
        self.add(
            number("BOUNDARY_M", tr("Tolerance of outlines"), Real, 10.0, 0.0),
            tr("In metres: outlines this close to each other count as equal."),
            advanced=True,
        )
        self._add_outputs()

    def _add_outputs(self) -> None:
        self.add(
            QgsProcessingParameterFeatureSink(
                "OUTPUT", tr("Matched fields"), SourceType.TypeVectorPolygon
            ),
            tr("All fields (found or wrong) and the true fields that were missed, with IoU."),
        )
        self.add(
            QgsProcessingParameterFeatureSink(
                "GROUPS",
                tr("Figures by group"),
                SourceType.TypeVector,
                optional=True,
                createByDefault=False,
            ),
            tr("A table with all figures of each group."),
        )
        self.add(
            QgsProcessingParameterFileDestination(
                "REPORT", tr("Report"), "HTML (*.html)", optional=True, createByDefault=False
            ),
            tr("One page with all figures that opens offline."),
        )
        for name, label in (*_FIGURES, *_COUNTS):
            self.addOutput(QgsProcessingOutputNumber(name, tr(label)))

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        for name in ("FIELDS", "TRUTH"):
            if self.parameterAsSource(parameters, name, context) is None:
                raise ParameterError(self.invalidSourceError(parameters, name))
        source = self.parameterAsSource(parameters, "FIELDS", context)
        check_score_field(self, parameters, context, source)

    def work(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        fields, truths, plane = self._read(parameters, context)
        for name, layer in ((tr("Field"), fields), (tr("True field"), truths)):
            report_skips(feedback, name, layer.skipped)
        compared = self._compare(parameters, context, fields, truths, monitor_of(feedback))
        overall, groups = compared.overall(), compared.by_group()
        html = ""
        if self.parameterAsFileOutput(parameters, "REPORT", context):
            html = render_tables(self._report(fields, truths, compared))
        monitor_of(feedback).check()
        outputs = self._write(
            parameters, context, _matched_rows(fields, truths, compared), plane, [overall, *groups]
        )
        outputs["REPORT"] = write_text(self, parameters, "REPORT", context, html)
        found = overall.scores
        counts = {
            "FOUND": found.true_positives,
            "WRONG": found.false_positives,
            "MISSED": found.false_negatives,
        }
        figures = {name: value for name, value in _figures(overall).items() if value is not None}
        feedback.pushInfo(
            tr("F1 {f1}: {found} found, {wrong} wrong, {missed} missed.").format(
                f1=_shown(found.f1),
                found=found.true_positives,
                wrong=found.false_positives,
                missed=found.false_negatives,
            )
        )
        skipped = [*fields.skipped, *truths.skipped]
        self.write_records(outputs, counts, skipped)
        return {**{k: v for k, v in outputs.items() if v}, **figures, **counts}

    def _read(
        self, parameters: Dict[str, Any], context: QgsProcessingContext
    ) -> Tuple[PolygonLayer, PolygonLayer, QgsCoordinateReferenceSystem]:
        """Both layers in the plane of the comparison."""
        truth = self.parameterAsSource(parameters, "TRUTH", context)
        plane = comparison_plane(truth, context)
        least_area = _SPACENET_LEAST_AREA if self._is_spacenet(parameters, context) else 0.0
        if parameters.get("MIN_AREA") is not None:
            least_area = self.parameterAsDouble(parameters, "MIN_AREA", context)
        group = self.text(parameters, "GROUP_FIELD", context)
        fields, truths = (
            read_polygons(source, plane, context, least_area, group)
            for source in (self.parameterAsSource(parameters, "FIELDS", context), truth)
        )
        return fields, truths, plane

    def _compare(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        fields: PolygonLayer,
        truths: PolygonLayer,
        monitor: Monitor,
    ) -> Comparison:
        scores = self._scores(parameters, context, fields)
        overlaps = overlaps_of(fields, truths, monitor.part(0, 0.4))
        least = self.parameterAsDouble(parameters, "IOU", context)
        distance = self.parameterAsDouble(parameters, "BOUNDARY_M", context)
        return Comparison(
            overlaps,
            matched(overlaps, least, scores, self._is_spacenet(parameters, context)),
            outlines_near(fields, truths, distance, monitor.part(0.4, 0.7)),
            outlines_near(truths, fields, distance, monitor.part(0.7, 1)),
            scores,
            fields.groups,
            truths.groups,
        )

    def _is_spacenet(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> bool:
        return self.parameterAsEnumString(parameters, "RULES", context) == SPACENET

    def _scores(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        layer: PolygonLayer,
    ) -> Optional[np.ndarray]:
        """(n,) float; a field without a score is the least sure."""
        name = self.text(parameters, "SCORE_FIELD", context)
        if not name:
            return None
        values = [feature[name] for feature in layer.features]
        return np.array([-np.inf if is_null(value) else float(value) for value in values])

    def _report(
        self, fields: PolygonLayer, truths: PolygonLayer, compared: Comparison
    ) -> TableReport:
        left_out = [
            (layer, reason, count)
            for layer, read in (("FIELDS", fields), ("TRUTH", truths))
            for reason, count in Counter(reason for _, reason in read.skipped).items()
        ]
        given = [(name, str(value)) for name, value in self.given.items()]
        used = list(versions().items())
        return evaluation_report(compared, left_out, given, used, utc_now())

    def _write(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        rows: List[Row],
        plane: QgsCoordinateReferenceSystem,
        figures: List[GroupFigures],
    ) -> Dict[str, Any]:
        outputs: Dict[str, Any] = {
            "OUTPUT": write_layer(
                self, parameters, "OUTPUT", context, make_fields(*_MATCHED),
                QgsWkbTypes.Type.MultiPolygon, plane, rows,
            )
        }  # fmt: skip
        apply_style(
            outputs["OUTPUT"], field_renderer("result", (FOUND, WRONG, MISSED)), context, self.keep
        )
        columns = [("group", TEXT)]
        columns += [(name.lower(), INTEGER) for name, _ in _COUNTS]
        columns += [(name.lower(), REAL) for name, _ in _FIGURES]
        outputs["GROUPS"] = write_layer(
            self, parameters, "GROUPS", context, make_fields(*columns),
            QgsWkbTypes.Type.NoGeometry, QgsCoordinateReferenceSystem(),
            [_group_row(each) for each in figures],
        )  # fmt: skip
        return outputs


def _figures(figures: GroupFigures) -> Dict[str, Optional[float]]:
    """Output name to figure; None where there is nothing to take it from."""
    scores = figures.scores
    values = (
        scores.precision,
        scores.recall,
        scores.f1,
        scores.mean_iou,
        scores.oversegmentation,
        scores.undersegmentation,
        figures.boundary_f1,
        figures.average_precision,
    )
    return {
        name: None if value is None or np.isnan(value) else round(float(value), 6)
        for (name, _), value in zip(_FIGURES, values)
    }


def _shown(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def _group_row(figures: GroupFigures) -> Row:
    scores = figures.scores
    counts = [scores.true_positives, scores.false_positives, scores.false_negatives]
    return None, [figures.name, *counts, *_figures(figures).values()]


def _matched_rows(fields: PolygonLayer, truths: PolygonLayer, compared: Comparison) -> List[Row]:
    """Fields, then the true fields that were missed."""
    rows = [_field_row(fields, truths, compared, k) for k in range(len(fields.shapes))]
    best = compared.best_iou()
    for j in compared.missed():
        group = _name(truths.groups, j)
        values = [MISSED, None, truths.features[j].id(), round(float(best[j]), 6), None, group]
        rows.append((_multi(truths.shapes[j]), values))
    return rows


def _field_row(fields: PolygonLayer, truths: PolygonLayer, compared: Comparison, k: int) -> Row:
    truth = int(compared.matches.truth[k])
    score = float("-inf") if compared.scores is None else float(compared.scores[k])
    return _multi(fields.shapes[k]), [
        FOUND if truth >= 0 else WRONG,
        fields.features[k].id(),
        truths.features[truth].id() if truth >= 0 else None,
        round(float(compared.matches.iou[k]), 6),
        score if np.isfinite(score) else None,
        _name(fields.groups, k),
    ]


def _multi(shape: QgsGeometry) -> QgsGeometry:
    copy = QgsGeometry(shape)
    copy.convertToMultiType()
    return copy


def _name(groups: Optional[Groups], place: int) -> Optional[str]:
    return None if groups is None or groups[place] is None else str(groups[place])
