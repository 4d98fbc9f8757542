"""Files of LabelMe: holes, groups, what comes back; crops and folders beside them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from furrow.core.errors import OutputError, ParameterError
from furrow.core.fields.classification.crops import (
    on_square,
    safe_names,
    seen_part,
    square_around,
    tiles_of,
)
from furrow.core.fields.classification.labelme import (
    LabelledPicture,
    LabelledShape,
    Placement,
    keyhole,
    read_json,
    to_json,
)
from furrow.core.fields.classification.relabelling import relabelled
from furrow.core.imagery.grid import Grid, Window
from furrow.core.whole_folder import require_replaceable, whole_folder

OUTER = np.array([[0, 0], [100, 0], [100, 80], [0, 80], [0, 0]], float)
HOLES = [
    np.array([[10, 10], [30, 10], [30, 30], [10, 30], [10, 10]], float),
    np.array([[60, 40], [60, 60], [80, 60], [80, 40]], float),
]


def filled(points, height=90, width=110):
    """(h, w) bool by the even-odd rule, at pixel centres."""
    y, x = np.mgrid[:height, :width] + 0.5
    inside = np.zeros((height, width), bool)
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0)):
        crosses = (y1 > y) != (y2 > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return inside


@pytest.mark.parametrize("turned", [False, True])
def test_a_field_with_holes_is_one_line_without_them(turned):
    rings = [OUTER, *HOLES]
    line = keyhole([ring[::-1] for ring in rings] if turned else rings)
    mask = filled(line)
    assert mask.sum() == 8000 - 400 - 400
    assert not mask[20, 20] and not mask[50, 70] and mask[50, 20]
    x, y = line.T
    area = (x @ np.roll(y, -1) - np.roll(x, -1) @ y) / 2
    assert abs(area) == 8000 - 400 - 400, "the winding is right for readers without even-odd"


def test_written_and_read_again(tmp_path):
    placement = Placement((5e5, 10.0, 0.0, 5.3e6, 0.0, -10.0), "EPSG:32632")
    shapes = (
        LabelledShape("field", OUTER[:-1], 7, "field"),
        LabelledShape("Wald & Wiese", OUTER[:3]),
    )
    path = tmp_path / "a.json"
    path.write_text(to_json(LabelledPicture("a.png", 90, 110, shapes, placement)), encoding="utf-8")
    said = json.loads(path.read_text(encoding="utf-8"))
    assert set(said) >= {"version", "flags", "shapes", "imagePath", "imageData", "imageHeight"}
    assert said["imageData"] is None and said["shapes"][0]["shape_type"] == "polygon"
    assert said["shapes"][0]["group_id"] == 7 and said["shapes"][1]["group_id"] is None
    read = read_json(path)
    assert read.placement == placement and read.picture == "a.png"
    assert [shape.label for shape in read.shapes] == ["field", "Wald & Wiese"]
    assert np.array_equal(read.shapes[0].points, OUTER[:-1]) and read.shapes[0].given == "field"


def test_shapes_of_other_programs(tmp_path):
    said = {"imagePath": "x.jpg", "shapes": [
        {"label": "a", "points": [[1, 2], [5, 9]], "shape_type": "rectangle"},
        {"label": "b", "points": [[1, 2]], "shape_type": "point", "group_id": None},
        {"label": "c", "points": [[1, 2], [5, 9]], "shape_type": "polygon"},
        {"label": "d", "points": [[1, 2], [5, 9], [0, 9]], "description": "x", "flags": None},
    ]}  # fmt: skip
    path = tmp_path / "x.json"
    path.write_text(json.dumps(said), encoding="utf-8")
    read = read_json(path)
    assert [shape.label for shape in read.shapes] == ["a", "d"]
    assert read.shapes[0].points.tolist() == [[1, 2], [5, 2], [5, 9], [1, 9]]
    assert read.placement is None


@pytest.mark.parametrize("text", ["", "[]", '{"shapes": 3}', '{"shapes": [{}]}', '{"a": 1}'])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParameterError, match=r"x\.json cannot be read"):
        read_json(path)


def shape(label, group, given="field"):
    return LabelledShape(label, OUTER[:-1], group, given)


def test_changed_labels_find_their_field():
    known = {1: "field", 2: "field", 3: "field", 4: "nonfield", 5: "field", 6: ""}
    found = relabelled(
        [
            shape("field", 1),
            shape("nonfield", 2), shape("field", 2),  # changed on one of two pictures
            shape("a", 3), shape("b", 3),
            shape("nonfield", 4, "nonfield"),
            shape("field", None, None), shape("field", 99),
            shape("field", 6),
        ],
        known,
    )  # fmt: skip
    assert dict(found.labels) == {2: "nonfield", 6: "field"}
    assert found.unclear == {3: ("a", "b")}
    assert found.missing == (5,) and found.new == (6, 7)


def test_without_the_given_label_the_fields_own_counts():
    found = relabelled([shape("b", 1, None), shape("a", 2, None)], {1: "a", 2: "a"})
    assert dict(found.labels) == {1: "b"}


def test_crops_are_squares_around_the_middle():
    square = square_around(Window(100, 200, 41, 20), 0.1)
    assert (square.height, square.width) == (50, 50)
    middle = square.row + 25, square.col + 25
    assert abs(middle[0] - 120.5) <= 0.5 and abs(middle[1] - 210) <= 0.5
    assert square_around(Window(3, 4, 1, 1), 0).height == 1


def test_crops_beyond_the_picture_stay_centred():
    grid = Grid(50, 40, (0, 1, 0, 0, 0, -1))
    square = square_around(Window(0, 40, 10, 10), 0.5)
    seen = seen_part(square, grid)
    assert (seen.row, seen.col, seen.height, seen.width) == (0, 35, 15, 15)
    whole = on_square(np.ones((1, 15, 15)), seen, square, -1)
    assert whole.shape == (1, 20, 20)
    assert (whole[0, 5:, :15] == 1).all() and (whole == -1).sum() == 400 - 225


def test_a_thinned_part_on_its_square():
    square, seen = Window(-100, 0, 1000, 1000), Window(0, 0, 900, 1000)
    whole = on_square(np.ones((1, 90, 100)), seen, square, 0, step=10)
    assert whole.shape == (1, 100, 100) and (whole[0, :10] == 0).all() and whole.sum() == 9000


def test_thinned_parts_always_fit():
    rng = np.random.default_rng(0)
    grid = Grid(300, 200, (0, 1, 0, 0, 0, -1))
    for _ in range(300):
        row, col = int(rng.integers(0, 190)), int(rng.integers(0, 290))
        field = Window(row, col, int(rng.integers(1, 200 - row)), int(rng.integers(1, 300 - col)))
        square, step = square_around(field, rng.uniform(0, 0.5)), int(rng.integers(1, 9))
        seen = seen_part(square, grid)
        part = np.ones((2, -(-seen.height // step), -(-seen.width // step)), np.uint8)
        whole = on_square(part, seen, square, 0, step)
        assert whole.shape == (2, *(-(-square.height // step),) * 2)
        assert whole.sum() == part.size


def test_tiles_cover_the_picture_once():
    grid = Grid(1000, 2100, (0, 1, 0, 0, 0, -1))
    tiles = tiles_of(grid, 1024)
    assert len(tiles) == 3 and sum(t.height * t.width for t in tiles) == 2_100_000
    assert all(t.height == 700 for t in tiles)


def test_names_of_folders():
    names = safe_names(["a/b", "a:b", "A_b", "", "..", "con", "x" * 200, 1, 1])
    assert len({name.lower() for name in names.values()}) == 8
    assert names["con"] == "_con" and names[1] == "1" and names[".."] == "__2"
    assert all("/" not in name and len(name) < 90 for name in names.values())


def test_folders_are_whole_or_not_there(tmp_path):
    place = tmp_path / "out"
    with pytest.raises(RuntimeError), whole_folder(place) as partial:
        (partial / "a").write_text("1")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with whole_folder(place) as partial:
        (partial / "a").write_text("1")
    with pytest.raises(RuntimeError), whole_folder(place) as partial:
        raise RuntimeError
    assert (place / "a").read_text() == "1" and list(tmp_path.iterdir()) == [place]
    require_replaceable("OUTPUT", place, "a")
    with pytest.raises(OutputError, match="holds other files"):
        require_replaceable("OUTPUT", place, "b")
    with pytest.raises(OutputError, match="is a file"):
        require_replaceable("OUTPUT", place / "a", "b")
