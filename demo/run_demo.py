"""The main job from end to end with the real QGIS, on a made-up scene or on your own data.

    python demo/run_demo.py build/demo [--data FOLDER] [--class-field NAME] [--size 512]

FOLDER holds `series/` (one dated GeoTIFF a date) and `reference_points.gpkg`. Layers, report and
run record go to build/demo/out, what QGIS printed to build/demo/qgis.log.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from osgeo import gdal, ogr

sys.path.insert(0, str(Path(__file__).resolve().parent))
from qgis_cli import QgisUnusableError, connect, results_of  # noqa: E402

ALGORITHM = "furrow:generatesamples"
OUTPUTS = {
    "OUTPUT": "samples.gpkg",
    "FIELDS": "fields.gpkg",
    "REJECTED": "rejected.gpkg",
    "REPORT": "report.html",
}
COUNTS = ("CANDIDATES", "KEPT", "REJECTED_COUNT", "SKIPPED")
"""Numbers that every successful run gives."""
LAST_LINES = 15


class DemoError(Exception):
    """One sentence that says why the demo cannot go on."""


@dataclass(frozen=True)
class Job:
    """One run of the main job."""

    data: Path
    class_field: str
    folder: Path

    @property
    def references(self) -> Path:
        """The labelled points."""
        return self.data / "reference_points.gpkg"

    @property
    def out(self) -> Path:
        """Where the results go."""
        return self.folder / "out"

    def parameters(self) -> dict[str, object]:
        """What the algorithm is given."""
        outputs = {name: self.out / file for name, file in OUTPUTS.items()}
        inputs = {"SERIES": self.data / "series", "REFERENCES": self.references}
        return {**inputs, "CLASS_FIELD": self.class_field, **outputs}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    chosen = _arguments(arguments)
    gdal.UseExceptions()
    ogr.UseExceptions()
    try:
        folder = chosen.folder.resolve()
        data = chosen.data.resolve() if chosen.data else make_scene(folder, chosen.size)
        job = Job(data, choose_class_field(data, chosen.class_field), folder)
        start = time.perf_counter()
        results = run(job)
        seconds = time.perf_counter() - start
        print(as_table([*summary(job, results), ("seconds", f"{seconds:.1f}")]))
    except (DemoError, QgisUnusableError) as error:
        print(f"furrow demo: {error}", file=sys.stderr)
        return 1
    return 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder to write; made if it does not exist")
    parser.add_argument("--data", type=Path, help="folder with series/ and reference_points.gpkg")
    parser.add_argument("--class-field", help="field with the class (default: crop, or first text)")
    parser.add_argument("--size", type=int, default=512, help="pixels along a side of the scene")
    return parser.parse_args(arguments)


def make_scene(folder: Path, size: int) -> Path:
    """Draw the demo scene afresh and return its folder."""
    scene = folder / "scene"
    shutil.rmtree(scene, ignore_errors=True)
    script = Path(__file__).resolve().with_name("make_scene.py")
    command = [sys.executable, str(script), str(scene), "--size", str(size)]
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode:
        raise DemoError("the demo scene could not be made (see above).")
    return scene


def choose_class_field(data: Path, wanted: str | None) -> str:
    """The field with the class: as asked for, else `crop`, else the first text field."""
    path = data / "reference_points.gpkg"
    if not (data / "series").is_dir() or not path.is_file():
        raise DemoError(f"{data} must hold series/ and reference_points.gpkg.")
    source = ogr.Open(str(path))
    fields = {field.GetName(): field.GetType() for field in source.GetLayer(0).schema}
    texts = [name for name, kind in fields.items() if kind == ogr.OFTString]
    candidates = [wanted] if wanted else ["crop", *texts]
    for name in candidates:
        if name in fields:
            return name
    problem = f"has no field {wanted}" if wanted else "has no text field"
    raise DemoError(f"{path} {problem}; its fields are {', '.join(fields)}. Set CLASS_FIELD=name.")


def run(job: Job) -> dict[str, str]:
    """Run the algorithm in QGIS; returns its outputs by name."""
    shutil.rmtree(job.out, ignore_errors=True)
    job.out.mkdir(parents=True)
    log = job.folder / "qgis.log"
    status = connect(job.folder / "qgis").stream(ALGORITHM, job.parameters(), log)
    printed = log.read_text(encoding="utf-8", errors="replace")
    results = results_of(printed)
    missing = [name for name in (*COUNTS, *OUTPUTS) if name not in results]
    if status or missing:
        tail = "\n".join(printed.strip().splitlines()[-LAST_LINES:])
        what = f"ended with status {status}" if status else f"gave no {', '.join(missing)}"
        raise DemoError(f"{ALGORITHM} {what}; the end of {log}:\n{tail}")
    return results


def summary(job: Job, results: dict[str, str]) -> Iterator[tuple[str, str]]:
    """What the run did, one (name, value) a line."""
    total, skipped = len(rows(job.references)), int(results["SKIPPED"])
    record = json.loads((job.out / "samples.gpkg.run.json").read_text(encoding="utf-8"))
    samples = [row for row in rows(job.out / "samples.gpkg") if row["origin"] == "generated"]
    fields = rows(job.out / "fields.gpkg")
    yield "references used / skipped", f"{total - skipped} / {skipped}"
    yield "suspicious references", ", ".join(s["id"] for s in record["suspicious"]) or "none"
    yield "candidates", results["CANDIDATES"]
    yield "kept / rejected", f"{results['KEPT']} / {results['REJECTED_COUNT']}"
    for label, count in sorted(Counter(str(row[job.class_field]) for row in samples).items()):
        yield f"  {label}", str(count)
    yield "field polygons", f"{len(fields)}, {sum(row['area_ha'] for row in fields):.1f} ha"
    yield from truth_rows(job, samples, record["suspicious"])
    for path in sorted(job.out.iterdir()):
        yield str(path.relative_to(job.folder)), f"{path.stat().st_size / 1024:.0f} KiB"


def truth_rows(
    job: Job, samples: Sequence[dict], suspicious: Sequence[dict]
) -> Iterator[tuple[str, str]]:
    """How right the result is, where the truth is known."""
    truth = job.data / "truth"
    if not (truth / "crops.tif").is_file():
        return
    codes = {row[job.class_field]: row["class_code"] for row in rows(job.references)}
    right = count_right(truth / "crops.tif", samples, [codes[r[job.class_field]] for r in samples])
    yield "generated samples of true class", f"{right / max(len(samples), 1):.1%}"
    with (truth / "reference_truth.csv").open(newline="", encoding="utf-8") as file:
        wrong = {row["ref_id"] for row in csv.DictReader(file) if row["wrong"] == "1"}
    found = {str(item["id"]) for item in suspicious}
    yield "wrong labels found", f"{len(wrong & found)} of {len(wrong)}"
    yield "right labels suspected", str(len(found - wrong))


def count_right(raster: Path, samples: Sequence[dict], codes: Sequence[int]) -> int:
    """Samples on pixels that hold their class code."""
    data = gdal.Open(str(raster))
    west, width, _, north, _, height = data.GetGeoTransform()
    crops = data.ReadAsArray()
    pixels = (((y - north) / height, (x - west) / width) for x, y in (s["xy"] for s in samples))
    return sum(crops[int(row), int(col)] == code for (row, col), code in zip(pixels, codes))


def rows(path: Path) -> list[dict]:
    """Features of a file's first layer: values by field, `xy` the coordinates of a point."""
    source = ogr.Open(str(path))
    found = []
    for feature in source.GetLayer(0):
        shape = feature.geometry()
        point = shape is not None and ogr.GT_Flatten(shape.GetGeometryType()) == ogr.wkbPoint
        found.append({**feature.items(), "xy": shape.GetPoint_2D() if point else None})
    return found


def as_table(lines: Sequence[tuple[str, str]]) -> str:
    """Two columns of text."""
    width = max(len(name) for name, _ in lines)
    return "\n" + "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


if __name__ == "__main__":
    sys.exit(main())
