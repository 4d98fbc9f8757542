"""furrow:trainfieldclassifier: learn from labelled fields what kind of field each is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Dict, Sequence, Tuple

import numpy as np
from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterEnum,
    QgsProcessingParameterField,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
)

from ..core.fields.classification.bands import Bands
from ..core.fields.classification.features import GROUPS
from ..core.fields.classification.forest import ForestOptions
from ..core.fields.classification.model_card import model_card
from ..core.fields.classification.model_folder import (
    CNN,
    KINDS,
    SETTINGS,
    STATISTICS,
    ClassifierSettings,
    sha256_of,
    write_settings,
)
from ..core.fields.classification.splits import blocks_of, group_numbers
from ..core.fields.classification.training import (
    LabelledFields,
    labelled_fields,
    untested_classes,
)
from ..core.report.from_classifier import classifier_report
from ..core.report.run_record import utc_now
from ..core.report.table_report import render_tables
from ..core.whole_folder import whole_folder
from ..qgis_io.field_features import training_bands
from ..qgis_io.field_views import PlacedField, PlacedFields, centres_on_ground
from ..qgis_io.monitors import monitor_of
from ..qgis_io.sources import labels_of
from ..qgis_io.texts import tr
from .base import FurrowAlgorithm, furrow_version, report_skips, versions, write_text
from .classifier_training import StatisticsTraining, Trained, Training
from .field_parameters import (
    add_class_field,
    add_fields,
    add_more_images,
    image_paths,
    read_field_source,
    read_fields,
    with_classes,
)
from .image_parameters import add_bands, add_image, read_bands
from .network_training import add_network, check_network, read_network_training
from .series_parameters import Real, Whole, choice, number


class TrainFieldClassifier(FurrowAlgorithm):
    """Trains a classifier of fields."""

    NAME = "trainfieldclassifier"
    LABEL = "Train a field classifier"
    GROUP = "Fields"
    SUMMARY = "Learn classes of fields, such as field and no field, from labelled polygons."
    TAGS = "classify,train,field,parcel,non-field,random forest,cnn,accuracy,land use,machine"
    HELP = (
        "Learns from polygons with a class what other polygons are: field or no field, or any "
        "other classes that can be told from one image.\n\n"
        "FEATURES=statistics describes each field by the colours, texture and shape of its own "
        "pixels and grows a forest of decision trees; it needs nothing to be installed. "
        "FEATURES=cnn trains a network on crops of the fields, in Furrow's environment with "
        "PyTorch.\n\nIt is tested on whole images, or on blocks of land, that the classifier has "
        "not seen: never on neighbours of fields that it knows. ACCURACY, F1 and the report are "
        "of that test.\n\nExample: fields from 'Delineate' with a text field 'class' of field and "
        "nonfield, filled in for some hundred of them; then 'Classify fields' with MODEL for the "
        "others."
    )
    FOLDERS = {"MODEL": SETTINGS}

    def add_parameters(self) -> None:
        add_image(self)
        add_fields(self, tr("Polygons, some or all of them with a class."))
        add_class_field(self, tr("Holds the class; a polygon without one is left out."))
        self.add(
            choice("FEATURES", tr("What is learnt from"), KINDS, STATISTICS),
            tr(
                "statistics: colours, texture and shape, with a forest; works at once. cnn: crops "
                "of the fields, with a network; for some thousand fields and more."
            ),
        )
        add_more_images(self)
        add_bands(self)
        self._add_groups()
        self._add_forest()
        add_network(self)
        self.add(
            QgsProcessingParameterFolderDestination("MODEL", tr("Folder of the model")),
            tr("Made, or replaced where it is one: what 'Classify fields' needs, and README.md."),
        )
        self.add(
            QgsProcessingParameterFileDestination(
                "REPORT", tr("Report"), "HTML (*.html)", optional=True, createByDefault=False
            ),
            tr("One page with figures and the confusion matrix that opens offline."),
        )
        for name, label in (
            ("ACCURACY", tr("Overall accuracy")),
            ("F1", tr("F1, mean of the classes")),
            ("KAPPA", tr("Kappa")),
            ("TRAINED", tr("Fields used")),
            ("SKIPPED", tr("Skipped fields")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))

    def _add_groups(self) -> None:
        self.add(
            QgsProcessingParameterField(
                "GROUP_FIELD", tr("Group field"), parentLayerParameterName="FIELDS", optional=True
            ),
            tr(
                "Fields with one value are never parted between training and test. Empty: by "
                "image where there are at least FOLDS, else by blocks of land."
            ),
            advanced=True,
        )
        self.add(
            number("BLOCK_M", tr("Side of a block in metres"), Real, None, 0.0),
            tr("Of the blocks of land that test each other. Empty: 25 blocks, if it is a square."),
            advanced=True,
        )
        self.add(
            number("FOLDS", tr("Folds"), Whole, 5, 2, 20),
            tr("Parts that the groups are dealt into; each is tested once. For cnn: one is."),
            advanced=True,
        )
        self.add(
            number("SEED", tr("Seed"), Whole, 0, 0),
            tr("Of all random choices: the same seed and fields give the same model."),
            advanced=True,
        )

    def _add_forest(self) -> None:
        self.add(
            QgsProcessingParameterEnum(
                "FEATURE_GROUPS", tr("Groups of features"), options=list(GROUPS),
                allowMultiple=True, defaultValue=list(GROUPS), usesStaticStrings=True,
            ),
            tr("For statistics: without shape, fields are told by what is in them alone."),
            advanced=True,
        )  # fmt: skip
        self.add(
            number("TREES", tr("Trees"), Whole, 300, 10, 5000),
            tr("For statistics: more are a little better and take longer."),
            advanced=True,
        )

    def check(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> None:
        read_field_source(self, parameters, context)
        image_paths(self, parameters, context)
        read_bands(self, parameters, context)
        if self._kind(parameters, context) == CNN:
            check_network(self, parameters, context)

    def work(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> Dict[str, Any]:
        placed = read_fields(self, parameters, context)
        fields, labels, without = with_classes(placed, self._field(parameters, context, "CLASS"))
        training, monitor = self._training(parameters, context), monitor_of(feedback)
        colour = read_bands(self, parameters, context) or ()
        bands = training_bands(placed, colour, context, monitor)
        seen = training.look(placed, fields, bands, context, monitor.part(0, 0.3))
        skipped = [*placed.skipped, *without, *seen.skipped]
        report_skips(feedback, tr("Field"), skipped)
        label_of = {each.feature.id(): label for each, label in zip(fields, labels)}
        groups, grouped_by = self._groups(parameters, context, placed, seen.fields)
        labelled = labelled_fields(
            [label_of[each.feature.id()] for each in seen.fields], groups, grouped_by
        )
        _warn(labelled, feedback)
        folder = Path(self.parameterAsFileOutput(parameters, "MODEL", context))
        with whole_folder(folder) as partial:
            trained = training.fit(seen, bands, labelled, partial, monitor.part(0.3, 1))
            settings = _settings(training, bands, trained, placed)
            card = model_card(settings, trained.tested, trained.important)
            write_settings(partial, settings, card)
            monitor.check()
        return self._told(parameters, context, feedback, folder, trained, settings, skipped)

    def _field(self, parameters: Dict[str, Any], context: QgsProcessingContext, what: str) -> str:
        return self.text(parameters, f"{what}_FIELD", context)

    def _kind(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> str:
        return self.parameterAsEnumString(parameters, "FEATURES", context)

    def _training(self, parameters: Dict[str, Any], context: QgsProcessingContext) -> Training:
        seed = self.parameterAsInt(parameters, "SEED", context)
        folds = self.parameterAsInt(parameters, "FOLDS", context)
        if self._kind(parameters, context) == CNN:
            return read_network_training(self, parameters, context, folds, seed)
        trees = self.parameterAsInt(parameters, "TREES", context)
        groups = tuple(self.parameterAsEnumStrings(parameters, "FEATURE_GROUPS", context))
        return StatisticsTraining(ForestOptions(trees, seed=seed), folds, groups)

    def _groups(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        placed: PlacedFields,
        fields: Sequence[PlacedField],
    ) -> Tuple[np.ndarray, str]:
        """(n,) int: which fields are never parted, and what their groups are called."""
        name = self._field(parameters, context, "GROUP")
        if name:
            return group_numbers(labels_of([each.feature for each in fields], name)), name
        pictures = np.array([each.picture for each in fields], np.int64)
        if len(set(pictures.tolist())) >= self.parameterAsInt(parameters, "FOLDS", context):
            return group_numbers(pictures.tolist()), tr("image")
        x, y = centres_on_ground(placed, fields, context)
        side = self.optional_number(parameters, "BLOCK_M", context)
        blocks = blocks_of(x, y, side or None) if len(fields) else pictures
        return group_numbers(list(zip(pictures.tolist(), blocks.tolist()))), tr("block of land")

    def _told(
        self,
        parameters: Dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
        folder: Path,
        trained: Trained,
        settings: ClassifierSettings,
        skipped: Sequence[Tuple[int, str]],
    ) -> Dict[str, Any]:
        """Write report and record; the results."""
        tested, confusion = trained.tested, trained.tested.confusion
        counts = {"TRAINED": len(tested.labelled.labels), "SKIPPED": len(skipped)}
        report = render_tables(
            classifier_report(
                tested,
                trained.important,
                list(Counter(reason for _, reason in skipped).items()),
                [(name, str(value)) for name, value in self.given.items()],
                list(versions().items()),
                utc_now(),
            )
        )
        outputs = {
            "MODEL": str(folder / SETTINGS),
            "REPORT": write_text(self, parameters, "REPORT", context, report),
        }
        model = {"id": folder.name, "sha256": sha256_of(folder, settings.kind)}
        by_class = {f"CLASS {name}": count for name, count in tested.labelled.counts.items()}
        self.write_records(outputs, {**counts, **by_class}, skipped, model=model)
        figures = {
            "ACCURACY": confusion.accuracy,
            "F1": confusion.macro_f1,
            "KAPPA": confusion.kappa,
        }
        feedback.pushInfo(
            tr("Accuracy {:.3f}, F1 {:.3f}, kappa {:.3f} on {} fields tested.").format(
                *figures.values(), confusion.total
            )
        )
        shown = {name: round(value, 6) for name, value in figures.items() if np.isfinite(value)}
        outputs = {"MODEL": str(folder), "REPORT": outputs["REPORT"]}
        return {**{k: v for k, v in outputs.items() if v}, **shown, **counts}


def _warn(labelled: LabelledFields, feedback: QgsProcessingFeedback) -> None:
    for label in untested_classes(labelled):
        feedback.pushWarning(
            tr(
                "All fields of class {} lie in one {}, so the test cannot find it; give more of "
                "them, or smaller blocks."
            ).format(label, labelled.grouped_by)
        )


def _settings(
    training: Training, bands: Bands, trained: Trained, placed: PlacedFields
) -> ClassifierSettings:
    labelled = trained.tested.labelled
    origin = {
        "created": utc_now(),
        "furrow": furrow_version(),
        "versions": versions(),
        "fields": len(labelled.labels),
        "classes": labelled.counts,
        "pictures": len(placed.pictures),
        "figures": trained.tested.figures(),
        "important": dict(trained.important),
    }
    return ClassifierSettings(
        training.kind, labelled.classes, bands, training.groups, trained.network, origin
    )
