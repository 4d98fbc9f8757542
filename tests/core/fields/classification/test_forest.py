"""The forest: right, repeatable, on a par with scikit-learn's where that is installed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from furrow.core.errors import ModelError, ParameterError
from furrow.core.evaluation.confusion import confusion_of
from furrow.core.fields.classification.bands import bands_of, with_ranges
from furrow.core.fields.classification.forest import ForestOptions, grow_forest
from furrow.core.fields.classification.model_card import model_card
from furrow.core.fields.classification.model_folder import (
    FOREST,
    SETTINGS,
    STATISTICS,
    ClassifierSettings,
    read_forest,
    read_settings,
    write_forest,
    write_settings,
)
from furrow.core.fields.classification.splits import blocks_of, folds_of, group_numbers
from furrow.core.fields.classification.training import (
    cross_validated,
    labelled_fields,
    untested_classes,
)

FEW = ForestOptions(trees=40)


def problem(count, seed=0, features=12):
    """Three classes: an exclusive-or, and a linear one on top."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, features)).astype(np.float32)
    return x, (x[:, 0] * x[:, 1] > 0) + (x[:, 2] + 0.3 * x[:, 3] > 1).astype(int)


def test_learns_and_says_what_matters():
    x, y = problem(600, features=6)
    forest = grow_forest(x, y, 3, FEW)
    fresh, truth = problem(500, seed=1, features=6)
    chances = forest.probabilities(fresh)
    assert chances.sum(axis=1) == pytest.approx(1)
    assert (chances.argmax(axis=1) == truth).mean() > 0.75
    assert forest.importance.sum() == pytest.approx(1)
    assert set(np.argsort(-forest.importance)[:3]) == {0, 1, 2}


def test_the_same_seed_gives_the_same_forest():
    x, y = problem(200)
    first, second = (grow_forest(x, y, 3, FEW) for _ in range(2))
    other = grow_forest(x, y, 3, replace(FEW, seed=1))
    assert np.array_equal(first.threshold, second.threshold)
    assert not np.array_equal(first.chances[:50], other.chances[:50])


def test_leaves_hold_as_many_fields_as_asked_and_nothing_is_lost():
    x, y = problem(150)
    forest = grow_forest(x, y, 3, ForestOptions(trees=5, least_leaf=1, balanced=False))
    assert (forest.probabilities(x).argmax(axis=1) == y).all()
    stump = grow_forest(x, y, 3, ForestOptions(trees=5, least_leaf=150))
    assert (stump.feature == -1).all() and len(stump.feature) == 5
    shallow = grow_forest(x, y, 3, ForestOptions(trees=3, deepest=1))
    assert len(shallow.feature) <= 9


def test_a_rare_class_weighs_as_much_as_the_others():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (400, 2)), rng.normal(1.5, 1, (20, 2))])
    y = np.repeat([0, 1], [400, 20])
    fresh = rng.normal(1.5, 1, (500, 2))
    found = [
        (grow_forest(x, y, 2, ForestOptions(100, 5, balanced=b)).probabilities(fresh)[:, 1] > 0.5)
        for b in (True, False)
    ]
    assert found[0].mean() > found[1].mean() + 0.2


def test_missing_values_take_the_median():
    x, y = problem(200)
    x[::7, 4] = np.nan
    x[:, 5] = np.nan
    forest = grow_forest(x, y, 3, FEW)
    assert forest.stand_in[5] == 0 and np.isfinite(forest.stand_in).all()
    holed = x[:5].copy()
    holed[:, 4] = np.nan
    filled = np.where(np.isnan(holed), forest.stand_in, holed)
    assert np.array_equal(forest.probabilities(holed), forest.probabilities(filled))


def test_one_class_and_no_field():
    x, _ = problem(10)
    forest = grow_forest(x, np.zeros(10, int), 2, FEW)
    assert forest.probabilities(x)[:, 0] == pytest.approx(1)
    assert forest.probabilities(x[:0]).shape == (0, 2)


def test_constant_features_make_leaves():
    forest = grow_forest(np.ones((20, 3)), np.arange(20) % 2, 2, FEW)
    assert (forest.feature == -1).all()
    assert forest.probabilities(np.ones((1, 3)))[0] == pytest.approx([0.5, 0.5])


def test_on_a_par_with_scikit_learn():
    ensemble = pytest.importorskip("sklearn.ensemble", reason="scikit-learn is not installed")
    x, y = problem(700, features=20)
    fresh, truth = problem(1500, seed=1, features=20)
    own = grow_forest(x, y, 3, ForestOptions(trees=200)).probabilities(fresh).argmax(axis=1)
    theirs = ensemble.ExtraTreesClassifier(
        200, min_samples_leaf=2, class_weight="balanced", random_state=0
    )
    accuracy = (theirs.fit(x, y).predict(fresh) == truth).mean()
    assert (own == truth).mean() > accuracy - 0.02


def test_folder_gives_the_same_answers(tmp_path):
    settings, forest, tested, x = trained()
    write_forest(tmp_path, forest)
    write_settings(tmp_path, settings, model_card(settings, tested, [("red_mean", 0.5)]))
    again = read_settings(tmp_path)
    assert (again.classes, again.bands, again.features) == (
        settings.classes, settings.bands, settings.features,
    )  # fmt: skip
    read = read_forest(tmp_path, len(again.features), 3)
    assert np.array_equal(read.probabilities(x), forest.probabilities(x))
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "Overall accuracy" in card and "red_mean (50%)" in card


