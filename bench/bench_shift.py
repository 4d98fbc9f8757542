"""How much the fields of a scene depend on where its tiles begin: object F1 between two lattices.

    .venv/bin/python bench/bench_shift.py [--tile 512] [--size 1024] [--model ID]

Real pictures and made-up farmland are cut into tiles from three origins; what two runs find is
matched one to one at an IoU of 0.5. Denmark is smaller than a tile of 512 pixels: give --tile 128.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "demo"))
sys.path.insert(0, str(ROOT / "bench"))
from furrow_package import register  # noqa: E402

register()

import bench_scene  # noqa: E402

from furrow.core.evaluation.objects import Overlaps, match_best, object_scores  # noqa: E402
from furrow.core.fields.delineation.options import DelineationOptions  # noqa: E402
from furrow.core.fields.delineation.refinement import RefinementOptions  # noqa: E402
from furrow.core.fields.delineation.scene import TileJob  # noqa: E402
from furrow.core.fields.delineation.seams import joined  # noqa: E402
from furrow.core.fields.delineation.tiling import Lattice  # noqa: E402
from furrow.core.imagery.raster_gdal import describe  # noqa: E402
from furrow.core.imagery.scene_images import measured_image  # noqa: E402
from furrow.core.places import Places  # noqa: E402
from furrow.models.segmenters.tiles.tile_work import (  # noqa: E402
    ModelChoice,
    SceneWork,
    scene_zoom,
    work_on_tile,
)

DATA = ROOT.parent / "shared" / "data"
REAL = {
    "denmark": DATA / "denmark" / "s2_rgb.tif",
    "farm picture 0018": DATA / "farm_pictures" / "0018.jpg",
    "farm picture 0507": DATA / "farm_pictures" / "0507.jpg",
}
ORIGINS = ((0, 0), (64, 96), (37, 51))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--size", type=int, default=1024, help="side of the made-up image")
    parser.add_argument("--model", default="furrow-field-fast")
    options = parser.parse_args()
    bench_scene.WORK.mkdir(parents=True, exist_ok=True)
    images = {f"made-up, {options.size} px": str(bench_scene.made(options.size)[0])}
    images.update({name: str(path) for name, path in REAL.items() if path.exists()})
    for name, path in images.items():
        scene = scene_of(path, options.model)
        first = labels_of(scene, options.tile, ORIGINS[0])
        for origin in ORIGINS[1:]:
            other = labels_of(scene, options.tile, origin)
            print(f"{name}: {first.max()} and {other.max()} fields, F1 {f1(first, other):.3f} "
                  f"with origin {origin}", flush=True)  # fmt: skip


def scene_of(path: str, model: str) -> SceneWork:
    grid = describe(path).grid
    image = measured_image(path, (1, 2, 3), grid)
    choice = ModelChoice(model, None, Places.under(Path(tempfile.gettempdir()) / "furrow"))
    options = DelineationOptions()
    scene = SceneWork((image,), grid, None, options, RefinementOptions(), choice)
    return replace(scene, options=replace(options, zoom=scene_zoom(scene)))


def labels_of(scene: SceneWork, size: int, origin: tuple[int, int]) -> np.ndarray:
    shape = scene.grid.height, scene.grid.width
    tiles = Lattice(shape, size, size // 4, origin).tiles
    records = {tile: work_on_tile(scene, TileJob(tile)) for tile in tiles}
    labels = np.zeros(shape, np.int32)
    joined(tiles, records.__getitem__, labels)
    return labels


def f1(one: np.ndarray, other: np.ndarray) -> float:
    """Object F1 of two labellings."""
    both = (one > 0) & (other > 0)
    width = int(other.max()) + 1
    pairs, counts = np.unique(one[both].astype(np.int64) * width + other[both], return_counts=True)
    sizes = (np.bincount(each.ravel())[1:].astype(float) for each in (one, other))
    overlaps = Overlaps(pairs // width - 1, pairs % width - 1, counts.astype(float), *sizes)
    return object_scores(overlaps, match_best(overlaps, 0.5)).f1


if __name__ == "__main__":
    main()
