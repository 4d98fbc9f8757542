"""Roots of a forest and ranks of a tree's leaves."""

from __future__ import annotations

import numpy as np
import pytest

from furrow.core.fields.merge_forest import numbered, ranked, settled


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_roots_are_where_all_steps_up_end(count: int) -> None:
    random = np.random.default_rng(count)
    above = np.array([random.integers(max(0, k - 3), k + 1) for k in range(count)])
    roots = settled(above)
    for node in range(count):
        place = node
        while above[place] != place:
            place = above[place]
        assert roots[node] == place
    assert np.array_equal(numbered(roots), np.unique(roots, return_inverse=True)[1])
    assert numbered(roots).dtype == np.int32


@pytest.mark.parametrize("leaves", [1, 2, 3, 60])
def test_each_node_covers_the_ranks_of_its_halves(leaves: int) -> None:
    random = np.random.default_rng(leaves)
    alive, halves = list(range(leaves)), [(-1, -1)] * leaves
    held = [{k} for k in range(leaves)]
    while len(alive) > 1:
        a, b = random.choice(alive, 2, replace=False).tolist()
        alive = [k for k in alive if k not in (a, b)] + [len(halves)]
        halves.append((a, b))
        held.append(held[a] | held[b])
    first, end, parent = ranked(halves, leaves)
    assert sorted(first[:leaves]) == list(range(leaves)) and parent[-1] == -1
    for node, leaf_set in enumerate(held):
        assert {k for k in range(leaves) if first[node] <= first[k] < end[node]} == leaf_set
    for node in range(leaves, len(halves)):
        assert [parent[half] for half in halves[node]] == [node, node]
