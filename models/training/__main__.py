"""Everything about training the field model, from the command line:

python -m furrow.models.training scenes FOLDER     make training scenes
python -m furrow.models.training sheet FILE.png    scenes beside their truth, to look at
python -m furrow.models.training train FOLDER      train, or go on with a run
python -m furrow.models.training export FOLDER     ONNX files of a run
python -m furrow.models.training rank FOLDER       fit the ranker to the exported files
python -m furrow.models.training calibrate FOLDER  fit its scores to how good offered masks are

The targets `train-field-model` and `scene-sheet` of the Makefile call it with their folders.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Optional, Sequence, Tuple

import numpy as np
import torch

from ..segmenters.furrow_field.field_model import RANKER_FILE, FieldModelSegmenter
from ..segmenters.furrow_field.ranking import Ranker
from . import contact_sheet
from .batches import Sources
from .calibration import calibration, offered_masks
from .export import export
from .labelled_sets import NAIP_TRAINING, denmark_training, naip, naip_names
from .network import FieldNetwork
from .ranking import Judged, fit, judged, quality
from .sampling import RealPicture
from .scene_pool import ScenePool, write_scenes
from .scenes import is_large_and_mottled
from .trainer import Schedule, Trainer, load_weights, run, save_weights, validation

_ASIDE = 3
"""The last of the NAIP pictures for training are kept aside for validation."""
_SCENES_ASIDE = 0.04
_DENMARK_SHARE = 0.2
_MOTTLED_SEED = 5_000_000
"""Added to the seed, for scenes of large mottled fields."""
_DANISH_SIDE = 112
"""Pixels: what the columns for training allow without enlarging them."""
_CALIBRATION_SEED = 4
"""The ranker's pictures have seeds 1 to 3."""
_SCENE_SIZES = ((256, 0.75), (384, 0.25))
"""Sides in pixels, and the share of the scenes that have them."""


def sources(scenes: Path, data: Path, real_share: float) -> Tuple[Sources, Sources]:
    """What to learn from, and what to validate on."""
    pools = [pool.split(_SCENES_ASIDE) for pool in ScenePool.open(scenes)]
    learned, aside = [pool[0] for pool in pools], [pool[1] for pool in pools]
    if not (data / "naip_midwest").is_dir():
        return Sources(learned, (), np.zeros(0), 0.0), Sources(aside, (), np.zeros(0), 0.0)
    labelled = list(naip(data, naip_names(data)[:NAIP_TRAINING]))
    pictures = [RealPicture.of(picture, 1.3) for picture in labelled]
    weights = np.array([np.sqrt(min(len(picture.masks), 40)) for picture in labelled[:-_ASIDE]])
    weights = np.append(weights * (1 - _DENMARK_SHARE) / weights.sum(), _DENMARK_SHARE)
    known = [*pictures[:-_ASIDE], RealPicture.of(denmark_training(data), 3.0)]
    even = np.full(_ASIDE, 1 / _ASIDE)
    kept = Sources(aside, pictures[-_ASIDE:], even, 0.5)
    return Sources(learned, known, weights, real_share), kept


def _make_scenes(given: argparse.Namespace) -> None:
    for size, share in _SCENE_SIZES:
        write_scenes(given.folder, given.seed, round(share * given.count), size)
    write_scenes(given.folder, _MOTTLED_SEED + given.seed, given.mottled, 256, is_large_and_mottled)


def _draw_sheet(given: argparse.Namespace) -> None:
    contact_sheet.draw(given.file, given.seed, given.size, given.count)


def _train(given: argparse.Namespace) -> None:
    torch.set_num_threads(given.threads)
    torch.set_flush_denormal(True)
    try:
        _run(given)
    finally:
        torch.set_flush_denormal(False)  # it is one of the whole process


def _run(given: argparse.Namespace) -> None:
    schedule = Schedule(given.steps, given.rate, fall=given.fall)
    trainer = Trainer(given.folder, schedule, given.device, given.member)
    if not trainer.resume() and given.start:
        trainer.start_from(given.start)
    learned, aside = sources(given.scenes, given.data, given.real_share)
    run(trainer, learned, validation(aside) if given.member == 0 else None)


def _export(given: argparse.Namespace) -> None:
    network = FieldNetwork()
    if given.weights:
        load_weights(network, given.weights)
    else:
        trainer = Trainer(given.folder, Schedule(1))
        if not trainer.resume():
            raise SystemExit(f"{given.folder} holds no checkpoint; train first, or give --weights.")
        network = trainer.mean
        save_weights(network, given.folder / "field_network.npz")
    export(network, given.output)


