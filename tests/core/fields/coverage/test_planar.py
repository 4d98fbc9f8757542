"""A raster of labels as polygons that share their edges: fixed cases and random rasters."""

from __future__ import annotations

from collections import Counter
from typing import Dict, Tuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from furrow.core.errors import Cancelled
from furrow.core.fields.coverage.planar import PlanarField, planar_fields
from furrow.core.monitor import Monitor
from furrow.tests.core.fields.coverage.label_rasters import blots, raster

LABELS = st.builds(
    blots,
    st.integers(0, 10**6),
    st.integers(1, 16),
    st.integers(1, 16),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.6, 1.2]),
)


def area(ring: np.ndarray) -> float:
    (x, y), (nx, ny) = ring[:-1].T, ring[1:].T
    return float((x * ny - nx * y).sum() / 2)


def areas(fields: Tuple[PlanarField, ...]) -> Dict[int, float]:
    return {f.label: sum(area(ring) for part in f.parts for ring in part) for f in fields}


def edges(fields: Tuple[PlanarField, ...]) -> Counter:
    """Directed edges of all rings."""
    return Counter(
        (tuple(one), tuple(other))
        for field in fields
        for part in field.parts
        for ring in part
        for one, other in zip(ring[:-1].tolist(), ring[1:].tolist())
    )


def shape_of(field: PlanarField) -> list:
    """Numbers of vertices of the rings of each part."""
    return [[len(ring) - 1 for ring in part] for part in field.parts]


def junctions(labels: np.ndarray) -> set:
    """Points where three labels meet, the outside being one of its own, and what is no field does
    not pass between two fields."""
    framed = np.pad(labels, 1, constant_values=-1)
    found = set()
    for y in range(labels.shape[0] + 1):
        for x in range(labels.shape[1] + 1):
            one, other, third, fourth = framed[y : y + 2, x : x + 2].ravel().tolist()
            pinch = one == fourth == 0 or other == third == 0
            if len({one, other, third, fourth}) > 2 and not pinch:
                found.add((float(x), float(y)))
    return found


def check_rings(fields: Tuple[PlanarField, ...]) -> None:
    """Closed, the right way round, and no point twice in a ring."""
    for field in fields:
        for part in field.parts:
            assert area(part[0]) > 0 and all(area(hole) < 0 for hole in part[1:])
            for ring in part:
                assert ring.dtype == np.float64
                assert (ring[0] == ring[-1]).all()
                assert len(np.unique(ring[:-1], axis=0)) == len(ring) - 1 >= 3


@settings(max_examples=80)
@given(LABELS, st.sampled_from([0.0, 0.5, 1.0, 3.0, 10.0]), st.sampled_from([0.0, 2.0]))
def test_neighbours_share_every_edge(labels, simplify, straighten):
    covered = np.where(labels == 0, 4, labels)  # without gaps only the frame has one side
    fields = planar_fields(covered, simplify, straighten)
    check_rings(fields)
    found = edges(fields)
    assert set(found.values()) == {1}
    height, width = labels.shape
    for one, other in found:
        if (other, one) not in found:
            on_side = [one[k] == other[k] and one[k] in (0, (width, height)[k]) for k in (0, 1)]
            assert any(on_side)
    assert sum(areas(fields).values()) == pytest.approx(height * width, abs=1e-9)


@settings(max_examples=60)
@given(LABELS, st.sampled_from([0.0, 1.0, 3.0]))
def test_junctions_stay(labels, simplify):
    fields = planar_fields(labels, simplify)
    points = {point for edge in edges(fields) for point in edge}
    assert junctions(labels) <= points


@settings(max_examples=80)
@given(LABELS)
def test_unsimplified_areas_are_those_of_the_pixels(labels):
    fields = planar_fields(labels)
    check_rings(fields)
    numbers, pixels = np.unique(labels[labels > 0], return_counts=True)
    assert areas(fields) == dict(zip(numbers.tolist(), pixels.tolist()))


