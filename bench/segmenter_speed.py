"""How fast an engine is and how much memory it takes, in a process of its own on two threads.

    python bench/segmenter_speed.py ENGINE PICTURES.npz

The pictures are arrays by side in pixels: 256, 512 and 1024. Prints one line of JSON. A process
of its own, because memory once taken is rarely given back and other work would count as well.
"""

from __future__ import annotations

import json
import os
import subprocess  # nosec - starts this very file
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Tuple

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))
    import furrow_package

    furrow_package.register()

from furrow.core.fields.segmenter import Embedding, Prompts, Segmenter  # noqa: E402
from furrow.core.places import Places  # noqa: E402
from furrow.models.segmenters.registry import Registry  # noqa: E402

PLACES = Places.under(Path(__file__).resolve().parents[1] / "build" / "places")
"""Where models are looked for that do not ship: the benches have no profile."""
THREADS = 2
CLICKS = 100
ENCODINGS = {256: 5, 512: 3, 1024: 1}
"""Side of a picture -> encodings to take the median of; the large one is for memory."""
SCENE_SEED = 950_000
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_MEGABYTE = 1024.0
"""Kilobytes, the unit of /proc and getrusage."""


@dataclass(frozen=True)
class Speed:
    """Medians in milliseconds, memory in megabytes."""

    encode: Dict[int, float]
    """By side of the picture in pixels."""
    click: Dict[int, float]
    imported: float
    """Memory of the process after its imports and with the pictures read."""
    ready: float
    """The same with the engine loaded and its session started."""
    peak: float
    """The most it took while a picture of 1,024 px was encoded and clicked on 100 times."""
    kept: float
    """What it still took after that."""

    @property
    def growth(self) -> float:
        """What the large picture needed beyond the loaded engine."""
        return self.peak - self.ready


def measure(engine_id: str) -> Speed:
    """Start the process, give it pictures and read its answer."""
    from furrow.models.training.scenes import generate

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pictures.npz"
        np.savez(path, **{str(side): generate(SCENE_SEED, side).image for side in ENCODINGS})
        done = subprocess.run(  # nosec - our own file and a registry id
            [sys.executable, __file__, engine_id, str(path)],
            env={**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(THREADS))},
            stdout=subprocess.PIPE,
            check=True,
        )
    read = json.loads(done.stdout.splitlines()[-1])
    for name in ("encode", "click"):
        read[name] = {int(side): value for side, value in read[name].items()}
    return Speed(**read)


def _memory() -> Tuple[float, float]:
    """Megabytes in use now, and the most so far."""
    status = Path("/proc/self/status")
    if status.exists():
        pairs = (line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        found = {name: value.split()[0] for name, value in pairs if name in ("VmRSS", "VmHWM")}
        return float(found["VmRSS"]) / _MEGABYTE, float(found["VmHWM"]) / _MEGABYTE
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MEGABYTE
    return most, most


def _milliseconds(action: Callable[[], object], times: int) -> List[float]:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        found.append(1000 * (time.perf_counter() - start))
    return found


def _times(engine: Segmenter, image: np.ndarray, encodings: int) -> Tuple[float, float]:
    """Median milliseconds of an encoding and of a click."""
    embeddings: List[Embedding] = []

    def encode() -> None:
        embeddings[:] = [engine.encode(image)]

    encoding = _milliseconds(encode, encodings)
    places = np.random.default_rng(0).uniform(8, len(image) - 8, (CLICKS, 2))
    asked = iter([Prompts.click(x, y) for x, y in places])
    clicks = _milliseconds(lambda: engine.predict(embeddings[0], [next(asked)]), CLICKS)
    return float(np.median(encoding)), float(np.median(clicks))


def _run(engine_id: str, pictures: Dict[int, np.ndarray]) -> Dict[str, object]:
    """The largest picture first: nothing but the engine may have taken memory before."""
    imported = _memory()[0]
    engine = Registry(PLACES).load(engine_id)
    # Some engines start their session with the first picture.
    engine.predict(engine.encode(pictures[256][:64, :64]), [Prompts.click(32, 32)])
    ready = _memory()[0]
    times = {1024: _times(engine, pictures[1024], ENCODINGS[1024])}
    kept, peak = _memory()
    times.update((side, _times(engine, pictures[side], ENCODINGS[side])) for side in (512, 256))
    return {
        "encode": {side: times[side][0] for side in ENCODINGS},
        "click": {side: times[side][1] for side in ENCODINGS},
        "imported": imported,
        "ready": ready,
        "peak": peak,
        "kept": kept,
    }


def main() -> None:
    """Measure one engine on two cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    with np.load(sys.argv[2]) as file:
        pictures = {side: file[str(side)] for side in ENCODINGS}
    print(json.dumps(_run(sys.argv[1], pictures)))


if __name__ == "__main__":
    main()
