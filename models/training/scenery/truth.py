"""Labels at the image's resolution, from labels on cells half as large."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, sparse

MIN_FIELD = 10
"""Pixels of the smallest field; of smaller crumbs nothing is said."""
MIN_PART = 8
"""Smaller parts are counted to the part beside them."""


def reduce_truth(
    parts: np.ndarray, plot_of_part: np.ndarray, is_field: np.ndarray, blocks: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parts, fields and blocks (H, W) int32 as in TrainingScene.

    parts, blocks: (2H, 2W) labels. plot_of_part: (m + 1,). is_field: (n + 1,) bool by plot.
    """
    part = majority(parts)
    plot = plot_of_part[part]
    plot[~is_field[plot]] = 0
    field, count = connected(plot)
    small = np.bincount(field.ravel(), minlength=count + 1) < MIN_FIELD
    field[small[field]] = 0
    fields, _ = connected(field)
    return _parts(part, fields), fields, _blocks(majority(blocks), fields)


def majority(fine: np.ndarray) -> np.ndarray:
    """The label that most of the four cells of each pixel have; one of them where they tie."""
    a, b, c, d = fine[::2, ::2], fine[::2, 1::2], fine[1::2, ::2], fine[1::2, 1::2]
    return np.where((a == b) | (a == c) | (a == d), a, np.where((b == c) | (b == d), b, c))


def connected(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Pieces 1..n (int32) of equal labels, connected by their sides; 0 stays 0.

    Links between pixels are drawn as pixels of their own, so that one binary labelling does.
    """
    rows, columns = labels.shape
    mask = np.zeros((2 * rows - 1, 2 * columns - 1), bool)
    mask[::2, ::2] = labels > 0
    mask[::2, 1::2] = (labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] > 0)
    mask[1::2, ::2] = (labels[1:] == labels[:-1]) & (labels[1:] > 0)
    pieces, count = ndimage.label(mask)
    return pieces[::2, ::2].astype(np.int32), count


def _parts(part: np.ndarray, fields: np.ndarray) -> np.ndarray:
    """Connected parts of the fields; crumbs join the largest part beside them."""
    pieces, count = connected(np.where(fields > 0, part, 0))
    size = np.bincount(pieces.ravel(), minlength=count + 1)
    low, high = _contacts(pieces, fields)
    small, large = np.where(size[low] < size[high], (low, high), (high, low))
    crumb = size[small] < MIN_PART
    # Only its largest neighbour, so that no crumb joins two real parts.
    best = np.zeros(count + 1, int)
    order = np.argsort(size[large[crumb]], kind="stable")
    best[small[crumb][order]] = large[crumb][order]
    return _joined(pieces, np.where(best > 0, best, np.arange(count + 1)))


def _contacts(pieces: np.ndarray, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of different pieces that touch within a field, with repeats."""
    found = []
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        touch = (pieces[here] != pieces[there]) & (fields[here] == fields[there])
        found.append((pieces[here][touch], pieces[there][touch]))
    return np.concatenate([a for a, _ in found]), np.concatenate([b for _, b in found])


def _joined(pieces: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Pieces with each joined to its target, numbered anew; 0 stays 0."""
    size = len(target)
    links = sparse.coo_matrix((np.ones(size), (np.arange(size), target)), (size, size))
    _, component = sparse.csgraph.connected_components(links, directed=False)
    joined = np.where(pieces > 0, component[pieces] + 1, 0)
    return connected(joined)[0]


def _blocks(blocks: np.ndarray, fields: np.ndarray) -> np.ndarray:
    """Blocks of two or more fields with the margins between them; other fields are their own."""
    block_of_field = np.zeros(int(fields.max()) + 1, blocks.dtype)
    block_of_field[fields] = blocks
    # A field lies in one block; its edge pixels may show otherwise after the reduction.
    pieces, count = connected(np.where(fields > 0, block_of_field[fields], blocks))
    piece_of_field = np.zeros(len(block_of_field), np.int32)
    piece_of_field[fields] = pieces
    several = np.bincount(piece_of_field[1:], minlength=count + 1) > 1
    several[0] = False
    first = int(fields.max()) + 1
    return connected(np.where(several[pieces], first + pieces, fields))[0]