@settings(max_examples=60)
@given(LABELS, st.sampled_from([0.3, 1.0, 2.0, 5.0]), st.sampled_from([0.0, 3.0]))
def test_no_area_changes_by_more_than_a_tenth(labels, simplify, straighten):
    found = areas(planar_fields(labels, simplify, straighten))
    numbers, pixels = np.unique(labels[labels > 0], return_counts=True)
    assert sorted(found) == numbers.tolist()
    for number, count in zip(numbers.tolist(), pixels.tolist()):
        assert abs(found[number] - count) <= 0.1 * count + 1e-9


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (1, 1), (7, 9)])
def test_no_field_is_no_polygon(shape):
    assert planar_fields(np.zeros(shape, np.int32), 1.0, 2.0) == ()


@pytest.mark.parametrize("simplify", [0.0, 1.0, 50.0])
def test_a_single_field_fills_its_raster(simplify):
    (field,) = planar_fields(np.full((7, 9), 5, np.int32), simplify)
    assert field.label == 5 and shape_of(field) == [[4]]
    assert area(field.parts[0][0]) == 63


def test_fields_come_by_label():
    fields = planar_fields(raster("93", "17"))
    assert [field.label for field in fields] == [1, 3, 7, 9]


@pytest.mark.parametrize("simplify", [0.0, 1.0])
def test_a_field_inside_a_field(simplify):
    labels = np.ones((20, 20), np.int32)
    labels[5:12, 6:15] = 2
    labels[8:10, 9:12] = 0
    outer, inner = planar_fields(labels, simplify)
    assert shape_of(outer) == [[4, 4]] and shape_of(inner) == [[4, 4]]
    assert (np.unique(outer.parts[0][1], axis=0) == np.unique(inner.parts[0][0], axis=0)).all()


def test_pieces_that_meet_at_a_point_are_parts():
    (field,) = planar_fields(raster("1.", ".1"))
    assert shape_of(field) == [[4], [4]]


def test_a_piece_that_meets_itself_at_a_point_has_a_hole_there():
    (field,) = planar_fields(raster("111", "1.1", "11."))
    assert shape_of(field) == [[6, 4]]
    assert (2.0, 2.0) in {tuple(p) for p in field.parts[0][0]}
    assert (2.0, 2.0) in {tuple(p) for p in field.parts[0][1]}


def test_holes_that_meet_at_a_point_are_two():
    (field,) = planar_fields(raster("1111", "1.11", "11.1", "1111"))
    assert shape_of(field) == [[4, 4, 4]]


def test_two_fields_on_a_chessboard():
    one, two = planar_fields(raster("121", "212", "121"))
    assert shape_of(one) == [[4]] * 5 and shape_of(two) == [[4]] * 4


def test_holes_belong_to_the_part_around_them():
    labels = np.zeros((12, 30), np.int32)
    labels[1:11, 1:11] = labels[1:11, 15:25] = 1
    labels[4:6, 18:20] = 0
    (field,) = planar_fields(labels)
    assert sorted(shape_of(field)) == [[4], [4, 4]]


@pytest.mark.parametrize("simplify, straighten", [(1.0, 0.0), (0.0, 1.0)])
def test_fields_that_meet_at_a_corner_come_apart(simplify, straighten):
    labels = np.kron(raster("1.", ".2"), np.ones((9, 9), np.int32)).astype(np.int32)
    exact, drawn = planar_fields(labels), planar_fields(labels, simplify, straighten)
    assert all((9.0, 9.0) in {tuple(p) for p in field.parts[0][0]} for field in exact)
    corners = [field.parts[0][0] for field in drawn]
    apart = np.abs(corners[0][:, None] - corners[1]).max(axis=2).min()
    assert 0 < apart < 0.01
    assert areas(drawn) == pytest.approx({1: 81, 2: 81}, abs=0.1)


def test_a_slanted_gap_of_a_pixel_does_not_tie_its_sides_to_the_staircase():
    y, x = np.mgrid[:60, :60]
    labels = np.where(x == y, 0, np.where(x > y, 1, 2)).astype(np.int32)
    assert [shape_of(field) for field in planar_fields(labels, 1.0)] == [[[3]], [[3]]]


