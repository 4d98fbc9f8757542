"""How well the segmentation engines find real fields: one table and sheets of pictures.

    python bench/bench_segmenters.py [--engine ID ...] [--data ../shared/data] [--out FOLDER]

The engines that ship with Furrow are measured on the sets of segmenter_sets.py, others where
--engine names them and their files are in build/places/models: mean IoU of the mask with the
highest score unless a line says otherwise. The constants of the classical engine were
fitted on Denmark left of column 113, NAIP 1-22 and Ontario 1921 and 1924; the field model is
trained on the same part of Denmark, NAIP 1-22 and generated scenes of other seeds. Figures on
Denmark left and on all of Denmark are told apart, at the end of the table.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from osgeo import gdal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "demo"))
import furrow_package  # noqa: E402

furrow_package.register()

from segmenter_asking import Answer, Answers, Encoded, encode, interview  # noqa: E402
from segmenter_figures import by_size, group_figures, reliability  # noqa: E402
from segmenter_pictures import draw_sheets  # noqa: E402
from segmenter_sets import (  # noqa: E402
    DENMARK_RIGHT,
    NAIP,
    SETS,
    AbsentError,
    LabelledSet,
)
from segmenter_speed import PLACES, measure  # noqa: E402
from segmenter_stability import few, stability  # noqa: E402
from segmenter_table import Report, table, write_json  # noqa: E402

from furrow.core.errors import FurrowError  # noqa: E402
from furrow.core.fields.segmenter import Segmenter  # noqa: E402
from furrow.models.segmenters.registry import Registry  # noqa: E402

SIZES_OF = (DENMARK_RIGHT, NAIP)
STABILITY_SETS = ("denmark", "ontario", "naip")


def say(text: str) -> None:
    """What is going on, apart from the table."""
    print(text, file=sys.stderr, flush=True)


def read_sets(data: Path, skipped: List[str]) -> List[LabelledSet]:
    """The sets that are there; `skipped` gains a line for each of the others."""
    found = []
    for name, read in SETS:
        try:
            found.append(read(data))
        except AbsentError as error:
            skipped.append(f"set {name}: {error}")
    return found


def load_engines(ids: Sequence[str], skipped: List[str]) -> Dict[str, Segmenter]:
    """The engines that run here; `skipped` gains a line for each of the others."""
    registry, engines = Registry(PLACES), {}
    for model_id in ids:
        try:
            engine = registry.load(model_id)
            # Some engines look for their libraries and weights with the first picture only.
            engine.encode(np.zeros((64, 64, 3), np.uint8))
            engines[model_id] = engine
        except (FurrowError, ImportError, OSError) as error:
            skipped.append(f"engine {model_id}: {error}")
    return engines


def examine(
    engine: Segmenter, name: str, sets: Sequence[LabelledSet], out: Path, speed: bool
) -> Report:
    """Measure one engine on all sets and draw its sheets."""
    start = time.perf_counter()
    answers: Dict[str, Answers] = {}
    encoded: Dict[str, List[Encoded]] = {}
    for labelled in sets:
        scenes = encode(engine, labelled)
        found = interview(engine, scenes)
        draw_sheets(
            engine,
            scenes,
            found.of(labelled.groups[0]).click,
            out / f"segmenter_{name}_{labelled.name}",
        )
        answers.update((group, found.of(group)) for group in labelled.groups)
        if labelled.name in STABILITY_SETS:
            encoded[labelled.name] = few(scenes) if labelled.name == "naip" else scenes
        say(f"{name}: {labelled.name} done after {time.perf_counter() - start:.0f} s")
    return Report(
        engine=name,
        groups=tuple(group_figures(group, found) for group, found in answers.items()),
        reliability=tuple(
            reliability(labelled.groups[0], answers[labelled.groups[0]].click) for labelled in sets
        ),
        sizes=by_size(_clicks(answers, SIZES_OF)),
        sizes_of=tuple(group for group in SIZES_OF if group in answers),
        stability=stability(engine, [scene for part in encoded.values() for scene in part]),
        speed=measure(name) if speed else None,
        seconds=time.perf_counter() - start,
    )


def _clicks(answers: Dict[str, Answers], groups: Sequence[str]) -> Tuple[Answer, ...]:
    return tuple(a for group in groups if group in answers for a in answers[group].click)


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Read the arguments, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    registry = Registry(PLACES)
    parser.add_argument("--engine", action="append", choices=registry.ids())
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench")
    parser.add_argument("--no-speed", action="store_true", help="leave out speed and memory")
    options = parser.parse_args(arguments)
    gdal.UseExceptions()
    options.out.mkdir(parents=True, exist_ok=True)
    skipped: List[str] = []
    sets = read_sets(options.data, skipped)
    here = [model_id for model_id in registry.ids() if registry.model(model_id).entry.shipped]
    engines = load_engines(options.engine or here, skipped)
    for line in skipped:
        print(f"skipped: {line}")
    reports = [
        examine(engine, name, sets, options.out, not options.no_speed)
        for name, engine in engines.items()
    ]
    print("\n".join(table(reports)))
    write_json(options.out / "segmenters.json", reports, skipped)
    took = ", ".join(f"{report.engine} {report.seconds:.0f} s" for report in reports)
    print(f"\nMeasured in {took}; figures and sheets are in {options.out}")


if __name__ == "__main__":
    main()
