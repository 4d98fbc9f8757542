"""Masks become fields: the overlap test, likeness of masks."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from furrow.core.fields.delineation.acceptance import Acceptance, agreement, overlap
from furrow.core.fields.delineation.edge_regions import edge_regions
from furrow.core.fields.delineation.options import DelineationOptions
from furrow.core.fields.delineation.pieces import label_raster, trimmed

SHAPE = (24, 30)
WHITE = 255


def random_masks(random, count):
    for _ in range(count):
        top, left = random.integers(0, 16), random.integers(0, 20)
        height, width = random.integers(3, 14, 2)
        mask = np.zeros(SHAPE, bool)
        mask[top : top + height, left : left + width] = True
        yield mask & (random.random(SHAPE) < 0.97)


def painted_white(masks, done, limit, least) -> np.ndarray:
    """The reference system's filter on paint that loses nothing: labels of the fields it takes."""
    picture = np.zeros(SHAPE, np.uint8)
    picture[done] = WHITE
    labels = np.zeros(SHAPE, int)
    for mask in masks:
        white = np.count_nonzero(picture[mask] == WHITE) / max(np.count_nonzero(mask), 1)
        free = mask & (picture != WHITE)
        if not mask.any() or white >= limit or np.count_nonzero(free) < least:
            continue
        parts, count = ndimage.label(free)
        for part in range(1, count + 1):
            if np.count_nonzero(parts == part) >= max(least, 0.2 * np.count_nonzero(mask)):
                labels[parts == part] = labels.max() + 1
                picture[parts == part] = WHITE
    return labels


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), limit=st.sampled_from([0.5, 0.9, 0.3]))
def test_the_overlap_filter_equals_a_share_of_white_paint(seed: int, limit: float) -> None:
    random = np.random.default_rng(seed)
    masks = [mask for mask in random_masks(random, 8) if mask.any()]
    options = DelineationOptions(
        regions=False, least_pixels=4, overlap_limits=(limit,), pred_iou=0, stability=0
    )
    edges, valid = np.full(SHAPE, 0.5, np.float32), np.ones(SHAPE, bool)
    acceptance = Acceptance(edge_regions(edges, valid), valid, options)
    acceptance.done[:, :6] = random.random((SHAPE[0], 6)) < 0.5
    done = acceptance.done.copy()
    # The surest comes first, so scores say in which order masks are taken.
    answers = [((0, 0), [trimmed(m, 1 - k / 20, 1.0, 1)]) for k, m in enumerate(masks)]
    taken = acceptance.take(answers, edges, 1)
    expected = painted_white(masks, done, limit, options.least_pixels)
    assert np.array_equal(label_raster(tuple(taken), SHAPE), expected)
    assert np.array_equal(acceptance.done, done | (expected > 0))


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_overlap_of_pieces_is_that_of_their_masks(seed: int) -> None:
    one, other = random_masks(np.random.default_rng(seed), 2)
    if not (one.any() and other.any()):
        return
    pieces = [trimmed(mask, 1.0, 1.0, 1) for mask in (one, other)]
    assert overlap(*pieces) == np.count_nonzero(one & other) / np.count_nonzero(one | other)


def test_agreement_asks_the_other_places_within() -> None:
    mask, half = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    mask[2:12, 2:12], half[2:7, 2:12] = True, True
    whole, part = trimmed(mask, 0.9, 1.0, 1), trimmed(half, 0.8, 1.0, 1)
    own = ((5, 5), [whole])
    assert agreement(whole, [own]) == 1.0
    assert agreement(whole, [own, ((4, 4), [part]), ((20, 20), [whole])]) == 0.5


def test_a_region_takes_the_place_of_a_mask_that_nearly_follows_the_edges() -> None:
    edges = np.zeros(SHAPE, np.float32)
    edges[:, 14:16] = 0.9
    valid = np.ones(SHAPE, bool)
    mask = np.zeros(SHAPE, bool)
    mask[1:-1, :14] = True
    acceptance = Acceptance(edge_regions(edges, valid), valid, DelineationOptions())
    (field,) = acceptance.take([((10, 6), [trimmed(mask, 0.9, 1.0, 1)])], edges, 1)
    assert field.mask.shape == (SHAPE[0], 15) and field.mask.all()
    assert 0.7 < field.score < 0.9 and 0.7 < field.stability < 1
