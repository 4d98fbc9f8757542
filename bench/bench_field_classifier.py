"""How well fields are told from what is no field, and crops from each other, on real pictures.

    python bench/bench_field_classifier.py [--network NAME] [--compare] [--out FOLDER]

NAIP: outlines drawn by hand against segments of the classical engine at random places beside them,
30 aerial pictures, tested picture by picture. Some of those segments are fields that nobody has
outlined, so no classifier can be right everywhere. Denmark: crops against each other on one
Sentinel-2 picture, tested by blocks of land. Figures are those that
furrow:trainfieldclassifier reports: of fields whose picture or block was not trained on.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "demo"))
import furrow_package  # noqa: E402

furrow_package.register()
sys.path.append("/usr/share/qgis/python/plugins")

from qgis.core import (  # noqa: E402
    QgsApplication,
    QgsFeature,
    QgsGeometry,
    QgsPointXY,
    QgsProcessingContext,
    QgsVectorLayer,
)

from furrow.algorithms.network_training import NetworkTraining  # noqa: E402
from furrow.core.evaluation.confusion import Confusion, confusion_of  # noqa: E402
from furrow.core.fields.classification.bands import Bands  # noqa: E402
from furrow.core.fields.classification.features import GROUPS  # noqa: E402
from furrow.core.fields.classification.forest import (  # noqa: E402
    ForestOptions,
    grow_forest,
)
from furrow.core.fields.classification.splits import (  # noqa: E402
    blocks_of,
    folds_of,
    group_numbers,
)
from furrow.core.fields.classification.training import (  # noqa: E402
    LabelledFields,
    labelled_fields,
)
from furrow.core.fields.segmenter import Prompts  # noqa: E402
from furrow.core.imagery.grid import Grid  # noqa: E402
from furrow.core.monitor import SILENT, Monitor  # noqa: E402
from furrow.models.fieldnets.order import TrainingOrder  # noqa: E402
from furrow.models.segmenters.regions.classical import ClassicalSegmenter  # noqa: E402
from furrow.models.training import labelled_sets  # noqa: E402
from furrow.qgis_io.field_features import (  # noqa: E402
    FeatureTable,
    feature_table,
    training_bands,
)
from furrow.qgis_io.field_views import (  # noqa: E402
    PlacedFields,
    centres_on_ground,
    place_fields,
)
from furrow.qgis_io.shapes import polygon_of  # noqa: E402
from furrow.tests.models.fieldnets.environments import borrowed_environment  # noqa: E402

FIELD, NO_FIELD = "field", "nonfield"
TRIES = 120
"""Random places on a picture."""
MOST_OVERLAP = 0.1
"""Of a segment with known fields: more, and it is one of them."""
LEAST_PIXELS, MOST_SHARE = 60, 0.2
LEAST_PARCELS = 8
"""Of a crop that is learnt."""
Row = Tuple[QgsGeometry, str, str]
"""Outline, class and picture."""


def segments_beside(
    image: np.ndarray, masks: Sequence[np.ndarray], count: int, seed: int
) -> Iterator[np.ndarray]:
    """(H, W) bool: segments that are none of the known fields and do not overlap each other."""
    engine = ClassicalSegmenter()
    embedding = engine.encode(image)
    known = np.any(masks, axis=0)
    taken = np.zeros_like(known)
    rng = np.random.default_rng(seed)
    height, width = known.shape
    for _ in range(TRIES):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        if count == 0 or known[int(y), int(x)] or taken[int(y), int(x)]:
            continue
        answers = engine.predict(embedding, [Prompts.click(x, y)])
        mask = answers.masks[0, int(answers.scores[0].argmax())]
        pixels = int(mask.sum())
        fits = LEAST_PIXELS <= pixels <= MOST_SHARE * mask.size
        if fits and (mask & (known | taken)).sum() <= MOST_OVERLAP * pixels:
            count -= 1
            taken |= mask
            yield mask & ~known


def naip_rows(data: Path) -> List[Row]:
    """Fields drawn by hand, and segments beside them, on the pictures that have enough of both."""
    rows: List[Row] = []
    outlines = json.loads((data / "naip_midwest" / "polygons.json").read_text())
    grid = Grid(512, 512, (0.0, 2.0, 0.0, 0.0, 0.0, 2.0))
    names = labelled_sets.naip_names(data)
    for number, picture in enumerate(labelled_sets.naip(data, names, reduction=2)):
        rings = [ring for ring in outlines[picture.name] if len(ring) > 2]
        for ring in rings:
            points = [QgsPointXY(x, y) for x, y in [*ring, ring[0]]]
            rows.append((QgsGeometry.fromPolygonXY([points]), FIELD, picture.name))
        for mask in segments_beside(picture.image, picture.masks, len(rings), number):
            rows.append((polygon_of(mask, grid.whole, grid), NO_FIELD, picture.name))
    return rows


def denmark_rows(data: Path) -> Tuple[List[Row], List[Row]]:
    """Parcels as grass or another crop, and those of the crops that are frequent."""
    parcels = QgsVectorLayer(str(data / "denmark" / "fields.gpkg"), "parcels", "ogr")
    known = [(feature.geometry(), str(feature["crop"])) for feature in parcels.getFeatures()]
    counts = Counter(crop for _, crop in known)
    grass = [(shape, "grass" if "græs" in crop.lower() else "crop", "") for shape, crop in known]
    frequent = [(s, crop, "") for s, crop in known if counts[crop] >= LEAST_PARCELS]
    return grass, frequent


def layer_of(rows: Sequence[Row], crs: str) -> QgsVectorLayer:
    where = f"MultiPolygon?crs={crs}&" if crs else "MultiPolygon?"
    layer = QgsVectorLayer(f"{where}field=class:string&field=image:string", "fields", "memory")
    features = []
    for shape, label, image in rows:
        feature = QgsFeature(layer.fields())
        copy = QgsGeometry(shape)
        copy.convertToMultiType()
        feature.setGeometry(copy)
        feature.setAttributes([label, image])
        features.append(feature)
    layer.dataProvider().addFeatures(features)
    layer.updateExtents()
    return layer


def trained(
    layer: QgsVectorLayer, images: Sequence[Path], out: Path, settings: Dict[str, Any]
) -> Dict[str, Any]:
    """Run furrow:trainfieldclassifier; its results and seconds."""
    from qgis import processing

    given = {
        "INPUT": str(images[0]), "FIELDS": layer, "CLASS_FIELD": "class", "MODEL": str(out),
        "REPORT": str(out) + ".html", **settings,
    }  # fmt: skip
    if len(images) > 1:
        given.update(MORE_IMAGES=[str(path) for path in images[1:]], IMAGE_FIELD="image")
    began = time.process_time()
    results = processing.run("furrow:trainfieldclassifier", given)
    return {**results, "SECONDS": time.process_time() - began}


@dataclass(frozen=True)
class Prepared:
    """A set as the classifiers see it."""

    placed: PlacedFields
    bands: Bands
    table: FeatureTable
    labelled: LabelledFields
    context: QgsProcessingContext


def prepared(layer: QgsVectorLayer, images: Sequence[Path]) -> Prepared:
    """Features, classes and groups as furrow:trainfieldclassifier makes them."""
    context, several = QgsProcessingContext(), len(images) > 1
    placed = place_fields(layer, [str(p) for p in images], context, "image" if several else "")
    bands = training_bands(placed, (), context)
    table = feature_table(placed, placed.fields, bands, GROUPS, context)
    x, y = centres_on_ground(placed, table.fields, context)
    pictures = group_numbers([field.picture for field in table.fields])
    labels = [str(field.feature["class"]) for field in table.fields]
    labelled = labelled_fields(labels, pictures if several else blocks_of(x, y), "group")
    return Prepared(placed, bands, table, labelled, context)


def with_scikit_learn(made: Prepared) -> Iterator[Tuple[str, Confusion]]:
    """Forests of scikit-learn on the same features and folds."""
    ensemble = importlib.import_module("sklearn.ensemble")
    values, labelled = np.nan_to_num(made.table.values), made.labelled
    folds = folds_of(labelled.groups, labelled.labels, len(labelled.classes), 5, 0)
    for name in ("ExtraTreesClassifier", "RandomForestClassifier"):
        found = np.zeros(len(folds), int)
        for fold in range(folds.max() + 1):
            forest = getattr(ensemble, name)(
                300, min_samples_leaf=2, class_weight="balanced", random_state=0
            )
            forest.fit(values[folds != fold], labelled.labels[folds != fold])
            found[folds == fold] = forest.predict(values[folds == fold])
        yield f"scikit-learn {name}", confusion_of(labelled.labels, found, labelled.classes)


def with_networks(made: Prepared, order: TrainingOrder) -> Iterator[Tuple[str, Confusion]]:
    """A network, which is tested on one fold, and the forest on that fold."""
    options, classes = ForestOptions(), len(made.labelled.classes)
    with tempfile.TemporaryDirectory() as folder:
        training = NetworkTraining(order, 5, borrowed_environment(Path(folder) / "environment"))
        fields = made.table.fields
        seen = training.look(made.placed, fields, made.bands, made.context, SILENT)
        monitor = Monitor(message=lambda text: print("   ", text, file=sys.stderr))
        trained = training.fit(seen, made.bands, made.labelled, Path(folder), monitor)
    yield f"network {order.network}, one fold", trained.tested.confusion
    held = trained.tested.folds >= 0
    values, labels = made.table.values, made.labelled.labels
    forest = grow_forest(values[~held], labels[~held], classes, options)
    found = forest.probabilities(values[held]).argmax(axis=1)
    yield "forest, the same fold", confusion_of(labels[held], found, made.labelled.classes)


def start() -> Tuple[QgsApplication, Any]:
    """QGIS without a window, with Furrow's provider; both have to be held."""
    application = QgsApplication([], False)
    application.initQgis()
    from processing.core.Processing import Processing

    from furrow.algorithms.provider import FurrowProvider

    Processing.initialize()
    provider = FurrowProvider()
    QgsApplication.processingRegistry().addProvider(provider)
    return application, provider


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, help="keeps models and reports")
    parser.add_argument("--network", help="resnet50, resnet18 or small")
    parser.add_argument("--compare", action="store_true", help="with scikit-learn's forests")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--side", type=int, default=128, help="of the network's crops")
    given = parser.parse_args(arguments)
    if not given.data.is_dir():
        print(f"no real data here: {given.data} does not exist")
        return
    out = given.out or Path(tempfile.mkdtemp(prefix="field_classifier_"))
    out.mkdir(parents=True, exist_ok=True)
    held = start()
    names = labelled_sets.naip_names(given.data)
    pictures = [given.data / "naip_midwest" / "images" / name for name in names]
    scene = [given.data / "denmark" / "s2_rgb.tif"]
    grass, crops = denmark_rows(given.data)
    cases = (
        ("NAIP, field or not", naip_rows(given.data), pictures, ""),
        ("Denmark, grass or crop", grass, scene, "EPSG:32632"),
        ("Denmark, frequent crops", crops, scene, "EPSG:32632"),
    )
    kinds: List[Tuple[str, Dict[str, Any]]] = [
        ("forest", {}),
        ("forest without shape", {"FEATURE_GROUPS": ["colour", "bands", "texture"]}),
    ]
    print(f"{'set':26} {'classifier':24} classes fields accuracy    F1  kappa  seconds")
    for name, rows, images, crs in cases:
        layer = layer_of(rows, crs)
        for kind, settings in kinds:
            place = out / f"{name} {kind}".replace(" ", "_").replace(",", "")
            found = trained(layer, images, place, settings)
            print(
                f"{name:26} {kind:24} {len({row[1] for row in rows}):7} {found['TRAINED']:6} "
                f"{found['ACCURACY']:8.3f} {found['F1']:5.3f} {found.get('KAPPA', 0):6.3f} "
                f"{found['SECONDS']:8.1f}",
                flush=True,
            )
        made = prepared(layer, images)
        order = TrainingOrder(0, given.side, given.network or "", given.epochs)
        figures = chain(
            with_scikit_learn(made) if given.compare else (),
            with_networks(made, order) if given.network else (),
        )
        for classifier, confusion in figures:
            print(
                f"{name:26} {classifier:39} {confusion.total:6} {confusion.accuracy:8.3f} "
                f"{confusion.macro_f1:5.3f} {confusion.kappa:6.3f}",
                flush=True,
            )
    print(f"models and reports: {out}")
    del held


if __name__ == "__main__":
    main()
