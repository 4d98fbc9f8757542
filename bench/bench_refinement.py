"""Whether it pays to look at mixed fields again: object F1 before and after, on real pictures.

    python bench/bench_refinement.py [--model ID] [--data ../shared/data] [--pictures 9]

Denmark (Sentinel-2, true parcels) and the aerial pictures that nothing was trained on, at half
their size, are delineated as one tile each; then the fields are refined with each preset. A field
counts as found from an IoU of 0.5 on, matched one to one; `split` fields were replaced by smaller
ones. Then neighbours that are truly two fields are given as one, beside true fields that are left
as they are: how many of the pairs are cut, how many of them into the two, and how many true fields
are cut. Takes minutes.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Set, Tuple

import numpy as np
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "demo"))
import furrow_package  # noqa: E402

furrow_package.register()

from segmenter_sets import NAIP_LEAST_PIXELS  # noqa: E402

from furrow.core.evaluation.objects import (  # noqa: E402
    Overlaps,
    match_best,
    object_scores,
)
from furrow.core.fields.delineation.pieces import (  # noqa: E402
    FieldPiece,
    TileFields,
    label_raster,
    trimmed,
)
from furrow.core.fields.delineation.refinement import RefinementOptions, refined_pieces  # noqa: E402
from furrow.core.fields.delineation.rounds import delineate_tile  # noqa: E402
from furrow.core.places import Places  # noqa: E402
from furrow.models.segmenters.registry import Registry  # noqa: E402
from furrow.models.training import labelled_sets  # noqa: E402

PLACES = Places.under(ROOT / "build" / "places")
PRESETS = {"best": RefinementOptions(), "reference": RefinementOptions.reference()}
LEAST_IOU = 0.5
NAME = 12
REACH, TURNS = 3, 6
"""Pixels between fields that count as neighbours."""


@dataclass(frozen=True)
class Picture:
    """A picture with all its true fields."""

    name: str
    image: np.ndarray
    masks: Sequence[np.ndarray]


@dataclass
class Sums:
    """Over pictures."""

    found: int = 0
    wrong: int = 0
    missed: int = 0
    overlap: float = 0.0

    def add(self, pieces: Sequence[FieldPiece], picture: Picture) -> Sums:
        """Compare the fields of one more picture; returns the figures of that one."""
        overlaps = overlaps_of(pieces, picture)
        matches = match_best(overlaps, LEAST_IOU)
        scores = object_scores(overlaps, matches)
        own = Sums(
            scores.true_positives,
            scores.false_positives,
            scores.false_negatives,
            float(matches.iou[matches.matched].sum()),
        )
        for name in ("found", "wrong", "missed", "overlap"):
            setattr(self, name, getattr(self, name) + getattr(own, name))
        return own

    def __str__(self) -> str:
        f1 = 2 * self.found / max(1, 2 * self.found + self.wrong + self.missed)
        return f"{f1:.3f} ({self.overlap / max(1, self.found):.3f})"


def overlaps_of(pieces: Sequence[FieldPiece], picture: Picture) -> Overlaps:
    """Pixels that fields and true fields share."""
    labels = label_raster(tuple(pieces), picture.image.shape[:2])
    counts = [np.bincount(labels[mask], minlength=len(pieces) + 1)[1:] for mask in picture.masks]
    table = np.array(counts, np.float64).reshape(len(picture.masks), len(pieces))
    truth, field = np.nonzero(table)
    return Overlaps(
        field,
        truth,
        table[truth, field],
        np.array([piece.pixels for piece in pieces], np.float64),
        np.array([mask.sum() for mask in picture.masks], np.float64),
    )


def pictures(data: Path) -> Iterator[Picture]:
    """Denmark first."""
    denmark = labelled_sets.denmark(data)
    yield Picture("denmark", denmark.image, denmark.masks)
    names = labelled_sets.naip_names(data)[labelled_sets.NAIP_TRAINING :]
    for picture in labelled_sets.naip(data, names, reduction=2):
        masks = [mask for mask in picture.masks if mask.sum() >= NAIP_LEAST_PIXELS]
        yield Picture(picture.name[:NAME], picture.image, masks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="furrow-field-fast")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--pictures", type=int, default=9, help="only the first ones")
    options = parser.parse_args()
    if not options.data.is_dir():
        print(f"There is no data: {options.data} does not exist.")
        return
    segmenter = Registry(PLACES).load(options.model)
    kinds = ("none", *PRESETS)
    sums: Dict[str, Sums] = {kind: Sums() for kind in kinds}
    print(f"{'object F1 (mean IoU)':{NAME}}  " + "".join(f"{kind:>36}" for kind in kinds))
    for picture, _ in zip(pictures(options.data), range(options.pictures)):
        valid = np.ones(picture.image.shape[:2], bool)
        began = time.perf_counter()
        fields = delineate_tile([picture.image], valid, segmenter)
        first = time.perf_counter() - began
        cells = [f"{sums['none'].add(fields.pieces, picture)} {first:.0f} s"]
        for kind, how in PRESETS.items():
            refined, note = timed(fields, picture, valid, segmenter, how)
            cells.append(f"{sums[kind].add(refined.pieces, picture)} {note}")
        print(f"{picture.name:{NAME + 10}}" + "".join(f"{cell:>36}" for cell in cells), flush=True)
    print(f"{'all':{NAME + 10}}" + "".join(f"{str(sums[kind]):>36}" for kind in kinds))
    counts = {"denmark": np.zeros(5, int), "naip": np.zeros(5, int)}
    for picture, _ in zip(pictures(options.data), range(options.pictures)):
        kind = "denmark" if picture.name == "denmark" else "naip"
        for turn in range(TURNS):
            counts[kind] += cut(picture, segmenter, turn)
    for name, (pair, split, right, single, wrong) in counts.items():
        print(f"{name}: of {pair} pairs made one {split} are cut, {right} into the two; "
              f"of {single} true fields {wrong} are cut")  # fmt: skip


def merged(picture: Picture, turn: int) -> Tuple[List[FieldPiece], List[Tuple[int, int]]]:
    """True fields as pieces without a score, the first ones two neighbours each; the pairs.

    What looks mixed is judged beside the other fields, so a few pairs are made one at a time.
    """
    numbered = np.zeros(picture.image.shape[:2], np.int32)
    for number, mask in enumerate(picture.masks, start=1):
        numbered[mask & (numbered == 0)] = number
    grown = ndimage.maximum_filter(numbered, 2 * REACH + 1)
    both = np.stack([numbered, grown], axis=-1)
    touching = np.unique(both[numbered > 0], axis=0).tolist()
    pairs: List[Tuple[int, int]] = []
    used: Set[int] = set()
    for one, other in touching:
        if one != other and not {one, other} & used:
            pairs.append((one, other))
            used |= {one, other}
    pairs = pairs[turn::TURNS]
    used = {number for pair in pairs for number in pair}
    whole = [closed(np.isin(numbered, pair)) for pair in pairs]
    alone = [numbered == k for k in range(1, len(picture.masks) + 1) if k not in used]
    pieces = [trimmed(mask, np.nan, 1.0, 1) for mask in [*whole, *alone] if mask.any()]
    return pieces, pairs


def closed(mask: np.ndarray) -> np.ndarray:
    """Two neighbours and the gap between them."""
    return ndimage.binary_closing(np.pad(mask, REACH), np.ones((3, 3)), REACH)[
        REACH:-REACH, REACH:-REACH
    ]


def cut(picture: Picture, segmenter: object, turn: int) -> np.ndarray:
    """Pairs that are large enough to be looked at, those that are cut, those of them cut into the
    two, true fields that are large enough, and those that are cut."""
    pieces, pairs = merged(picture, turn)
    valid = np.ones(picture.image.shape[:2], bool)
    nothing = np.zeros(valid.shape, np.float32)
    fields = TileFields(tuple(pieces), (), valid.size, ~valid, nothing)
    refined = refined_pieces(fields, [picture.image], valid, segmenter, PRESETS["best"])
    kept = {id(piece) for piece in refined.pieces}
    least = max(PRESETS["best"].least_share * valid.size, PRESETS["best"].least_size)
    matched = match_best(overlaps_of(refined.pieces, picture), LEAST_IOU).truth
    found = set((np.asarray(matched) + 1).tolist())
    sums = np.zeros(5, int)
    for k, piece in enumerate(pieces):
        if piece.pixels <= least:
            continue
        split = id(piece) not in kept
        if k < len(pairs):
            sums[:3] += 1, split, split and set(pairs[k]) <= found
        elif turn == 0:
            sums[3:] += 1, split
    return sums


def timed(
    fields: TileFields, picture: Picture, valid: np.ndarray, segmenter: object,
    options: RefinementOptions,
) -> Tuple[TileFields, str]:  # fmt: skip
    """The refined fields, and how many were split in what time."""
    began = time.perf_counter()
    refined = refined_pieces(fields, [picture.image], valid, segmenter, options)
    seconds = time.perf_counter() - began
    kept: List[FieldPiece] = [piece for piece in refined.pieces if not piece.refined]
    return refined, f"{len(fields.pieces) - len(kept)} split {seconds:.0f} s"


if __name__ == "__main__":
    main()