def trained():
    bands = with_ranges(bands_of(["red", "green", "blue"]), np.zeros((3, 1)), True)
    settings = ClassifierSettings(STATISTICS, ("a", "b", "c"), bands)
    x, y = problem(120, features=len(settings.features))
    labelled = labelled_fields([settings.classes[k] for k in y], np.arange(120) // 10, "image")
    tested = cross_validated(x, labelled, FEW, 3)
    return settings, grow_forest(x, y, 3, FEW), tested, x


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda said: said.update(format=99), "newer Furrow"),
        (lambda said: said.update(kind="other"), "no kind"),
        (lambda said: said["features"].update(version=0), "version 0"),
        (lambda said: said["features"].update(names=["x"]), "unknown features"),
        (lambda said: said.pop("bands"), "damaged"),
        (lambda said: said["bands"].update(low=[0]), "do not hold together"),
    ],
)
def test_settings_that_cannot_be_used(tmp_path, change, words):
    settings, _, tested, _ = trained()
    write_settings(tmp_path, settings, "")
    path = tmp_path / SETTINGS
    said = json.loads(path.read_text(encoding="utf-8"))
    change(said)
    path.write_text(json.dumps(said), encoding="utf-8")
    with pytest.raises(ModelError, match=words):
        read_settings(tmp_path)


def test_folders_without_a_model(tmp_path):
    with pytest.raises(ModelError, match=r"holds no model\.json"):
        read_settings(tmp_path)
    (tmp_path / SETTINGS).write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="damaged"):
        read_settings(tmp_path)
    (tmp_path / FOREST).write_bytes(b"PK nonsense")
    with pytest.raises(ModelError, match="missing or damaged"):
        read_forest(tmp_path, 3, 2)


@pytest.mark.parametrize("name", ["child", "feature", "roots"])
def test_a_forest_that_runs_in_circles_is_refused(tmp_path, name):
    _, forest, _, x = trained()
    values = getattr(forest, name).copy()
    values[np.flatnonzero(forest.feature >= 0)[-1] if name != "roots" else 0] = (
        0 if name == "child" else 10**6
    )
    write_forest(tmp_path, replace(forest, **{name: values}))
    with pytest.raises(ModelError, match="does not belong"):
        read_forest(tmp_path, x.shape[1], 3)


def test_groups_are_never_parted():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 23, 400)
    labels = (rng.random(400) < 0.2).astype(int)
    folds = folds_of(groups, labels, 2, 5, 0)
    assert set(folds) == set(range(5))
    assert all(len(set(folds[groups == g])) == 1 for g in set(groups.tolist()))
    shares = [labels[folds == k].mean() for k in range(5)]
    assert max(shares) - min(shares) < 0.12
    assert set(folds_of(np.array([0, 0, 1]), np.array([0, 1, 0]), 2, 5, 0)) == {0, 1}


def test_blocks_of_land():
    x, y = (axis.ravel().astype(float) for axis in np.meshgrid(np.arange(50), np.arange(50)))
    assert len(set(blocks_of(x, y))) in range(25, 37)
    assert len(set(blocks_of(x, y, 25))) == 4
    assert set(blocks_of(np.full(3, 5.0), np.full(3, 5.0))) == {0}
    thread = blocks_of(np.arange(100.0), np.zeros(100))
    assert len(set(thread)) > 5
    assert group_numbers(["b", "a", "b"]).tolist() == [0, 1, 0]


def test_what_cannot_be_tested():
    with pytest.raises(ParameterError, match="at least two classes"):
        labelled_fields(["a", "a"], np.array([0, 1]), "image")
    with pytest.raises(ParameterError, match="no usable field"):
        labelled_fields([], np.array([], int), "image")
    with pytest.raises(ParameterError, match="lie in one block"):
        labelled_fields(["a", "b"], np.array([0, 0]), "block")
    labelled = labelled_fields(["a", "a", "b", 1], np.array([0, 1, 1, 1]), "image")
    assert labelled.classes == (1, "a", "b") and untested_classes(labelled) == [1, "b"]


def test_figures_of_a_confusion_by_hand():
    counts = [40, 10, 5, 45]
    truth, found = np.repeat([0, 0, 1, 1], counts), np.repeat([0, 1, 0, 1], counts)
    confusion = confusion_of(truth, found, ("field", "nonfield"))
    assert confusion.matrix.tolist() == [[40, 10], [5, 45]]
    assert confusion.accuracy == pytest.approx(0.85)
    assert confusion.kappa == pytest.approx(0.7)
    assert confusion.recall == pytest.approx([0.8, 0.9])
    assert confusion.precision == pytest.approx([40 / 45, 45 / 55])
    assert confusion.macro_f1 == pytest.approx((80 / 95 + 90 / 105) / 2)


def test_figures_of_classes_that_never_occur():
    confusion = confusion_of(np.array([0, 0]), np.array([0, 0]), ("a", "b"))
    assert confusion.accuracy == 1 and np.isnan(confusion.kappa) and np.isnan(confusion.f1[1])
    assert np.isnan(confusion_of(np.array([], int), np.array([], int), ("a", "b")).accuracy)
