"""How well whole scenes are delineated: object F1 against true fields, round by round.

    python bench/bench_delineation.py [--engine ID ...] [--set NAME ...] [--data ../shared/data]
                                      [--super-resolution FILE.onnx]

A field counts where at least half of it lies on true fields: what lies where nothing is known is
neither right nor wrong. Pairs match one to one from an IoU of 0.5 on. Coverage is the share of the
true fields' area that any field covers; without truth, of the picture. Times are those of the
processor over all threads, encoding included.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np
from osgeo import gdal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "demo"))
import furrow_package  # noqa: E402

furrow_package.register()

from delineation_rivals import rivals  # noqa: E402
from delineation_sets import SETS, Scene, SceneSet  # noqa: E402
from segmenter_speed import PLACES  # noqa: E402

from furrow.core.evaluation.objects import Overlaps, match_best  # noqa: E402
from furrow.core.fields.delineation.enlarging import Enlarger  # noqa: E402
from furrow.core.fields.delineation.options import DelineationOptions  # noqa: E402
from furrow.core.fields.delineation.pieces import TileFields, label_raster  # noqa: E402
from furrow.core.fields.delineation.rounds import delineate_tile  # noqa: E402
from furrow.models.segmenters.registry import Registry  # noqa: E402
from furrow.models.super_resolution.onnx_enlarger import open_enlarger  # noqa: E402

LEAST_IOU = 0.5
HALF = 0.5
ENGINES = ("furrow-field-fast",)
PRESETS: Dict[str, DelineationOptions] = {
    "default": DelineationOptions(),
    "reference": DelineationOptions.reference(),
}


@dataclass
class Tally:
    """Figures that add up over scenes."""

    right: int = 0
    found: int = 0
    true: int = 0
    iou: float = 0.0
    covered: int = 0
    area: int = 0
    prompts: int = 0
    seconds: float = 0.0

    @property
    def f1(self) -> float:
        return 2 * self.right / max(self.found + self.true, 1)

    def add(self, labels: np.ndarray, truth: Optional[np.ndarray]) -> None:
        """Take in a scene.

        :param labels: (H, W) int, 0 where there is no field.
        """
        if truth is None:
            self.covered += int(np.count_nonzero(labels))
            self.area += labels.size
            return
        overlaps = counted(labels, truth)
        matches = match_best(overlaps, LEAST_IOU)
        self.right += int(matches.matched.sum())
        self.found += len(overlaps.field_area)
        self.true += len(overlaps.truth_area)
        self.iou += float(matches.iou[matches.matched].sum())
        self.covered += int(np.count_nonzero((labels > 0) & (truth > 0)))
        self.area += int(np.count_nonzero(truth))

    def cells(self, megapixels: float) -> str:
        coverage = self.covered / max(self.area, 1)
        speed = f"{self.prompts:>8} {1000 * self.seconds / megapixels:>11.0f}"
        if not self.true:
            return f"{'-':>6} {'-':>6} {'-':>6} {'-':>6} {coverage:>8.3f} {'-':>10} {speed}"
        precision, recall = self.right / max(self.found, 1), self.right / self.true
        return (
            f"{self.f1:>6.3f} {precision:>6.3f} {recall:>6.3f} "
            f"{self.iou / max(self.right, 1):>6.3f} {coverage:>8.3f} "
            f"{f'{self.found}/{self.true}':>10} {speed}"
        )


HEADER = (
    f"{'':<38} {'F1':>6} {'prec.':>6} {'rec.':>6} {'IoU':>6} {'coverage':>8} "
    f"{'fields':>10} {'prompts':>8} {'CPU ms / MP':>11}"
)


def counted(labels: np.ndarray, truth: np.ndarray) -> Overlaps:
    """Overlaps of the fields that lie by half on true fields."""
    fields, truths = int(labels.max()), int(truth.max())
    both = (labels > 0) & (truth > 0)
    keys = labels[both].astype(np.int64) * (truths + 1) + truth[both]
    pairs, area = np.unique(keys, return_counts=True)
    size = np.bincount(labels.ravel(), minlength=fields + 1)[1:]
    known = np.bincount(labels[both].ravel(), minlength=fields + 1)[1:]
    true_size = np.bincount(truth.ravel(), minlength=truths + 1)[1:]
    overlaps = Overlaps(
        pairs // (truths + 1) - 1,
        pairs % (truths + 1) - 1,
        area.astype(float),
        size.astype(float),
        true_size.astype(float),
    )
    return overlaps.among((known >= HALF * size) & (size > 0), true_size > 0)


def delineated(
    scenes: Sequence[Scene],
    segmenter: object,
    options: DelineationOptions,
    enlarger: Optional[Enlarger] = None,
) -> Tuple[List[TileFields], float]:
    """The fields of each scene, and the processor's seconds that all took."""
    start = time.process_time()
    fields = [
        delineate_tile(
            scene.images, np.ones(scene.shape, bool), segmenter, options, enlarger=enlarger
        )
        for scene in scenes
    ]
    return fields, time.process_time() - start