def _rank(given: argparse.Namespace) -> None:
    torch.set_num_threads(given.threads)
    learned, aside = sources(given.scenes, given.data, 0.5)
    fresh = ScenePool.open(given.scenes)
    aside = replace(aside, scenes=fresh)
    if learned.pictures:
        # The Danish scene, the only one of Sentinel-2, is as much as all the others.
        even = np.full(len(learned.pictures), 0.5 / max(len(learned.pictures) - 1, 1))
        even[-1] = 1 - even[:-1].sum()
        learned = replace(learned, scenes=(), weights=even)
    (given.folder / RANKER_FILE).unlink(missing_ok=True)
    wanted = (("unseen", aside, given.pictures), ("known", learned, given.pictures // 2 + 1),
              ("test", aside, given.pictures // 8 + 1))  # fmt: skip
    helpers = given.threads if given.threads > 1 else 0
    found = {}
    for seed, (name, pictures, count) in enumerate(wanted, start=1):
        found[name] = judged(given.folder, pictures, count, seed, helpers)
        found[name].save(given.folder / f"judged_{name}.npz")
    # The network's masks are too good on pictures that it has learned: those count less.
    shares = {"unseen": 1.0, "known": 0.5}
    weights = np.concatenate([np.full(len(found[n].real), w) for n, w in shares.items()])
    ranker = fit(Judged.joined([found["unseen"], found["known"]]), weights, given.steps)
    test = found["test"]
    for name, judge in (("own scores", None), ("ranker", ranker)):
        print(name, "taken {:.3f}, best {:.3f}".format(*quality(judge, test)))
    ranker.save(given.folder / RANKER_FILE)


def _calibrate(given: argparse.Namespace) -> None:
    learned, aside = sources(given.scenes, given.data, 1.0)
    fresh = Sources(tuple(ScenePool.open(given.scenes)), (), np.zeros(0), 0.0)
    shown = [(fresh, 256)]
    if learned.pictures:
        # The Danish scene was learned, but is the only one of Sentinel-2 that may be looked at.
        danish = Sources((), learned.pictures[-1:], np.ones(1), 1.0)
        shown += [(replace(aside, scenes=(), real_share=1.0), 256), (danish, _DANISH_SIDE)]
    segmenter = FieldModelSegmenter(given.folder, given.threads)
    tables = [offered_masks(segmenter, *one, given.pictures, _CALIBRATION_SEED) for one in shown]
    ranker = Ranker.open(given.folder / RANKER_FILE).recalibrated(calibration(tables))
    print("slope {:.3f}, shift {:.3f}".format(*ranker.calibration))
    ranker.save(given.folder / RANKER_FILE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m furrow.models.training")
    commands = parser.add_subparsers(required=True)

    scenes = commands.add_parser("scenes", help="make training scenes")
    scenes.add_argument("folder", type=Path)
    scenes.add_argument("--seed", type=int, default=1_000_000)
    scenes.add_argument("--count", type=int, default=2400)
    scenes.add_argument("--mottled", type=int, default=1600, help="more with large mottled fields")
    scenes.set_defaults(work=_make_scenes)

    sheet = commands.add_parser("sheet", help="draw scenes beside their truth")
    sheet.add_argument("file", type=Path)
    sheet.add_argument("--seed", type=int, default=0, help="of the first scene")
    sheet.add_argument("--size", type=int, default=256, help="pixels a side")
    sheet.add_argument("--count", type=int, default=12)
    sheet.set_defaults(work=_draw_sheet)

    train = commands.add_parser("train", help="train, or go on with a run")
    train.add_argument("folder", type=Path, help="keeps the run's state, log and figures")
    train.add_argument("--scenes", type=Path, required=True, help="folder of training scenes")
    train.add_argument("--data", type=Path, default=Path("../shared/data"))
    train.add_argument("--start", type=Path, help="weights (.npz) to begin a new run with")
    train.add_argument("--steps", type=int, default=6000, help="of the whole run")
    train.add_argument("--rate", type=float, default=1e-3)
    train.add_argument("--fall", type=float, default=0.35, help="share of steps with falling rate")
    train.add_argument("--real-share", type=float, default=0.35)
    train.add_argument("--threads", type=int, default=2)
    train.add_argument("--member", type=int, default=0, help="number of this process of the run")
    train.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    train.set_defaults(work=_train)

    exported = commands.add_parser("export", help="write the ONNX files")
    exported.add_argument("folder", type=Path, help="of the run")
    exported.add_argument("--weights", type=Path, help="a .npz file instead of the run")
    exported.add_argument("--output", type=Path, default=Path("models/weights"))
    exported.set_defaults(work=_export)

    rank = commands.add_parser("rank", help="fit the ranker")
    rank.add_argument("folder", type=Path, help="of the ONNX files")
    rank.add_argument("--scenes", type=Path, required=True, help="scenes not trained on")
    rank.add_argument("--data", type=Path, default=Path("../shared/data"))
    rank.add_argument("--pictures", type=int, default=600)
    rank.add_argument("--threads", type=int, default=2, help="processes that share the work")
    rank.add_argument("--steps", type=int, default=2500, help="of fitting")
    rank.set_defaults(work=_rank)

    calibrated = commands.add_parser("calibrate", help="fit the scores of offered masks")
    calibrated.add_argument("folder", type=Path, help="of the ONNX files and the ranker")
    calibrated.add_argument("--scenes", type=Path, required=True, help="scenes not trained on")
    calibrated.add_argument("--data", type=Path, default=Path("../shared/data"))
    calibrated.add_argument("--pictures", type=int, default=80, help="of each kind")
    calibrated.add_argument("--threads", type=int, default=2)
    calibrated.set_defaults(work=_calibrate)
    return parser


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Read the arguments and do what they ask for."""
    given = _parser().parse_args(arguments)
    given.work(given)


if __name__ == "__main__":
    main()
