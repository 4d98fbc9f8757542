"""A whole scene: time, where it goes, peak memory, cost per megapixel, one process against two.

    make bench-scene                             3,000 x 3,000 px and 1,024 x 1,024 px
    make bench-scene ARGS="--size 10980"         a whole Sentinel-2 tile, which takes hours
    make bench-scene ARGS="--size 10980 --known" the same with known fields in place of an engine:
                                                 joining, polygons and memory within minutes

The scene is made-up farmland (core/simulation) of 1,024 x 1,024 px, repeated as mirror images up to
the size that is wanted. Each run is a QGIS of its own without a window; memory is the largest sum
over it and the processes that it starts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from osgeo import gdal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "demo"))
from furrow_package import register  # noqa: E402

register()

from furrow.core.fields.delineation.tile_records import STAGES, TileRecord  # noqa: E402
from furrow.core.simulation.scene import BAND_NAMES, SceneSpec, simulate  # noqa: E402

WORK = ROOT / "build" / "bench_scene"
UNIT = 1024
SMALL = 1024
PLACE = (500000.0, 10.0, 0.0, 5300000.0, 0.0, -10.0)
SHOWN = ("B08", "B04", "B03")
_PROCESSING = "/usr/share/qgis/python/plugins"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=3000, help="pixels along a side")
    parser.add_argument("--model", default="furrow-field-fast")
    parser.add_argument("--workers", default="1,2", help="one run for each")
    parser.add_argument("--known", action="store_true", help="known fields, no engine")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_here(json.loads(options.child))
        return
    WORK.mkdir(parents=True, exist_ok=True)
    sizes = [options.size] if options.known else sorted({SMALL, options.size})
    runs = ["1"] if options.known else options.workers.split(",")
    print(
        f"{'px':>7} {'workers':>7} {'s':>8} {'s/MP':>7} {'CPU s/MP':>8} {'peak MB':>8} "
        f"{'fields':>7}  stages (s)"
    )
    for size in sizes:
        image, truth = made(size)
        for workers in runs:
            told = run_apart(image, truth, options, workers)
            print(line(size, workers, told), flush=True)


def line(size: int, workers: str, told: dict) -> str:
    stages = ", ".join(f"{name} {value:.1f}" for name, value in told["stages"].items())
    megapixels = (size / 1000) ** 2
    return (
        f"{size:>7} {workers:>7} {told['seconds']:>8.1f} {told['seconds'] / megapixels:>7.1f} "
        f"{told['cpu'] / megapixels:>8.1f} {told['peak']:>8.0f} {told['fields']:>7}  {stages}"
    )


def made(size: int) -> tuple[Path, Path]:
    """Image and true labels of a size, which are kept."""
    image, truth = WORK / f"scene_{size}.tif", WORK / f"truth_{size}.tif"
    if not image.exists() or not truth.exists():
        bands, fields = unit()
        write(image, bands, size, gdal.GDT_UInt16, 0)
        write(truth, fields[None], size, gdal.GDT_Int32, int(fields.max()))
    return image, truth


def unit() -> tuple[np.ndarray, np.ndarray]:
    """(3, UNIT, UNIT) uint16 of the clearest date, and (UNIT, UNIT) true fields."""
    kept = WORK / "unit.npz"
    if not kept.exists():
        scene = simulate(SceneSpec(size=UNIT, dates=8, seed=77))
        clearest = max(
            (image for _, image in scene.iter_images()),
            key=lambda image: np.isin(image[-1], (4, 5, 6)).mean(),
        )
        shown = clearest[[BAND_NAMES.index(name) for name in SHOWN]]
        np.savez_compressed(kept, bands=shown, fields=scene.landscape.fields)
    with np.load(kept) as stored:
        return stored["bands"], stored["fields"]


def write(path: Path, values: np.ndarray, size: int, kind: int, step: int) -> None:
    """Repeat (bands, UNIT, UNIT) as mirror images; labels grow by `step` each time."""
    options = ["TILED=YES", "COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER"]
    driver = gdal.GetDriverByName("GTiff")
    data = driver.Create(str(path), size, size, len(values), kind, options)
    data.SetGeoTransform(PLACE)
    data.SetProjection("EPSG:32632")
    count = -(-size // UNIT)
    for k in range(count * count):
        row, col = divmod(k, count)
        part = values[:, :: -1 if row % 2 else 1, :: -1 if col % 2 else 1]
        part = part[:, : size - row * UNIT, : size - col * UNIT]
        part = np.where(part > 0, part + k * step, 0)
        data.WriteArray(part, col * UNIT, row * UNIT)
    data.FlushCache()


def run_apart(image: Path, truth: Path, options: argparse.Namespace, workers: str) -> dict:
    """Run in a process of its own; what it tells, and the peak of its memory."""
    job = {
        "image": str(image),
        "model": options.model,
        "workers": workers,
        "truth": str(truth) if options.known else "",
        "out": str(WORK / "fields.gpkg"),
    }
    variables = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "FURROW_THREADS": "1",
                 "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # fmt: skip
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, __file__, "--child", json.dumps(job)], env=variables,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    peak = Peak(process.pid)
    told, _ = process.communicate()
    peak.stop()
    if process.returncode:
        raise SystemExit(f"The run ended with {process.returncode}.")
    return {**json.loads(told.splitlines()[-1]), "peak": peak.megabytes,
            "wall": time.perf_counter() - began}  # fmt: skip


class Peak:
    """The largest memory of a process and those that it has started, in MB."""

    def __init__(self, pid: int) -> None:
        self.megabytes = 0.0
        self._pid, self._stopped = pid, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(0.3):
            self.megabytes = max(self.megabytes, sum(map(resident, family(self._pid))))


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def resident(pid: int) -> float:
    """MB in memory that belong to a process: its share of what several have in common."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    lines = dict(line.split(":", 1) for line in text.splitlines()[1:])
    return int(lines["Pss"].split()[0]) / 1024


