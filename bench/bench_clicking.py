"""Clicking fields: how good, how fast, how much memory, with the tool as the dock uses it.

    QT_QPA_PLATFORM=offscreen python bench/bench_clicking.py [--data ../shared/data]
        [--model ID] [--only first quality speed session heart large]

Every figure comes from gestures on a canvas. Times are milliseconds on this machine; run it on an
idle one.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Callable, Dict, List, Sequence, Tuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))
import furrow_package  # noqa: E402

furrow_package.register()

from clicking_canvas import Clicking, Heart, memory, wait_until, write_large  # noqa: E402
from osgeo import gdal  # noqa: E402
from qgis.core import QgsApplication  # noqa: E402
from qgis.PyQt.QtCore import QTimer  # noqa: E402
from segmenter_asking import correction  # noqa: E402
from segmenter_sets import denmark  # noqa: E402

from furrow.core.fields.masks import iou  # noqa: E402
from furrow.core.fields.segmenter import Prompts  # noqa: E402
from furrow.models.segmenters.registry import Registry  # noqa: E402
from furrow.qgis_io import places as profile  # noqa: E402
from furrow.ui.engines import Engine  # noqa: E402

GOOD, MOST_CLICKS = 0.8, 5
LARGE, TILE = 4096, 10_980
SESSION_FIELDS, SESSION_CLICKS = 100, 200


def line(name: str, value: str, target: str = "") -> None:
    """One row of the table."""
    print(f"| {name} | {value} | {target} |", flush=True)


def spread(values: Sequence[float]) -> str:
    """Median, 95th percentile and maximum."""
    p95 = float(np.percentile(values, 95))
    return f"{statistics.median(values):.0f}, p95 {p95:.0f}, most {max(values):.0f} ms"


def quality(clicking: Clicking, data: Path) -> None:
    """One click at each parcel's inner point, then corrections by a simulated user."""
    first: List[float] = []
    needed: List[int] = []
    for field in denmark(data).scenes[0].fields:
        prompts = Prompts.click(field.x, field.y)
        for count in range(1, MOST_CLICKS + 1):
            clicking.click(*prompts.points[-1], bool(prompts.foreground[-1]))
            overlap = iou(clicking.mask(), field.mask)
            if count == 1:
                first.append(overlap)
            if overlap >= GOOD:
                break
            corrected = correction(prompts, field.mask, clicking.mask())
            if len(corrected.points) == len(prompts.points):
                break
            prompts = corrected
        needed.append(count if overlap >= GOOD else MOST_CLICKS + 1)
        clicking.labelling.clear()
    reached = [n for n in needed if n <= MOST_CLICKS]
    line("Denmark, all parcels, IoU of one click", f"{np.mean(first):.3f}", "reported")
    share = len(reached) / len(needed)
    line(f"clicks to IoU {GOOD}", f"{np.mean(np.minimum(needed, MOST_CLICKS)):.2f} on average, "
         f"{share:.0%} of {len(needed)} within {MOST_CLICKS}", "reported")  # fmt: skip


def places(clicking: Clicking, count: int, seed: int) -> List[Tuple[float, float]]:
    """Random pixels of the image."""
    grid, random = clicking.pictures.grid, np.random.default_rng(seed)
    return list(zip(random.uniform(5, grid.width - 5, count),
                    random.uniform(5, grid.height - 5, count)))  # fmt: skip


def speed(clicking: Clicking) -> None:
    """Clicks and previews where the image is encoded already."""
    spots = places(clicking, 150, 1)
    for spot in spots:
        clicking.click(*spot)
        clicking.labelling.clear()
    clicking.settle()
    clicking.labelling._answers._known.clear()
    previews = [clicking.hover(*spot) for spot in spots]
    after_hover = [_clicked(clicking, spot) for spot in spots[-40:]]
    clicking.labelling._answers._known.clear()
    clicks = [_clicked(clicking, spot) for spot in spots]
    line("click to polygon, encoded", spread(clicks), "40, p95 80 ms")
    line("the same where the cursor rested", spread(after_hover))
    line("preview under the cursor", f"{spread(previews)}: {1000 / np.mean(previews):.0f} a second",
         "10 a second")  # fmt: skip


def _clicked(clicking: Clicking, spot: Tuple[float, float]) -> float:
    clicking.labelling.clear()
    return clicking.click(*spot)


