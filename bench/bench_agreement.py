"""How well do profiles find wrong labels? Run it from anywhere:

    python bench/bench_agreement.py [--data ../shared/data] [--seeds 10]

Four questions, each with known answers:
(a) parcels of Central Asia: 20 % of the labels swapped; is a negative margin a good detector?
(b) the published references of Ontario, (c) the references of Tervuren: is a good one accused?
(d) simulated references with two wrong labels: are they found, and is a good one accused?
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

try:
    from osgeo import gdal, ogr
except ImportError:  # only (c) needs it
    gdal = ogr = None

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "demo"))

from furrow_package import register  # noqa: E402

register()

from furrow.core.samples.agreement import agreement  # noqa: E402
from furrow.core.samples.gapfill import fill_gaps  # noqa: E402
from furrow.core.samples.suspicion import suspicious_references  # noqa: E402

MAX_GAP_DAYS = 60
WRONG_SHARE = 0.2
PAIR = ("cotton", "wheat")

Swap = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    central_asia(options.data / "central_asia" / "parcels_ndvi.csv.gz", options.seeds)
    ontario(options.data / "ontario")
    tervuren(options.data / "tervuren")
    simulated(range(1000, 1200))
    speed()


def absent(path: Path) -> bool:
    """Say so, and return True, where a data file or folder is not there."""
    if not path.exists():
        print(f"    skipped: {path} is absent")
    return not path.exists()


def filled(values: np.ndarray, days: np.ndarray) -> np.ndarray:
    """(n, T) with NaN gaps -> (n, T) float32, gaps up to MAX_GAP_DAYS bridged linearly."""
    values = values.astype(np.float32)
    return fill_gaps(values, np.isfinite(values), days, MAX_GAP_DAYS)[0]


# --- (a) wrong labels among many parcels -----------------------------------------------------


def central_asia(path: Path, seeds: int) -> None:
    print("(a) Central Asia, 20 % of the labels swapped, scored among cotton and wheat; medians")
    if absent(path):
        return
    values, labels = read_parcels(path)
    pair = np.isin(labels, PAIR)
    print(
        f"    {'labels swapped':<34} {'parcels':>7} {'AUC':>6} {'own':>6} {'plain':>6}"
        f" {'found':>6} {'false':>6} {'named':>6}"
    )
    readings: list[tuple[str, np.ndarray, Swap]] = [
        ("i   cotton <-> wheat, only these", pair, swap_within(PAIR)),
        ("ii  any class -> any other", pair | True, swap_within(tuple(np.unique(labels)))),
        ("iii shuffled among all classes", pair | True, shuffle),
        ("iv  cotton <-> wheat, all present", pair | True, swap_within(PAIR)),
    ]
    for name, rows, swap in readings:
        scores = [score_swap(values[rows], labels[rows], swap, seed) for seed in range(seeds)]
        middle = " ".join(f"{number:6.3f}" for number in np.median(scores, axis=0))
        print(f"    {name:<34} {rows.sum():7d} {middle}")
    print(
        "    AUC: of the margin; own: of the own-class distance; plain: the margin of class\n"
        "    medians alone. found / false: wrong / right labels with a negative margin; named:\n"
        "    wrong labels whose true class is the nearest."
    )


def read_parcels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """NDVI of a year (n, 23) float32, gaps filled, and the crop names (n,)."""
    with gzip.open(path, "rt", newline="") as stream:
        rows = list(csv.DictReader(stream))
    columns = [name for name in rows[0] if name.startswith("ndvi_doy")]
    days = np.array([int(name[len("ndvi_doy") :]) for name in columns])
    values = np.array([[float(row[name] or "nan") for name in columns] for row in rows])
    return filled(values, days), np.array([row["label_1"] for row in rows])


def swap_within(classes: tuple[str, ...]) -> Swap:
    """A fifth of the parcels of these classes gets another of them, each as likely."""

    def swap(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        eligible = np.flatnonzero(np.isin(labels, classes))
        swapped = labels.copy()
        for row in rng.choice(eligible, round(WRONG_SHARE * len(eligible)), replace=False):
            swapped[row] = rng.choice([name for name in classes if name != labels[row]])
        return swapped

    return swap


def shuffle(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A fifth of the parcels exchange their labels, so that each class keeps its size."""
    rows = rng.choice(len(labels), round(WRONG_SHARE * len(labels)), replace=False)
    swapped = labels.copy()
    swapped[rows] = labels[rng.permutation(rows)]
    return swapped


