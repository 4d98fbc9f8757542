"""How well the segmentation engines find real fields: a table and sheets of pictures.

    python bench/bench_segmenters.py [--engine classical] [--data ../shared/data] [--out FOLDER]

Three sets, none of which is part of the repository: Ontario (Sentinel-2, compared with masks of
SAM ViT-H, which are no truth), Denmark (Sentinel-2, true parcels) and NAIP (aerial pictures,
fields drawn by hand). The constants of the classical engine were fitted on Denmark left of column
113, NAIP 1-22 and Ontario 1921 and 1924; the rows marked * are free of these.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

import numpy as np
from osgeo import gdal, ogr
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]

if "furrow" not in sys.modules:
    # The plugin's own __init__ needs QGIS; the engines do not.
    package = types.ModuleType("furrow")
    package.__path__ = [str(ROOT)]
    sys.modules["furrow"] = package

from furrow.core.fields.masks import MaskRule, choose  # noqa: E402
from furrow.core.fields.segmenter import Prompts, Segmenter  # noqa: E402
from furrow.models.segmenters.classical import ClassicalSegmenter  # noqa: E402

ENGINES: Dict[str, Callable[[], Segmenter]] = {"classical": ClassicalSegmenter}

LUMINANCE_LIMIT = 0.2
"""Spread of the luminance (0..1) that `balanced` accepts here, where there is no NDVI."""

TWO_HECTARES = 200
"""Pixels of 10 m."""


@dataclass(frozen=True)
class Field:
    """One wanted object with a click inside."""

    mask: np.ndarray
    """(H, W) bool."""
    x: float
    y: float


@dataclass(frozen=True)
class Scene:
    """An image with the fields that are known in it."""

    name: str
    image: np.ndarray
    """(H, W, 3) uint8."""
    fields: List[Field]
    rivals: Optional[np.ndarray] = None
    """(3, H, W) bool: the masks of another engine for the only field."""


@dataclass(frozen=True)
class Result:
    """What an engine answered to one prompt."""

    field: Field
    masks: np.ndarray
    scores: np.ndarray
    overlaps: np.ndarray
    """(m,) IoU of each mask with the field."""
    chosen: Dict[str, float]
    """Rule -> IoU."""
    rival_overlap: float
    """Best IoU of any mask with any rival mask; NaN without rivals."""
    seconds: float


# ------------------------------------------------------------------------------------- data


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks, 0 when both are empty."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def inner_point(mask: np.ndarray) -> Tuple[float, float]:
    """A point deep inside a mask, as central as possible; x and y in pixels."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    deep = np.argwhere(depth >= 0.75 * depth.max())
    row, column = deep[((deep - deep.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    return column + 0.5, row + 0.5


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3), the first three bands in their own type."""
    return np.ascontiguousarray(gdal.Open(str(path)).ReadAsArray()[:3].transpose(1, 2, 0))


def stretch(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> uint8 between the 2nd and 98th percentile of each band."""
    low, high = np.percentile(image, (2, 98), axis=(0, 1))
    return (np.clip((image - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def half(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 at half its size."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    blocks = image[: 2 * height, : 2 * width].astype(np.float32)
    return blocks.reshape(height, 2, width, 2, 3).mean(axis=(1, 3)).astype(np.uint8)


def burn(geometry: ogr.Geometry, shape: Tuple[int, int], transform: Tuple) -> np.ndarray:
    """(H, W) bool: the pixels whose centre a polygon covers."""
    raster = gdal.GetDriverByName("MEM").Create("", shape[1], shape[0], 1, gdal.GDT_Byte)
    raster.SetGeoTransform(transform)
    # Any reference will do: GDAL warns about every polygon without one.
    reference = ogr.osr.SpatialReference()
    reference.ImportFromEPSG(32632)
    raster.SetProjection(reference.ExportToWkt())
    source = ogr.GetDriverByName("Memory").CreateDataSource("")
    layer = source.CreateLayer("polygon", reference, ogr.wkbUnknown)
    feature = ogr.Feature(layer.GetLayerDefn())
    feature.SetGeometry(geometry)
    layer.CreateFeature(feature)
    gdal.RasterizeLayer(raster, [1], layer, burn_values=[1])
    return raster.ReadAsArray() > 0


def ontario(data: Path) -> Iterator[Scene]:
    """Six patches of 200 x 200 pixels; the wanted field is SAM's first mask."""
    for path in sorted((data / "ontario").glob("*_rgb.tif")):
        masks = gdal.Open(str(path).replace("_rgb", "_sam_vit_h_masks")).ReadAsArray() > 0
        yield Scene(path.name[:4], read_image(path), [Field(masks[0], 100.5, 100.5)], masks)


def denmark(data: Path) -> Iterator[Scene]:
    """One scene with all parcels."""
    path = data / "denmark" / "s2_rgb.tif"
    image = stretch(read_image(path))
    transform = gdal.Open(str(path)).GetGeoTransform()
    source = ogr.Open(str(data / "denmark" / "fields.gpkg"))
    masks = [
        burn(feature.GetGeometryRef(), image.shape[:2], transform) for feature in source.GetLayer()
    ]
    yield Scene("denmark", image, [Field(m, *inner_point(m)) for m in masks if m.any()])


def naip(data: Path) -> Iterator[Scene]:
    """Pictures 23-30 at half resolution with the fields of 40 pixels and more."""
    outlines = json.loads((data / "naip_midwest" / "polygons.json").read_text())
    for name in sorted(outlines)[22:]:
        image = half(read_image(data / "naip_midwest" / "images" / name))
        rings = [ring + ring[:1] for ring in outlines[name] if len(ring) > 2]
        texts = [", ".join(f"{x / 2} {y / 2}" for x, y in ring) for ring in rings]
        shapes = [ogr.CreateGeometryFromWkt(f"POLYGON(({text}))") for text in texts]
        masks = [burn(shape, image.shape[:2], (0, 1, 0, 0, 0, 1)) for shape in shapes]
        yield Scene(name[:9], image, [Field(m, *inner_point(m)) for m in masks if m.sum() >= 40])


SETS = {"ontario": ontario, "denmark": denmark, "naip": naip}


# -------------------------------------------------------------------------------- measuring


def click(field: Field) -> Prompts:
    """The prompt that a user's click makes."""
    return Prompts.click(field.x, field.y)


def box(field: Field) -> Prompts:
    """A tight box, no points."""
    rows, columns = field.mask.any(axis=1).nonzero()[0], field.mask.any(axis=0).nonzero()[0]
    corners = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float64)
    return Prompts(np.zeros((0, 2)), np.zeros(0, dtype=bool), corners)


def measure(
    engine: Segmenter, scene: Scene, prompt: Callable[[Field], Prompts]
) -> Tuple[List[Result], float]:
    """Answers to one prompt per field, and the seconds that encoding took."""
    start = time.perf_counter()
    embedding = engine.encode(scene.image)
    encoding = time.perf_counter() - start
    luminance = scene.image.mean(axis=2) / 255
    results = []
    for field in scene.fields:
        start = time.perf_counter()
        answer = engine.predict(embedding, [prompt(field)])
        seconds = time.perf_counter() - start
        results.append(
            _judge(field, answer.masks[0], answer.scores[0], luminance, scene.rivals, seconds)
        )
    return results, encoding


def _judge(
    field: Field,
    masks: np.ndarray,
    scores: np.ndarray,
    luminance: np.ndarray,
    rivals: Optional[np.ndarray],
    seconds: float,
) -> Result:
    """Compare the masks for one prompt with the truth."""
    overlaps = np.array([iou(mask, field.mask) for mask in masks])
    chosen = {
        rule.value: overlaps[choose(masks, scores, rule, luminance, LUMINANCE_LIMIT)]
        for rule in MaskRule
    }
    pairs = [iou(mask, rival) for mask in masks for rival in ([] if rivals is None else rivals)]
    best_pair = max(pairs, default=float("nan"))
    return Result(field, masks, scores, overlaps, chosen, best_pair, seconds)


def row(name: str, results: List[Result]) -> str:
    """A line of the table."""
    figures = [np.mean([r.chosen[rule.value] for r in results]) for rule in MaskRule]
    figures.append(np.mean([r.overlaps.max() for r in results]))
    figures.append(np.mean([r.rival_overlap for r in results]))
    figures.append(np.mean([r.scores.max() for r in results]))
    cells = "".join("       -" if np.isnan(f) else f"{f:8.3f}" for f in figures)
    return f"{name:38s}{len(results):5d}{cells}"


HEADER = (
    f"{'set':38s}{'n':>5s}"
    + "".join(f"{rule.value:>9s}"[-8:] for rule in MaskRule)
    + f"{'of 3':>8s}{'pairs':>8s}{'score':>8s}"
)


def groups(name: str, scenes: List[Scene], results: List[List[Result]]) -> Iterator[str]:
    """The lines of one set."""
    flat = [result for scene in results for result in scene]
    if name == "denmark":
        right = [r for r in flat if r.field.mask.any(axis=0).argmax() >= 113]
        for part, label in ((flat, "all columns"), (right, "right half *")):
            large = [r for r in part if r.field.mask.sum() >= TWO_HECTARES]
            yield row(f"denmark, {label}", part)
            yield row(f"denmark, {label}, >= 2 ha", large)
    elif name == "ontario":
        yield row("ontario against SAM mask 1", flat)
        free = [r for s, p in zip(scenes, results) for r in p if s.name not in ("1921", "1924")]
        yield row("ontario, the four not tuned on *", free)
    else:
        yield row("naip 23-30, half size *", flat)


def calibration(results: List[Result]) -> str:
    """How true the scores are: the mean IoU of the masks in each fifth of the score."""
    scores = np.concatenate([r.scores for r in results])
    overlaps = np.concatenate([r.overlaps for r in results])
    cells = []
    for low in np.arange(0, 1, 0.2):
        here = (scores >= low) & (scores < low + 0.2)
        if here.sum() >= 5:
            cells.append(f"{scores[here].mean():.2f}->{overlaps[here].mean():.2f} ({here.sum()})")
    return "   score -> IoU (masks): " + "  ".join(cells)


# --------------------------------------------------------------------------------- pictures


def draw_sheet(path: Path, cells: List[Tuple[Scene, Result]]) -> None:
    """Pictures of up to 12 answers: truth white, fine red, middle yellow, coarse blue."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 4, figsize=(16, 12))
    for axis in axes.ravel():
        axis.axis("off")
    for axis, (scene, result) in zip(axes.ravel(), cells):
        axis.imshow(scene.image)
        outlines = [result.field.mask, *result.masks]
        for mask, colour, width in zip(outlines, ("w", "r", "y", "c"), (3, 1.2, 1.2, 1.2)):
            axis.contour(mask, [0.5], colors=colour, linewidths=width)
        axis.plot(result.field.x - 0.5, result.field.y - 0.5, "m+")
        _zoom(axis, result.field.mask | result.masks[1])
        texts = [f"{o:.2f}({s:.2f})" for o, s in zip(result.overlaps, result.scores)]
        axis.set_title(f"{scene.name} " + " ".join(texts), fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    pyplot.close(figure)


def _zoom(axis, mask: np.ndarray) -> None:  # noqa: ANN001 (matplotlib is optional here)
    """Show the surroundings of a mask."""
    rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
    margin = 10 + max(np.ptp(rows), np.ptp(columns)) // 3
    axis.set_xlim(max(columns[0] - margin, 0), min(columns[-1] + margin, mask.shape[1] - 1))
    axis.set_ylim(min(rows[-1] + margin, mask.shape[0] - 1), max(rows[0] - margin, 0))


def sheet_of(name: str, scenes: List[Scene], results: List[List[Result]], out: Path) -> None:
    """A sheet with answers taken evenly from a set."""
    cells = [(scene, result) for scene, part in zip(scenes, results) for result in part]
    picked = cells[:: max(1, len(cells) // 12)][:12]
    draw_sheet(out / f"segmenter_{name}.png", picked)


# ------------------------------------------------------------------------------------- main


def report(engine: Segmenter, name: str, data: Path, out: Path) -> None:
    """Measure one set and print its lines."""
    scenes = list(SETS[name](data))
    clicks, encodings = zip(*(measure(engine, scene, click) for scene in scenes))
    for line in groups(name, scenes, list(clicks)):
        print(line)
    flat = [result for part in clicks for result in part]
    if name != "ontario":
        boxes = [r for s in scenes for r in measure(engine, s, box)[0]]
        print(row(f"{name}, a box instead of a click", boxes))
        print(calibration(boxes))
    print(calibration(flat))
    pace = np.median([r.seconds for r in flat]) * 1000
    size = "x".join(map(str, scenes[0].image.shape[:2]))
    print(f"   {size}: encode {np.median(encodings):.2f} s, {pace:.1f} ms/click (median)")
    sheet_of(name, scenes, list(clicks), out)


def main() -> None:
    """Read the arguments and run all sets that are there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=sorted(ENGINES), default="classical")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench")
    arguments = parser.parse_args()
    gdal.UseExceptions()
    arguments.out.mkdir(parents=True, exist_ok=True)
    folders = {"ontario": "ontario", "denmark": "denmark", "naip": "naip_midwest"}
    print(HEADER)
    for name, folder in folders.items():
        if (arguments.data / folder).is_dir():
            report(ENGINES[arguments.engine](), name, arguments.data, arguments.out)
        else:
            print(f"{name}: skipped, {arguments.data / folder} is absent")


if __name__ == "__main__":
    main()