@pytest.mark.parametrize("slope", [0.0, 0.1, 0.3, 0.77, 1.0, 1.6, 4.0, -0.2, -1.0])
def test_a_slanted_boundary_comes_out_straight(slope):
    y, x = np.mgrid[:60, :80] + 0.5
    labels = np.where(y - 30 > slope * (x - 40), 1, 2).astype(np.int32)
    inner = {edge for edge in edges(planar_fields(labels, 1.0)) if edge[::-1] in
             edges(planar_fields(labels, 1.0))}  # fmt: skip
    assert len(inner) == 2


def test_staircases_lean_to_neither_side():
    y, x = np.mgrid[:200, :200] + 0.5
    labels = (np.hypot(y - 100, x - 100) < 70).astype(np.int32)
    (field,) = planar_fields(labels, 0.6)
    assert areas((field,))[1] == pytest.approx(labels.sum(), rel=0.01)
    assert len(field.parts[0][0]) < 60


def test_corners_of_a_rectangle_stay():
    labels = np.zeros((30, 30), np.int32)
    labels[4:20, 7:25] = 1
    (field,) = planar_fields(labels, 1.0, 3.0)
    corners = {(7.0, 4.0), (25.0, 4.0), (25.0, 20.0), (7.0, 20.0)}
    assert {tuple(point) for point in field.parts[0][0]} == corners


def test_the_edge_of_the_raster_stays_straight():
    labels = np.zeros((40, 40), np.int32)
    labels[:9, 10:30] = 1
    labels[2:5, 8:10] = 1
    (field,) = planar_fields(labels, 3.0)
    assert {(10.0, 0.0), (30.0, 0.0)} <= {tuple(point) for point in field.parts[0][0]}


def test_an_island_stays_outside_the_bump_that_goes():
    labels = np.zeros((40, 60), np.int32)
    labels[20:, :] = 1
    labels[18:20, 25:35] = 1
    labels[16:20, 36] = 2  # beside the bump; its foot is on the field's edge
    labels[15, 20:40] = 3
    alone = planar_fields(labels, 8.0)
    assert sum(areas(alone).values()) == pytest.approx((labels > 0).sum(), rel=0.1)
    check_rings(alone)


def test_an_island_in_a_bay_is_not_swallowed():
    labels = np.full((60, 100), 1, np.int32)
    labels[:30] = 0
    labels[30:33, 40:60] = 0  # a bay that simplifying would fill
    labels[31, 50] = 2
    fields = planar_fields(labels, 4.0)
    bay = next(f for f in fields if f.label == 1).parts[0][0]
    assert bay[:, 1].max() == 60 and (np.abs(bay[:, 1] - 33) < 1).any()


def test_rings_start_where_a_closed_outline_has_a_corner():
    labels = np.zeros((40, 40), np.int32)
    y, x = np.mgrid[:40, :40]
    labels[np.abs(y - 20) + np.abs(x - 20) < 12] = 1
    (field,) = planar_fields(labels, 1.5)
    assert shape_of(field) == [[4]]


def test_strips_do_not_show(monkeypatch):
    from furrow.core.fields.coverage import runs

    labels = np.random.default_rng(2).integers(0, 3, (37, 23)).astype(np.int32)
    whole = planar_fields(labels, 1.0)
    monkeypatch.setattr(runs, "STRIP_PIXELS", 50)
    stripwise = planar_fields(labels, 1.0)
    assert [shape_of(field) for field in whole] == [shape_of(field) for field in stripwise]
    assert edges(whole) == edges(stripwise)


def test_cancelling_stops_it():
    with pytest.raises(Cancelled):
        planar_fields(np.ones((9, 9), np.int32), 1.0, monitor=Monitor(cancelled=lambda: True))


def test_progress_rises_to_the_end():
    told = []
    labels = np.random.default_rng(3).integers(0, 4, (50, 50)).astype(np.int32)
    planar_fields(labels, 1.0, monitor=Monitor(progress=told.append))
    assert told == sorted(told) and told[-1] == 1.0
