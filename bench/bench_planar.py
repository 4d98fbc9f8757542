"""Speed and memory of planar polygons: 20,000 fields on a scene of 10,000 x 10,000 pixels.

    python bench/bench_planar.py [--side 10000] [--fields 20000]

Memory is what the process takes beyond the raster of labels itself; cleaning and closing give
a second raster, which counts.
"""

from __future__ import annotations

import argparse
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Callable, Tuple

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))
import furrow_package

furrow_package.register()

from furrow.core.fields.coverage.planar import (  # noqa: E402
    PlanarField,
    cleaned_labels,
    closed_gaps,
    planar_fields,
)
from furrow.core.imagery.grid import Grid  # noqa: E402
from furrow.qgis_io.planar_polygons import geometry_of  # noqa: E402

_BLOCK = 2500
_ROUGHNESS = 0.8
"""Pixels by which outlines wander, as those of a segmentation do."""


def scene(side: int, fields: int) -> np.ndarray:
    """(side, side) int32: labels from 1, one block of farmland beside the other."""
    across = max(1, round(side / _BLOCK))
    block = farmland(-(-side // across), round(fields / across**2))
    labels = np.empty((side, side), dtype=np.int32)
    for k in range(across**2):
        row, col = (len(block) * n for n in divmod(k, across))
        part = labels[row : row + len(block), col : col + len(block)]
        own = block[: part.shape[0], : part.shape[1]]
        part[:] = np.where(own > 0, own + k * block.max(), 0)
    return labels


def farmland(side: int, fields: int, seed: int = 1) -> np.ndarray:
    """(side, side) int32: fields with straight edges at any angle, roughened; a tenth is none."""
    random = np.random.default_rng(seed)
    places = random.uniform(0, side, (round(fields / 0.9), 2))
    numbers = np.append(np.arange(1, fields + 1), np.zeros(len(places) - fields)).astype(np.int32)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    at = np.stack((y + _wander(random, y.shape), x + _wander(random, x.shape)), axis=-1)
    return numbers[cKDTree(places).query(at)[1]]


def _wander(random: np.random.Generator, shape: Tuple[int, int]) -> np.ndarray:
    rough = random.standard_normal(shape, dtype=np.float32)
    smooth = ndimage.uniform_filter(rough, 5)
    return smooth * (_ROUGHNESS / smooth.std())


class Peak:
    """The most memory that this process holds while work runs, in MB over what it held before."""

    def __enter__(self) -> Peak:
        self._before = self.most = _resident()
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._over.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._over.wait(0.01):
            self.most = max(self.most, _resident())

    @property
    def megabytes(self) -> float:
        return (self.most - self._before) / 1e6


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def measured(name: str, work: Callable[[], object]) -> object:
    """Run a call and print its time and memory."""
    start, used = time.perf_counter(), time.process_time()
    with Peak() as peak:
        result = work()
    seconds, own = time.perf_counter() - start, time.process_time() - used
    print(f"{name:32s}{seconds:8.1f} s{own:10.1f} s{peak.megabytes:8.0f} MB", flush=True)
    return result


def vertices(fields: Tuple[PlanarField, ...]) -> int:
    return sum(len(ring) - 1 for field in fields for part in field.parts for ring in part)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--fields", type=int, default=20_000)
    given = parser.parse_args()
    labels = scene(given.side, given.fields)
    print(f"{given.side:,} x {given.side:,} pixels, {int(labels.max()):,} fields")
    print(f"{'':32s}{'time':>10s}{'processor':>12s}{'memory':>11s}")
    measured("gaps of 2 pixels closed", lambda: closed_gaps(labels, 2))
    measured("cleaned: 10 pixels, 2 wide", lambda: cleaned_labels(labels, 10, 2))
    grid = Grid(given.side, given.side, (500000.0, 10.0, 0.0, 5000000.0, 0.0, -10.0))
    for simplify, straighten in ((0.0, 0.0), (1.0, 0.0), (1.0, 2.0)):
        name = f"simplify {simplify:g}, straighten {straighten:g}"
        fields = measured(name, lambda s=simplify, t=straighten: planar_fields(labels, s, t))
        print(f"    {len(fields):,} fields, {vertices(fields):,} vertices")
    measured("to geometries", lambda: [geometry_of(field, grid) for field in fields])


if __name__ == "__main__":
    main()
