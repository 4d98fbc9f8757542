"""The figures of the segmenter benchmark on cases small enough to work out by hand."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import segmenter_asking as asking  # noqa: E402
import segmenter_figures as figures  # noqa: E402
import segmenter_stability as stabilities  # noqa: E402
import segmenter_table as tables  # noqa: E402
from segmenter_sets import Field, LabelledSet, Scene, inner_point, spread_over_sizes  # noqa: E402

from furrow.core.fields.segmenter import Embedding, Masks, Prompts  # noqa: E402

SHAPE = (12, 30)


def block(rows: slice, columns: slice, shape=SHAPE) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[rows, columns] = True
    return mask


WIDE = block(slice(2, 10), slice(4, 24))


class Strips:
    """All columns within 4 of a foreground click, without those within 1 of a background click.

    Three masks: the rows 4-7 of that, the rows 2-9, all rows; it always believes in the second.
    """

    id = "strips"

    def encode(self, image):
        return Embedding(self.id, image.shape[:2])

    def predict(self, embedding, prompts):
        masks = np.stack([self._masks(embedding.shape, p) for p in prompts])
        return Masks(masks, np.tile(np.float32([0.2, 0.9, 0.4]), (len(prompts), 1)))

    def _masks(self, shape, prompt):
        near = np.zeros(shape, dtype=bool)
        points = prompt.points if len(prompt.points) else [prompt.anchor]
        signs = prompt.foreground if len(prompt.points) else [True]
        for wanted in (True, False):
            for (x, _), sign in zip(points, signs):
                if bool(sign) == wanted:
                    reach = 4 if wanted else 1
                    near[:, max(int(x) - reach, 0) : int(x) + reach + 1] = wanted
        rows = [block(slice(*ends), slice(None), shape) for ends in ((4, 8), (2, 10), (0, 12))]
        return np.stack([near & row for row in rows])


def scene(*masks: np.ndarray, rivals=None) -> Scene:
    fields = tuple(Field(mask, *inner_point(mask), ("all",)) for mask in masks)
    image = np.random.default_rng(0).integers(0, 255, (*SHAPE, 3), dtype=np.uint8)
    return Scene("strips", image, fields, rivals)


def encoded(*masks: np.ndarray, rivals=None) -> asking.Encoded:
    here = scene(*masks, rivals=rivals)
    return asking.encode(Strips(), LabelledSet("made up", ("all",), (here,)))[0]


def answer(overlaps, scores, side=10, picked=None) -> asking.Answer:
    mask = np.ones((side, side), dtype=bool)
    picked = int(np.argmax(scores)) if picked is None else picked
    rules = {"finest": overlaps[0], "best": overlaps[picked], "balanced": overlaps[-1]}
    field = Field(mask, 1, 1, ("all",))
    return asking.Answer(
        Scene("s", np.zeros((side, side, 3), np.uint8), (field,)), field,
        np.array(scores), np.array(overlaps), rules, picked, None,
    )  # fmt: skip


# ---------------------------------------------------------------------------------- prompts


def test_a_correction_goes_to_the_deepest_point_of_what_is_missing() -> None:
    found = asking.correction(Prompts.click(8.5, 6.5), WIDE, block(slice(2, 10), slice(4, 13)))
    assert found.foreground.tolist() == [True, True]
    x, y = found.points[1]
    # 11 columns and 8 rows are missing: the deepest pixels are 4 from their rim.
    assert 13 + 3 <= x <= 24 - 3
    assert 2 + 3 <= y <= 10 - 3


def test_a_correction_goes_off_the_field_where_there_is_more_too_much_than_missing() -> None:
    mask = block(slice(0, 12), slice(6, 30))
    found = asking.correction(Prompts.click(8.5, 6.5), WIDE, mask)
    assert found.foreground.tolist() == [True, False]
    column, row = found.points[1].astype(int)
    assert mask[row, column]
    assert not WIDE[row, column]


def test_a_right_answer_is_not_corrected() -> None:
    prompts = Prompts.click(8.5, 6.5)
    assert asking.correction(prompts, WIDE, WIDE) is prompts


def test_the_largest_error_is_one_piece_not_the_sum_of_small_ones() -> None:
    crumbs = np.zeros(SHAPE, dtype=bool)
    crumbs[::2, ::2] = True  # 90 pixels that touch by corners only
    truth = block(slice(2, 10), slice(4, 24)) | crumbs
    found = asking.correction(Prompts.click(8.5, 6.5), truth, block(slice(2, 6), slice(4, 24)))
    assert 6 <= found.points[1][1] <= 10


def test_three_clicks_find_a_field_that_one_finds_half_of() -> None:
    here = encoded(WIDE)
    one = asking.ask(Strips(), here, [asking.click(here.scene.fields[0])])[0]
    prompts = asking.corrected(Strips(), here)
    three = asking.ask(Strips(), here, prompts)[0]
    assert one.chosen == pytest.approx(9 / 20)
    assert len(prompts[0].points) == 3
    assert prompts[0].foreground.all()
    assert three.chosen > 0.85


def test_a_tight_box() -> None:
    box = asking.box(Field(WIDE, 0, 0, ()))
    assert box.box.tolist() == [4, 2, 24, 10]
    assert not len(box.points)


def test_a_random_click_keeps_off_the_rim_where_it_can() -> None:
    rng = np.random.default_rng(1)
    places = np.array(
        [asking.random_click(Field(WIDE, 0, 0, ()), rng).points[0] for _ in range(200)]
    )
    assert places.min(axis=0).tolist() == [5.5, 3.5]
    assert places.max(axis=0).tolist() == [22.5, 8.5]
    thin = Field(block(slice(3, 4), slice(2, 9)), 0, 0, ())
    assert asking.random_click(thin, rng).points[0][1] == 3.5


# ---------------------------------------------------------------------------------- figures


def test_answers_tell_chosen_best_and_pairs() -> None:
    rivals = np.stack([block(slice(0, 12), slice(10, 19))] * 3)
    here = encoded(WIDE, rivals=rivals)
    found = asking.ask(Strips(), here, [Prompts.click(14.5, 6.5)])[0]
    assert found.picked == 1
    assert found.overlaps == pytest.approx([36 / 160, 72 / 160, 72 / 196])
    assert found.by_rule["finest"] == pytest.approx(36 / 160)
    assert found.pair == 1.0


def test_group_figures() -> None:
    sure, unsure = answer([0.2, 0.8, 0.6], [0.1, 0.9, 0.3]), answer([0.5, 0.1, 0.3], [0, 0.4, 0.2])
    box = answer([0.9], [1.0])
    found = figures.group_figures(
        "g", asking.Answers((sure, unsure), (box, box), (box, box), (unsure, unsure))
    )
    assert found.chosen == figures.Figure(pytest.approx(0.45), 2)
    assert found.best.mean == pytest.approx(0.65)
    assert found.finest.mean == pytest.approx(0.35)
    assert found.clicks.mean == found.box.mean == pytest.approx(0.9)
    assert found.random_loss.mean == pytest.approx(0.35)
    assert found.pairs is None


def test_the_mean_of_nothing_is_not_a_number() -> None:
    found = figures.mean_of([])
    assert math.isnan(found.mean)
    assert found.n == 0


def test_bins_hold_their_lower_end_and_the_last_one_both() -> None:
    bins = figures.binned([0.0, 0.5, 0.9, 1.0], [0.1, 0.2, 0.3, 0.5], (0, 0.5, 1.0))
    assert [b.n for b in bins] == [1, 3]
    assert bins[1].value == pytest.approx(0.8)
    assert bins[1].overlap == pytest.approx(1 / 3)


def test_reliability_of_chosen_and_of_all_masks() -> None:
    found = figures.reliability("g", [answer([0.4, 0.7], [0.3, 0.95])])
    assert [b.n for b in found.chosen] == [0, 0, 0, 0, 0, 1]
    assert [b.n for b in found.every] == [1, 0, 0, 0, 0, 1]
    assert found.every[0].overlap == pytest.approx(0.4)


def test_sizes_are_sides_of_squares() -> None:
    found = figures.by_size([answer([0.4], [1], side) for side in (9, 10, 19, 90)])
    assert [b.n for b in found] == [1, 2, 0, 0, 1]


def test_the_worst_are_sorted_and_not_tiny() -> None:
    tiny, bad, good = answer([0.0], [1], 7), answer([0.2], [1]), answer([0.9], [1])
    assert figures.worst([good, tiny, bad], 60, 2) == (bad, good)


def test_labels_are_picked_evenly_over_their_sizes() -> None:
    labels = np.repeat(np.arange(8), [50, 1, 5, 6, 9, 7, 8, 20])[None]
    assert spread_over_sizes(labels, 5, 3).tolist() == [2, 5, 7]
    assert spread_over_sizes(labels, 5, 9).tolist() == [2, 3, 5, 6, 4, 7]
    assert spread_over_sizes(labels, 30, 3).tolist() == []


# -------------------------------------------------------------------------------- stability


@pytest.mark.parametrize("change", stabilities.CHANGES, ids=lambda change: change.name)
def test_what_moves_with_the_picture_comes_back(change: stabilities.Change) -> None:
    """A bright field found by a threshold has the same mask after every change.

    But for its corners, where a pixel moved by half its side is three quarters something else.
    """
    image = np.where(WIDE, 200, 60).astype(np.uint8)[..., None].repeat(3, axis=2)
    found = change.picture(image).mean(axis=2) > 120
    assert max(asking.iou(WIDE, mask) for mask in change.back(found)) >= 156 / 160
    x, y = change.place(4.5, 9.5, SHAPE)
    assert found[int(y), int(x)]


def test_an_engine_that_looks_at_clicks_only_is_stable_unless_turned() -> None:
    found = {s.change: s.overlap for s in stabilities.stability(Strips(), [encoded(WIDE)])}
    assert found["brightness +15 %"] == figures.Figure(1.0, 1)
    assert found["moved by half a pixel"].mean == 1.0
    assert found["turned by 90 degrees"].mean < 1.0


# -------------------------------------------------------------------------------- the table


def report(engine: str, **changes) -> tables.Report:
    answers = asking.interview(Strips(), [encoded(WIDE)])
    values = {
        "groups": (figures.group_figures("denmark left", answers.of("all")),
                   figures.group_figures("naip", answers.of("all"))),
        "reliability": (figures.reliability("naip", answers.click),),
        "sizes": figures.by_size(answers.click), "sizes_of": ("naip",),
        "stability": (), "speed": None, "seconds": 1.0, **changes,
    }  # fmt: skip
    return tables.Report(engine, **values)


def test_the_table_has_a_column_an_engine_and_ends_with_what_was_trained_on() -> None:
    printed = tables.table([report("one"), report("two", groups=())])
    assert printed[0].split() == ["one", "two"]
    assert "naip (n = 1)" in printed
    assert printed.index("denmark left (n = 1), TRAINED ON") > printed.index("naip (n = 1)")
    box = [line for line in printed if line.strip().startswith("box")]
    assert [line.split() for line in box] == [["box", "0.450", "-"]] * 2


def test_json_has_null_for_what_has_no_value(tmp_path: Path) -> None:
    tables.write_json(tmp_path / "figures.json", [report("one")], ["engine two: not here"])
    read = json.loads((tmp_path / "figures.json").read_text())
    assert read["engines"]["one"]["groups"][1]["chosen"] == {"mean": 0.45, "n": 1}
    assert read["engines"]["one"]["sizes"][0]["overlap"] is None
    assert read["skipped"] == ["engine two: not here"]