def score_swap(values: np.ndarray, labels: np.ndarray, swap: Swap, seed: int) -> list[float]:
    """The six numbers of one line of the table."""
    given = swap(labels, np.random.default_rng(seed))
    scored = np.isin(labels, PAIR)
    wrong = (given != labels)[scored]
    found = agreement(values, given)
    plain = agreement(values, given, max_groups=0)
    margin = found.margin[scored]
    named = (found.nearest_class == labels)[scored]
    return [
        auc(-margin, wrong),
        auc(found.own_distance[scored], wrong),
        auc(-plain.margin[scored], wrong),
        (margin[wrong] < 0).mean(),
        (margin[~wrong] < 0).mean(),
        named[wrong].mean(),
    ]


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a positive scores higher than a negative."""
    known = np.isfinite(score)
    ranks, positive = rankdata(score[known]), positive[known]
    ones = positive.sum()
    return (ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * (~positive).sum())


# --- (b), (c) references that are right ------------------------------------------------------


def ontario(folder: Path) -> None:
    print("(b) Ontario, published references with a profile")
    if absent(folder):
        return
    with (folder / "published_samples_per_reference.csv").open(newline="") as stream:
        crops = {row["ref_id"]: row["crop"] for row in csv.DictReader(stream)}
    series: dict[str, list[float]] = {}
    with (folder / "reference_ndvi.csv").open(newline="") as stream:
        for row in sorted(csv.DictReader(stream), key=lambda row: int(row["date_index"])):
            series.setdefault(row["ref_id"], []).append(
                float(row["ndvi_reference_pm0.01"] or "nan")
            )
    print_accused(np.array(list(series.values())), np.array([crops[name] for name in series]))


def tervuren(folder: Path) -> None:
    print("(c) Tervuren, 3 potato and 4 other references")
    if absent(folder):
        return
    if gdal is None:
        print("    skipped: osgeo is absent")
        return
    gdal.UseExceptions()
    points = ogr.Open(str(folder / "reference_points.gpkg"))
    features = list(points.GetLayer(0))
    where = [(item.geometry().GetX(), item.geometry().GetY()) for item in features]
    paths = sorted((folder / "series").glob("*.tif"))
    values = np.array([ndvi_at(gdal.Open(str(path)), where) for path in paths]).T
    days = np.array([date.fromisoformat(path.stem).toordinal() for path in paths])
    print_accused(filled(values, days), np.array([item.GetField("crop") for item in features]))


def ndvi_at(image: gdal.Dataset, where: list[tuple[float, float]]) -> np.ndarray:
    """NDVI (r,) of one GDAL data set at map coordinates, NaN where it has no data."""
    left, width, _, top, _, height = image.GetGeoTransform()
    cells = [(int((y - top) / height), int((x - left) / width)) for x, y in where]
    rows, columns = np.array(cells).T
    bands = {
        image.GetRasterBand(number).GetDescription(): image.GetRasterBand(number)
        for number in range(1, image.RasterCount + 1)
    }
    red, nir = (bands[name].ReadAsArray()[rows, columns].astype(float) for name in ("B04", "B08"))
    missing = (red == 65535) | (nir == 65535) | (red + nir == 0)
    return np.where(missing, np.nan, (nir - red) / np.where(missing, 1, nir + red))


def print_accused(values: np.ndarray, labels: np.ndarray) -> None:
    verdict = suspicious_references(values, labels)
    print(f"    {len(labels)} references, accused: {verdict.suspicious.sum()}")
    if len(np.unique(labels)) < 2:
        print(f"    says nothing: all of them are {labels[0]}, so no other class can accuse")
        return
    for name in np.unique(labels):
        margins = np.round(verdict.margin[labels == name], 2)
        print(f"    {name}: margins {', '.join(map(str, margins))}")


# --- (d) simulated references ----------------------------------------------------------------

CROPS = {  # NDVI of bare soil, rise, day of green-up and of harvest, their widths in days
    "wheat": (0.20, 0.60, 95, 185, 9, 8),
    "canola": (0.20, 0.65, 75, 160, 9, 10),
    "corn": (0.18, 0.65, 165, 270, 9, 10),
    "soybean": (0.18, 0.68, 185, 250, 9, 9),
    "potato": (0.18, 0.68, 155, 235, 8, 9),
    "beet": (0.18, 0.65, 140, 300, 9, 10),
}
DATES = np.arange(5, 365, 15)
SETS = (
    (("wheat", "canola", "corn", "soybean"), 10),
    (("wheat", "canola", "corn", "potato"), 10),
    (("wheat", "corn", "beet", "potato"), 10),
    (tuple(CROPS), 7),
)


def curve(crop: str, late: float = 0.0) -> np.ndarray:
    """(24,) NDVI of a crop sown `late` days later than usual."""
    soil, rise, green, harvest, up, down = CROPS[crop]
    days = DATES - late
    return soil + rise * (
        1 / (1 + np.exp((green - days) / up)) - 1 / (1 + np.exp((harvest - days) / down))
    )


def simulate(
    crops: tuple[str, ...], per_crop: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Profiles (r, 24), labels with two wrong ones, and the true crops."""
    truth = np.repeat(crops, per_crop)
    values = np.array([curve(crop, rng.normal(0, 5)) for crop in truth])
    values += rng.normal(0, 0.03, values.shape)
    values[rng.random(values.shape) < 0.3] = np.nan
    labels = truth.copy()
    for row in rng.choice(len(truth), 2, replace=False):
        labels[row] = rng.choice([crop for crop in crops if crop != truth[row]])
    return filled(values, DATES), labels, truth