def first_clicks(path: Path, engine: Engine, store: Path) -> None:
    """Clicks on places never seen before, reading and encoding included."""
    clicking = Clicking(path, engine, store)
    line("very first click, engine started too", f"{clicking.click(500, 500):.0f} ms")
    times = []
    for x, y in places(clicking, 12, 2):
        clicking.settle()
        times.append(_clicked(clicking, (x, y)))
    line("first click on a new place", spread(times), "1000 ms")
    clicking.close()


def heart(path: Path, engine: Engine, store: Path) -> None:
    """How long the main thread stands still while windows of a large layer are encoded."""
    clicking = Clicking(path, engine, store)
    clicking.click(2000, 2000)
    beating = Heart()
    for x, y in places(clicking, 5, 3):
        clicking.labelling.clear()
        grid = clicking.pictures.grid
        windows = [grid.shared_window(int(y), int(x), side) for side in (200, 400, 800, 1024)]
        clicking.encoder.want(windows)
        wait_until(lambda: not clicking.encoder.busy)
    beating.stop()
    late = sum(pause > 100 for pause in beating.pauses)
    line(f"main thread while encoding ({LARGE} px layer)",
         f"longest pause {max(beating.pauses):.0f} ms, {late} above 100 ms", "100 ms")  # fmt: skip
    clicking.close()


def large(path: Path, engine: Engine, store: Path) -> None:
    """Memory that a whole Sentinel-2 tile takes."""
    engine.start()
    before = memory()
    clicking = Clicking(path, engine, store)
    took = clicking.click(5400, 5400)
    clicking.settle()
    line(f"{TILE} px layer: first click", f"{took:.0f} ms, {memory() - before:.0f} MB more",
         "400 MB")  # fmt: skip
    clicking.close()


def session(clicking: Clicking) -> None:
    """Memory after many clicks on many fields, against that after the first few."""
    spots = places(clicking, SESSION_FIELDS + 20, 4)
    for spot in spots[:20]:
        _clicked(clicking, spot)
    clicking.settle()
    before = memory()
    for x, y in spots[20:]:
        for click in range(SESSION_CLICKS // SESSION_FIELDS):
            clicking.click(x + 3 * click, y)
        clicking.labelling.accept()
    clicking.settle()
    value = f"{memory() - before:.0f} MB more, {len(clicking.warnings)} warnings"
    line(f"{SESSION_CLICKS} clicks on {SESSION_FIELDS} fields", value, "50 MB, 0")


def pattern(data: Path) -> np.ndarray:
    """(3, h, w) uint16: the Danish image."""
    return gdal.Open(str(data / "denmark" / "s2_rgb.tif")).ReadAsArray()[:3]


def measure(given: argparse.Namespace, folder: Path) -> None:
    """All that was asked for."""
    engine = Engine(given.model)
    real = given.data / "denmark" / "s2_rgb.tif"
    sizes: Dict[str, int] = {"heart": LARGE, "first": LARGE, "large": TILE}
    for name, side in sizes.items():
        path = folder / f"{side}.tif"
        if name in given.only and not path.exists():
            write_large(path, side, pattern(given.data))
    print("| figure | value | target |\n|---|---|---|", flush=True)
    if "first" in given.only:
        first_clicks(folder / f"{LARGE}.tif", engine, folder / "first")
    on_canvas: Dict[str, Callable[[Clicking], None]] = {
        "quality": lambda clicking: quality(clicking, given.data),
        "speed": speed,
        "session": session,
    }
    for name, work in on_canvas.items():
        if name in given.only:
            clicking = Clicking(real, engine, folder / name)
            work(clicking)
            clicking.close()
    if "heart" in given.only:
        heart(folder / f"{LARGE}.tif", engine, folder / "heart")
    if "large" in given.only:
        large(folder / f"{TILE}.tif", engine, folder / "large")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = ["first", "quality", "speed", "session", "heart", "large"]
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", help="default: that of the registry")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    given = parser.parse_args()
    application = QgsApplication([], True)
    application.initQgis()
    given.model = given.model or Registry(profile.places()).ids()[0]
    print(f"Clicking with {given.model}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        measure(given, Path(folder))
    # Cycles, and tasks that have ended until an event loop takes them away, hold readers of layers;
    # those that outlive QGIS, and GDAL with it, end in a crash.
    gc.collect()
    QTimer.singleShot(300, application.quit)
    application.exec()
    application.exitQgis()


if __name__ == "__main__":
    main()
