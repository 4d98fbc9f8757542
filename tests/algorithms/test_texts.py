"""What users and scripts see of each algorithm: ids, names, help, icons, flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

PUBLIC = {
    "generatesamples": (
        "SERIES REFERENCES CLASS_FIELD IMAGE MODEL MODEL_FILE WINDOW MASK_RULE INDEX METRIC "
        "MAX_DISTANCE SHIFT_DAYS MIN_VALID_SHARE MAX_GAP_DAYS INVALID_QA CONFLICT "
        "MAX_PER_REFERENCE MIN_SPACING EDGE_PIXELS BANDS SCALE OFFSET EMBEDDINGS "
        "OUTPUT FIELDS REJECTED REPORT",
        "OUTPUT FIELDS REJECTED REPORT CANDIDATES KEPT REJECTED_COUNT SKIPPED",
    ),
    "cleansamples": (
        "SERIES SAMPLES CLASS_FIELD REFERENCE_FIELD INDEX METRIC MAX_DISTANCE SHIFT_DAYS "
        "MIN_VALID_SHARE MAX_GAP_DAYS INVALID_QA BANDS SCALE OFFSET OUTPUT REJECTED REPORT",
        "OUTPUT REJECTED REPORT KEPT REJECTED_COUNT",
    ),
    "extractprofiles": ("SERIES INPUT INDEX GAPFILL OUTPUT", "OUTPUT"),
    "rankimages": (
        "SERIES AOI INVALID_QA TARGET_DATE OUTPUT",
        "OUTPUT BEST_IMAGE BEST_DATE",
    ),
    "segmentprompts": (
        "INPUT PROMPTS GROUP_FIELD SIGN_FIELD MODEL MODEL_FILE WINDOW MASK_RULE RED GREEN BLUE "
        "ALL_MASKS SIMPLIFY EMBEDDINGS OUTPUT",
        "OUTPUT",
    ),
    "delineate": (
        "INPUT AOI CROPLAND DATES MODEL MODEL_FILE RED GREEN BLUE TILE OVERLAP ROUNDS "
        "POINTS_PER_SIDE PRED_IOU STABILITY MIN_AREA_HA MIN_GAIN STOP_RESIDUAL REFINE SIMPLIFY_M "
        "SUPER_RESOLUTION WORKERS RESUME OUTPUT RESIDUAL REPORT",
        "OUTPUT RESIDUAL REPORT COVERAGE FIELD_COUNT",
    ),
    "refinefields": (
        "INPUT FIELDS SCORE_FIELD MODEL MODEL_FILE RED GREEN BLUE PRESET EDGE_RATIO ENTROPY "
        "MIN_AREA_HA MIN_PART_HA COVERAGE MARGIN SERIES INDEX INVALID_QA BANDS SCALE OFFSET "
        "SIMPLIFY OUTPUT",
        "OUTPUT SPLIT_COUNT FIELD_COUNT SKIPPED",
    ),
    "encodeimage": (
        "INPUT MODEL MODEL_FILE TILE EXTENT RED GREEN BLUE OUTPUT",
        "OUTPUT ENCODED REUSED",
    ),
    "evaluatefields": (
        "FIELDS TRUTH SCORE_FIELD IOU GROUP_FIELD MIN_AREA RULES BOUNDARY_M OUTPUT REPORT",
        "OUTPUT REPORT PRECISION RECALL F1 MEAN_IOU OVERSEGMENTATION UNDERSEGMENTATION "
        "BOUNDARY_F1",
    ),
    "exportfieldcrops": (
        "INPUT FIELDS CLASS_FIELD DEFAULT_CLASS MARGIN BACKGROUND FORMAT MIN_PIXELS LABEL_FILES "
        "TILE MORE_IMAGES IMAGE_FIELD RED GREEN BLUE OUTPUT",
        "OUTPUT CROP_COUNT PICTURE_COUNT SKIPPED",
    ),
    "importfieldlabels": (
        "LABELS FIELDS CLASS_FIELD ADD_NEW OUTPUT",
        "OUTPUT CHANGED NEW MISSING SKIPPED",
    ),
    "trainfieldclassifier": (
        "INPUT FIELDS CLASS_FIELD FEATURES MORE_IMAGES IMAGE_FIELD RED GREEN BLUE GROUP_FIELD "
        "BLOCK_M FOLDS SEED FEATURE_GROUPS TREES NETWORK EPOCHS BATCH CROP_SIDE RATE WEIGHTS "
        "MODEL REPORT",
        "MODEL REPORT ACCURACY F1 KAPPA TRAINED SKIPPED",
    ),
    "classifyfields": (
        "INPUT FIELDS MODEL MORE_IMAGES IMAGE_FIELD PROBABILITIES OUTPUT REJECTED",
        "OUTPUT REJECTED CLASSIFIED SKIPPED",
    ),
}
"""Parameters and outputs of API.md: added to, never renamed."""
DEFAULTS = {
    "generatesamples": {
        "WINDOW": 200, "INDEX": "NDVI", "METRIC": "mean", "MAX_DISTANCE": 0.05, "SHIFT_DAYS": 15,
        "MIN_VALID_SHARE": 0.4, "MAX_GAP_DAYS": 60, "INVALID_QA": "0,1,3,8,9,10,11",
        "CONFLICT": "drop", "MAX_PER_REFERENCE": 0, "MIN_SPACING": 0, "EDGE_PIXELS": 0,
    },
    "extractprofiles": {"GAPFILL": "none"},
    "segmentprompts": {"WINDOW": 200, "ALL_MASKS": False, "SIMPLIFY": 0.5},
    "encodeimage": {"TILE": 200},
    "delineate": {
        "TILE": 512, "OVERLAP": 25, "ROUNDS": 2, "POINTS_PER_SIDE": 32, "MIN_AREA_HA": 0.1,
        "MIN_GAIN": 0.5, "STOP_RESIDUAL": 5, "REFINE": True, "RESUME": True,
    },
    "evaluatefields": {"IOU": 0.5, "RULES": "best"},
    "trainfieldclassifier": {"FEATURES": "statistics", "FOLDS": 5},
    "exportfieldcrops": {"MARGIN": 10, "BACKGROUND": "keep", "FORMAT": "png"},
}  # fmt: skip
CHOICES = {
    ("generatesamples", "MASK_RULE"): ["finest", "best", "balanced"],
    ("generatesamples", "METRIC"): ["mean", "sum", "dtw", "fastdtw"],
    ("generatesamples", "CONFLICT"): ["drop", "best"],
    ("extractprofiles", "GAPFILL"): ["none", "linear"],
    ("segmentprompts", "MASK_RULE"): ["finest", "best", "balanced"],
    ("trainfieldclassifier", "FEATURES"): ["statistics", "cnn"],
}
RARE = {
    "SHIFT_DAYS", "MAX_GAP_DAYS", "INVALID_QA", "BANDS", "SCALE", "OFFSET", "MODEL_FILE",
    "EMBEDDINGS",
}  # fmt: skip


@pytest.fixture(params=sorted(PUBLIC))
def algorithm(request: pytest.FixtureRequest, furrow_provider: Any) -> Any:
    return furrow_provider.algorithm(request.param)


def test_ids(furrow_provider: Any) -> None:
    ids = {algorithm.id() for algorithm in furrow_provider.algorithms()}
    assert ids == {f"furrow:{name}" for name in PUBLIC}


def test_parameters_and_outputs_are_those_of_the_interface(algorithm: Any) -> None:
    parameters, outputs = (set(names.split()) for names in PUBLIC[algorithm.name()])
    definitions = {d.name() for d in algorithm.parameterDefinitions()}
    assert parameters - definitions == set()
    assert outputs - {d.name() for d in algorithm.outputDefinitions()} == set()
    assert all(name == name.upper() for name in definitions)


def test_defaults_are_those_of_the_interface(algorithm: Any) -> None:
    for name, value in DEFAULTS.get(algorithm.name(), {}).items():
        assert algorithm.parameterDefinition(name).defaultValue() == value, name


def test_choices_are_those_of_the_interface(furrow_provider: Any) -> None:
    for (name, parameter), options in CHOICES.items():
        definition = furrow_provider.algorithm(name).parameterDefinition(parameter)
        assert definition.options() == options
        assert definition.usesStaticStrings()
        assert definition.defaultValue() in options


def test_every_parameter_is_explained(algorithm: Any) -> None:
    for definition in algorithm.parameterDefinitions():
        assert definition.description().strip(), definition.name()
        help_text = definition.help().strip()
        assert len(help_text) > 8, definition.name()
        assert help_text[-1] in ".)", f"{definition.name()}: {help_text}"


def test_output_labels(algorithm: Any) -> None:
    for definition in algorithm.outputDefinitions():
        assert definition.description().strip(), definition.name()


def test_rare_parameters_are_advanced(algorithm: Any) -> None:
    for definition in algorithm.parameterDefinitions():
        if definition.name() in RARE:
            assert definition.flags() & definition.Flag.FlagAdvanced, definition.name()
            optional = definition.flags() & definition.Flag.FlagOptional
            assert optional or definition.defaultValue() is not None, definition.name()


def test_texts(algorithm: Any) -> None:
    assert algorithm.group() in ("Samples", "Fields", "Evaluation")
    assert algorithm.groupId() == algorithm.group().lower()
    assert len(algorithm.tags()) >= 5
    assert all(tag and tag == tag.strip() for tag in algorithm.tags())
    assert "Example" in algorithm.shortHelpString()
    assert algorithm.shortDescription().strip().endswith(".")
    assert algorithm.displayName()[0].isupper()
    assert not algorithm.displayName().endswith(".")


def test_icon_is_a_file_that_draws(algorithm: Any, root: Path) -> None:
    path = Path(algorithm.svgIconPath())
    assert path.parent == root / "icons"
    assert path.is_file()
    assert not algorithm.icon().pixmap(24, 24).isNull()


def test_runs_in_the_background_and_in_batch(algorithm: Any) -> None:
    flags = algorithm.flags()
    assert flags & algorithm.Flag.FlagSupportsBatch
    assert not flags & algorithm.Flag.FlagNoThreading
    assert flags & algorithm.Flag.FlagCanCancel


def test_can_be_made_anew(algorithm: Any) -> None:
    copy = algorithm.create()
    assert type(copy) is type(algorithm)
    assert [d.name() for d in copy.parameterDefinitions()] == [
        d.name() for d in algorithm.parameterDefinitions()
    ]


def test_can_be_used_in_models(algorithm: Any) -> None:
    """The numbers that a model may branch on are outputs."""
    numbers = {d.name() for d in algorithm.outputDefinitions() if d.type() == "outputNumber"}
    wanted = {
        "generatesamples": {"CANDIDATES", "KEPT", "REJECTED_COUNT", "SKIPPED"},
        "cleansamples": {"KEPT", "REJECTED_COUNT"},
        "encodeimage": {"ENCODED", "REUSED"},
        "refinefields": {"SPLIT_COUNT", "FIELD_COUNT", "SKIPPED"},
        "delineate": {"COVERAGE", "FIELD_COUNT"},
        "evaluatefields": {"PRECISION", "RECALL", "F1", "MEAN_IOU", "BOUNDARY_F1"},
        "trainfieldclassifier": {"ACCURACY", "F1"},
    }.get(algorithm.name(), set())
    assert wanted <= numbers
    assert not algorithm.flags() & algorithm.Flag.FlagHideFromModeler