def simulated(seeds: range) -> None:
    print(f"(d) simulated references, two wrong labels, {len(seeds)} seeds: wrong ones found, by")
    print("    the mean difference between the curves of the two crops; right ones accused")
    print(f"    {'crops':<38} {'< 0.08':>12} {'0.08 - 0.1':>12} {'> 0.1':>12} {'false':>8}")
    for crops, per_crop in SETS:
        found, gaps, false = [], [], []
        for seed in seeds:
            values, labels, truth = simulate(crops, per_crop, np.random.default_rng(seed))
            accused = suspicious_references(values, labels).suspicious
            wrong = np.flatnonzero(labels != truth)
            found.extend(accused[wrong])
            gaps.extend(np.abs(curve(labels[i]) - curve(truth[i])).mean() for i in wrong)
            false.extend(accused[labels == truth])
        parts = [rate(np.array(found)[np.digitize(gaps, (0.08, 0.1)) == step]) for step in range(3)]
        name = f"{len(crops) * per_crop} of {', '.join(crops)}"
        name = name if len(name) <= 38 else f"{len(crops) * per_crop} of {len(crops)} crops"
        print(f"    {name:<38} {' '.join(parts)} {np.mean(false):8.2%}")


def rate(found: np.ndarray) -> str:
    """'hits of cases', right-aligned to 12 characters."""
    return f"{found.sum()} of {len(found)}".rjust(12)


def speed() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 50_000)
    values = np.sin(np.linspace(0, 3, 25) + labels[:, None] / 3) + rng.normal(0, 0.1, (50_000, 25))
    values[rng.random(values.shape) < 0.3] = np.nan
    start = time.perf_counter()
    agreement(values.astype(np.float32), labels)
    print(f"speed: 50,000 profiles, 25 dates, 10 classes: {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
