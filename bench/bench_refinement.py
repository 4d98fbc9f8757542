"""Whether it pays to look at mixed fields again: object F1 before and after, on real pictures.

    python bench/bench_refinement.py [--model ID] [--data ../shared/data] [--pictures 9]

Denmark (Sentinel-2, true parcels) and the aerial pictures that nothing was trained on, at half
their size, are delineated as one tile each; then the fields are refined with each preset. A field
counts as found from an IoU of 0.5 on, matched one to one; `split` fields were replaced by smaller
ones. Takes minutes.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

import numpy as np

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
from furrow.core.fields.delineation.pieces import FieldPiece, TileFields, label_raster  # noqa: E402
from furrow.core.fields.delineation.refinement import RefinementOptions, refined_pieces  # noqa: E402
from furrow.core.fields.delineation.rounds import delineate_tile  # noqa: E402
from furrow.core.places import Places  # noqa: E402
from furrow.models.segmenters.registry import Registry  # noqa: E402
from furrow.models.training import labelled_sets  # noqa: E402

PLACES = Places.under(ROOT / "build" / "places")
PRESETS = {"best": RefinementOptions(), "reference": RefinementOptions.reference()}
LEAST_IOU = 0.5
NAME = 12


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