def after_round(fields: Sequence[TileFields], scenes: Sequence[Scene], number: int) -> Tally:
    """The figures when only so many rounds had been made."""
    tally = Tally()
    for found, scene in zip(fields, scenes):
        pieces = tuple(piece for piece in found.pieces if piece.round <= number)
        tally.add(label_raster(pieces, scene.shape), scene.truth)
        tally.prompts += sum(c.prompts for c in found.rounds if c.round <= number)
    return tally


def rival_lines(chosen: SceneSet) -> Tuple[List[str], float]:
    """The best scale of each classical method, and the best F1 of all."""
    best: Dict[str, Tuple[float, str]] = {}
    for name, method in rivals().items():
        tally, start = Tally(), time.process_time()
        for scene in chosen.scenes:
            tally.add(method(scene.images), scene.truth)
        tally.seconds = time.process_time() - start
        kind = name.split(",")[0]
        if kind not in best or tally.f1 > best[kind][0]:
            best[kind] = tally.f1, f"{name:<38} {tally.cells(chosen.megapixels)}"
    return [line for _, line in best.values()], max((f1 for f1, _ in best.values()), default=0.0)


def report(
    chosen: SceneSet,
    engines: Dict[str, object],
    presets: Sequence[str],
    enlarger: Optional[Enlarger] = None,
) -> None:
    """Measure one set and print its part of the table."""
    print(f"\n{chosen.name}: {len(chosen.scenes)} pictures, {chosen.megapixels:.2f} megapixels")
    print(HEADER)
    has_truth = chosen.scenes[0].truth is not None
    lines, rival = rival_lines(chosen) if has_truth else ([], 0.0)
    for line in lines:
        print(line)
    for engine, segmenter in engines.items():
        for preset in presets:
            _report_engine(chosen, engine, segmenter, preset, rival, enlarger)


def _report_engine(
    chosen: SceneSet,
    engine: str,
    segmenter: object,
    preset: str,
    rival: float,
    enlarger: Optional[Enlarger],
) -> None:
    fields, seconds = delineated(chosen.scenes, segmenter, PRESETS[preset], enlarger)
    rounds = max((count.round for each in fields for count in each.rounds), default=0)
    for number in range(1, rounds + 1):
        tally = after_round(fields, chosen.scenes, number)
        last = number == rounds
        tally.seconds = seconds if last else 0.0
        name = f"{engine}, {preset}" if last else f"   after round {number}"
        print(f"{name:<38} {tally.cells(chosen.megapixels)}", flush=True)
        if last and rival:
            print(f"   times the best classical F1: {tally.f1 / rival:.2f}")


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Read the arguments, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    registry = Registry(PLACES)
    names = [name for name, _ in SETS]
    parser.add_argument("--engine", action="append", choices=registry.ids())
    parser.add_argument("--preset", action="append", choices=sorted(PRESETS))
    parser.add_argument("--set", action="append", choices=names, dest="sets")
    parser.add_argument("--super-resolution", type=Path, help="ONNX file that enlarges pictures")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    options = parser.parse_args(arguments)
    gdal.UseExceptions()
    if not any(name.startswith("felzenszwalb") for name in rivals()):
        print("skipped: felzenszwalb; scikit-image is not installed")
    engines = {name: registry.load(name) for name in options.engine or ENGINES}
    file = options.super_resolution
    enlarger = None if file is None else open_enlarger(file)
    for name, read in SETS:
        if name not in (options.sets or names):
            continue
        if not name.startswith("demo") and not options.data.is_dir():
            print(f"skipped: {name}; {options.data} does not exist")
            continue
        report(read(options.data), engines, options.preset or ["default"], enlarger)


if __name__ == "__main__":
    main()