def run_here(job: dict) -> None:
    """One run in this process."""
    from qgis.core import QgsApplication

    application = QgsApplication([], False)
    application.initQgis()
    sys.path.append(_PROCESSING)
    from processing.core.Processing import Processing
    from qgis import processing

    Processing.initialize()
    from furrow.algorithms.provider import FurrowProvider

    provider = FurrowProvider()
    QgsApplication.processingRegistry().addProvider(provider)
    if job["truth"]:
        know(job["truth"])
    given = {"INPUT": job["image"], "MODEL": job["model"], "WORKERS": job["workers"],
             "RESUME": False, "OUTPUT": job["out"]}  # fmt: skip
    Path(job["out"]).unlink(missing_ok=True)
    began, spent = time.perf_counter(), processor_seconds()
    result = processing.run("furrow:delineate", given)
    seconds = time.perf_counter() - began
    record = json.loads(Path(f"{job['out']}.run.json").read_text(encoding="utf-8"))
    told = {"seconds": seconds, "cpu": processor_seconds() - spent,
            "fields": result["FIELD_COUNT"], "stages": record["seconds"]}  # fmt: skip
    print(json.dumps(told), flush=True)
    os._exit(0)  # QGIS without a window does not always end in peace


def processor_seconds() -> float:
    """What this process and those that it has started and ended have used: fair on a busy machine,
    where the time on the clock is not."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def know(truth: str) -> None:
    """Have the true fields of each tile in place of what an engine finds."""
    from furrow.algorithms import delineation_workers

    def known(_: Any, job: Any, __: Any) -> TileRecord:
        area = job.tile.area
        data = gdal.Open(truth)
        labels = data.ReadAsArray(area.col, area.row, area.width, area.height)
        numbers, renumbered = np.unique(labels, return_inverse=True)
        renumbered = renumbered.reshape(labels.shape) + (numbers[0] > 0)
        count = int(renumbered.max())
        ones = np.ones(count, np.float32)
        return TileRecord(
            renumbered.astype(np.int32), np.ones(labels.shape, bool), outlines(labels),
            np.ones(count, np.int32), ones, ones, ones, ones, np.zeros(count, bool),
            np.array([count]), np.zeros(len(STAGES)),
        )  # fmt: skip

    delineation_workers.work_on_tile = known


def outlines(labels: np.ndarray) -> np.ndarray:
    """(h, w) uint8: 255 where another field begins on the left or above."""
    edges = np.zeros(labels.shape, np.uint8)
    edges[:, 1:] = 255 * (labels[:, 1:] != labels[:, :-1])
    edges[1:] |= 255 * (labels[1:] != labels[:-1]).astype(np.uint8)
    return edges


if __name__ == "__main__":
    main()
