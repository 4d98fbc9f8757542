"""Lists of different lengths in one array: spans of positions, and rows of links put in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Tuple

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def spans(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The positions start, start + 1, ... of every span, one span after the other.

    :param starts: (n,) int.
    :param lengths: (n,) int, 0 or more.
    :return: (sum of lengths,) int64.
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    before = np.cumsum(lengths) - lengths
    return np.repeat(np.asarray(starts) - before, lengths) + np.arange(lengths.sum())


def offsets(lengths: np.ndarray) -> np.ndarray:
    """(n + 1,) int64: where each list starts when they lie one after the other, and the end."""
    return np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))


def batches(starts: np.ndarray, size: int) -> Iterator[Tuple[int, int]]:
    """First and last + 1 list of stretches that hold about `size` elements, one list at least.

    :param starts: (n + 1,) as of `offsets`.
    """
    first, count = 0, len(starts) - 1
    while first < count:
        last = int(np.searchsorted(starts, starts[first] + size, side="right")) - 1
        last = min(max(last, first + 1), count)
        yield first, last
        first = last


@dataclass(frozen=True)
class Chains:
    """Elements that follow one another."""

    order: np.ndarray
    """(n,) int64: all elements, chain after chain, each in order."""
    starts: np.ndarray
    """(chains + 1,) int64: where each chain starts in `order`, and the end."""
    closed: np.ndarray
    """(chains,) bool: its last element is followed by its first."""


def chained(following: np.ndarray) -> Chains:
    """Elements put in the order in which they follow one another.

    :param following: (n,) int: the element after each, -1 for none; none comes after two.
    :return: the open chains, by their first element; then closed ones, which start at their
        lowest element.
    """
    count = len(following)
    before = np.full(count, -1, dtype=np.int64)
    tails = np.flatnonzero(following >= 0)
    before[following[tails]] = tails
    first, rank = _ranked(before)
    loose = np.flatnonzero(first < 0)
    closed = np.zeros(count, dtype=bool)
    if loose.size:
        heads = _lowest_of_loops(loose, following)
        before[heads] = -1
        closed[heads] = True
        inner = np.full(count, -1, dtype=np.int64)
        inner[loose] = np.arange(loose.size)
        part = before[loose]
        loop_first, loop_rank = _ranked(np.where(part < 0, -1, inner[part]))
        first[loose], rank[loose] = loose[loop_first], loop_rank
    return _in_order(first, rank, closed)


def _ranked(before: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """First element of each one's chain and steps from there; -1 for those in loops.

    Every round doubles how far an element looks back, so long chains take few rounds.
    """
    head = before < 0
    position = np.arange(len(before))
    jump = np.where(head, position, before)
    rank = np.where(head, 0, 1)
    done = head.copy()
    active = np.flatnonzero(~done)
    while active.size:
        back = jump[active]
        rank[active] += rank[back]
        there = done[back]
        jump[active] = jump[back]
        done[active[there]] = True
        if not there.any():
            break
        active = active[~there]
    first = jump
    first[~done] = -1
    return first, rank


def _lowest_of_loops(loose: np.ndarray, following: np.ndarray) -> np.ndarray:
    inner = np.searchsorted(loose, following[loose])
    count = loose.size
    links = coo_matrix((np.ones(count, bool), (np.arange(count), inner)), shape=(count, count))
    _, loop = connected_components(links, directed=False)
    return loose[np.unique(loop, return_index=True)[1]]


def _in_order(first: np.ndarray, rank: np.ndarray, closed: np.ndarray) -> Chains:
    """Chains from the first element and the rank of each element."""
    heads = np.flatnonzero(rank == 0)
    heads = np.concatenate((heads[~closed[heads]], heads[closed[heads]]))
    number = np.empty(len(first), dtype=np.int64)
    number[heads] = np.arange(heads.size)
    chain = number[first]
    starts = offsets(np.bincount(chain, minlength=heads.size))
    order = np.empty(len(first), dtype=np.int64)
    order[starts[chain] + rank] = np.arange(len(first))
    return Chains(order, starts, closed[heads])
