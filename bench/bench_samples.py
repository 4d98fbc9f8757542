"""The main job on real data and on demo scenes, with the defaults, through the real qgis_process.

    python bench/bench_samples.py [--data ../shared/data] [--seeds 20210 1 2 3]

Tervuren: generated potato samples and how many of them lie in true potato parcels. Demo scenes:
precision of generated samples, IoU of the fields, wrong references found.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
from osgeo import gdal, ogr

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "demo"))
import furrow_package  # noqa: E402
from qgis_cli import QgisProcess, connect, results_of  # noqa: E402

furrow_package.register()
import make_scene  # noqa: E402

from furrow.core.fields.masks import iou  # noqa: E402
from furrow.core.imagery.raster_gdal import quiet  # noqa: E402

SETTINGS: Tuple[Dict[str, object], ...] = (
    {},
    {"DATES": 1},
    {"DATES": 5},
    {"MASK_RULE": "finest"},
    {"MASK_RULE": "balanced"},
    {"MODEL": "classical"},
    {"MODEL": "classical", "DATES": 1},
)
"""The defaults first, then what else was tried."""


def generate(
    qgis: QgisProcess, data: Path, label: str, out: Path, settings: Dict[str, object]
) -> Tuple[Dict[str, object], float]:
    """Run furrow:generatesamples; its run record and wall time."""
    start = time.perf_counter()
    parameters = {
        "SERIES": data / "series",
        "REFERENCES": data / "reference_points.gpkg",
        "CLASS_FIELD": label,
        "OUTPUT": out / "samples.gpkg",
        "FIELDS": out / "fields.gpkg",
        **settings,
    }
    values = [f"{name}={value}" for name, value in parameters.items()]
    done = qgis.call("run", "furrow:generatesamples", "--", *values)
    if done.returncode or "KEPT" not in results_of(done.stdout):
        raise SystemExit(f"qgis_process failed: {done.stdout[-500:]} {done.stderr[-500:]}")
    record = json.loads((out / "samples.gpkg.run.json").read_text(encoding="utf-8"))
    return record, time.perf_counter() - start


def generated(path: Path, label: str) -> List[Tuple[object, float, float]]:
    """Class and place of the generated samples."""
    source = ogr.Open(str(path))
    return [
        (f[label], f.GetGeometryRef().GetX(), f.GetGeometryRef().GetY())
        for f in source.GetLayer(0)
        if f["origin"] == "generated"
    ]


def values_at(path: Path, places: List[Tuple[object, float, float]]) -> np.ndarray:
    """The raster's values under the places."""
    dataset = gdal.Open(str(path))
    x0, dx, _, y0, _, dy = dataset.GetGeoTransform()
    image = dataset.ReadAsArray()
    rows = [int((y - y0) / dy) for _, _, y in places]
    cols = [int((x - x0) / dx) for _, x, _ in places]
    return image[rows, cols]


def tervuren(qgis: QgisProcess, data: Path, out: Path) -> None:
    """Potato samples from three potato references."""
    for settings in SETTINGS:
        _, seconds = generate(qgis, data, "crop", out, settings)
        potato = [p for p in generated(out / "samples.gpkg", "crop") if p[0] == "potato"]
        inside = values_at(data / "potato_parcels.tif", potato) > 0
        share = inside.mean() if len(inside) else 0.0
        print(f"tervuren {named(settings)}: {len(potato)} potato samples (target 250), "
              f"{100 * share:.1f} % in true parcels (target 98), {seconds:.1f} s")  # fmt: skip


def demo(qgis: QgisProcess, seed: int, out: Path) -> None:
    """Precision, field IoU and wrong references of one made-up scene."""
    scene = make_scene.write_scene(out / f"scene_{seed}", make_scene.SceneSpec(seed=seed))
    with scene.reference_truth.open(newline="") as stream:
        wrong = {row["ref_id"] for row in csv.DictReader(stream) if row["wrong"] == "1"}
    for settings in SETTINGS:
        record, seconds = generate(qgis, scene.folder, "class_code", out, settings)
        samples = generated(out / "samples.gpkg", "class_code")
        right = values_at(scene.crops, samples) == np.array([s[0] for s in samples])
        found = {item["id"] for item in record["suspicious"]}
        print(f"demo {seed} {named(settings)}: {len(samples)} samples, precision "
              f"{right.mean():.4f} (target 0.97), field IoU {field_iou(out, scene):.3f}, "
              f"wrong references found {len(found & wrong)} of {len(wrong)}, "
              f"false alarms {len(found - wrong)}, {seconds:.1f} s")  # fmt: skip


def field_iou(out: Path, scene: make_scene.ScenePaths) -> float:
    """Mean IoU of the fields with the true field at their reference."""
    truth = gdal.Open(str(scene.field_ids))
    ids = truth.ReadAsArray()
    with scene.reference_truth.open(newline="") as stream:
        field_of = {int(row["ref_id"]): int(row["field_id"]) for row in csv.DictReader(stream)}
    source = ogr.Open(str(out / "fields.gpkg"))
    target = gdal.GetDriverByName("MEM").Create("", *ids.shape[::-1], 1, gdal.GDT_Byte)
    target.SetGeoTransform(truth.GetGeoTransform())
    scores = []
    for feature in source.GetLayer(0):
        target.GetRasterBand(1).Fill(0)
        memory = ogr.GetDriverByName("Memory").CreateDataSource("")
        layer = memory.CreateLayer("one", None, ogr.wkbPolygon)
        layer.CreateFeature(feature)
        with quiet():
            gdal.RasterizeLayer(target, [1], layer, burn_values=[1])
        mask = target.ReadAsArray() > 0
        scores.append(iou(mask, ids == field_of[feature["ref_id"]]))
    return float(np.mean(scores))


def named(settings: Dict[str, object]) -> str:
    """The settings as text."""
    return ", ".join(f"{k}={v}" for k, v in settings.items()) or "defaults"


def main() -> None:
    """Run all benches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--seeds", type=int, nargs="*", default=[20210, 1, 2, 3])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        qgis = connect(out)
        if (options.data / "tervuren").is_dir():
            tervuren(qgis, options.data / "tervuren", out)
        else:
            print(f"tervuren left out: {options.data} is not there")
        for seed in options.seeds:
            demo(qgis, seed, out)


if __name__ == "__main__":
    main()
