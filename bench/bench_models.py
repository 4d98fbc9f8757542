"""What Furrow adds to models of the Segment Anything family: time, copies, child processes.

    python bench/bench_models.py [--data ../shared/data] [--only onnx batch worker encodes kills]
        [--busy]

The models have random weights, a small encoder and a decoder of published size, which takes as long
as a trained one. Times are medians in milliseconds on this machine; whatever is compared is
measured in turns. With --busy they are processor time of all threads and processes that take part:
for a machine that does other work meanwhile.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))
import furrow_package  # noqa: E402

furrow_package.register()

PACKAGES = ("torch", "segment_anything", "transformers", "onnx", "onnxruntime", "pytest")
missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
if missing:
    print(f"Left out, because {', '.join(missing)} is not installed: make bench-models")
    sys.exit(0)

from models_with_random_weights import (  # noqa: E402
    SIDE,
    WINDOW,
    authors_predictor,
    bare_inputs,
    clicks,
    image_of,
    official_engine,
    onnx_engine,
    write_checkpoint,
)

from furrow.core.errors import WorkerError  # noqa: E402
from furrow.core.fields.finding import FieldOptions, find_fields  # noqa: E402
from furrow.core.fields.segmenter import Prompts, Segmenter  # noqa: E402
from furrow.core.imagery.pictures import FilePictures  # noqa: E402
from furrow.models.segmenters.checkpoints.torch_segmenter import TorchSegmenter  # noqa: E402
from furrow.models.segmenters.checkpoints.worker_client import Worker, shared_worker, stop_all  # noqa: E402
from furrow.models.segmenters.embeddings.embedding_store import UNLIMITED, EmbeddingStore  # noqa: E402
from furrow.models.segmenters.embeddings.stored_segmenter import StoredSegmenter  # noqa: E402
from furrow.models.segmenters.onnx_pairs.onnx_session import open_session  # noqa: E402
from furrow.models.worker.framing import Frame, read_frame, write_frame  # noqa: E402
from furrow.models.worker.networks import TorchNetwork, open_network  # noqa: E402
from furrow.tests.models.segmenters.checkpoints.test_worker_client import children, command  # noqa: E402
from furrow.tests.models.worker.without_process import Here  # noqa: E402

BATCH, ROUNDS, BATCH_ROUNDS = 64, 15, 2
PROMPTS = 70
KILLS = 20
PARTS = ("onnx", "batch", "worker", "encodes", "kills")


def line(name: str, value: str, target: str = "") -> None:
    """One row of the table."""
    print(f"| {name} | {value} | {target} |", flush=True)


@dataclass(frozen=True)
class Watch:
    """Measures what takes how long."""

    busy: bool
    """Tell processor time."""

    def medians(
        self, calls: Sequence[Callable[[], object]], rounds: int, child: Optional[int] = None
    ) -> List[float]:
        """Milliseconds of each call, which are made in turns; the first turn does not count.

        :param child: pid of a process that takes part.
        """
        found: List[List[float]] = [[] for _ in calls]
        for _ in range(rounds + 1):
            for own, call in zip(found, calls):
                began = self._now(child)
                call()
                own.append(1000 * (self._now(child) - began))
        return [statistics.median(own[1:]) for own in found]

    def _now(self, child: Optional[int]) -> float:
        """Seconds since some moment."""
        if not self.busy:
            return time.perf_counter()
        return time.process_time() + (0.0 if child is None else _seconds_of(child))


def _seconds_of(pid: int) -> float:
    """Processor time of all threads of another process, finer than the system's ticks."""
    told = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(numbers[0]) for numbers in told) / 1e9


def onnx(folder: Path, watch: Watch) -> None:
    """Our engine against a bare onnxruntime that is given the same tensors."""
    engine, decoder = onnx_engine(folder)
    session = open_session(decoder)
    names = [engine.plan.masks, engine.plan.scores]
    for side in (WINDOW, SIDE):
        embedding = engine.encode(image_of(side))
        for count in (1, BATCH):
            asked = clicks(side, count)
            given = bare_inputs(engine, embedding, asked)
            rounds = ROUNDS if count == 1 else BATCH_ROUNDS
            bare, logits, whole = watch.medians(
                [
                    lambda given=given: session.run(names, given),
                    lambda e=embedding, a=asked: engine.logits(e.data, e.shape, a),
                    lambda e=embedding, a=asked: engine.predict(e, a),
                ],
                rounds,
            )
            what = f"{count} click{'s' if count > 1 else ''}, image {side} x {side}"
            line(f"ONNX, {what}", f"bare {bare:.1f} ms, logits {logits:.1f}, masks {whole:.1f}: "
                 f"{(whole - bare) / count:+.1f} ms a click", "15 ms")  # fmt: skip


def batch(folder: Path, watch: Watch) -> None:
    """64 clicks at once against one by one: our engines, and as the authors' code does it."""
    network = open_network(folder / "bench.pth", "cpu")
    _torch_batch(network, watch)
    engine, _ = onnx_engine(folder)
    single, official = official_engine(folder, network)
    for side in (WINDOW, SIDE):
        image, asked = image_of(side), clicks(side, BATCH)
        known, own = single.encode(image), engine.encode(image)
        times = watch.medians(
            [
                lambda e=own, a=asked: engine.predict(e, a),
                lambda e=own, a=asked[:8]: [engine.predict(e, [one]) for one in a],
                lambda e=known, a=asked[:8]: [official(e, one) for one in a],
            ],
            BATCH_ROUNDS,
        )
        _tell_batch(f"ONNX, {BATCH} clicks at once, image {side} x {side}", "graph", times)


def _torch_batch(network: TorchNetwork, watch: Watch) -> None:
    asked, image = clicks(WINDOW, BATCH), image_of(WINDOW)
    shape, features = image.shape[:2], network.encode(image)
    predictor = authors_predictor()
    predictor.set_image(image)
    times = watch.medians(
        [
            lambda: network.decode_all(features, shape, asked),
            lambda: [network.decode_all(features, shape, [one]) for one in asked[:8]],
            lambda: [predictor.predict(p.points - 0.5, np.array([1])) for p in asked[:8]],
        ],
        BATCH_ROUNDS,
    )
    what = f"torch, {BATCH} clicks at once, image {WINDOW} x {WINDOW}"
    _tell_batch(what, "predictor", times)


def _tell_batch(what: str, whose: str, times: Sequence[float]) -> None:
    """:param times: of all clicks at once; of 8 one by one; of 8 as the authors do it."""
    at_once, alone, theirs = times[0] / BATCH, times[1] / 8, times[2] / 8
    line(what, f"{at_once:.0f} ms a click; one by one {alone:.0f} ({alone / at_once:.1f} times), "
         f"with the authors' {whose} {theirs:.0f} ({theirs / at_once:.1f} times)",
         "3 times")  # fmt: skip


def worker(folder: Path, watch: Watch) -> None:
    """A process of its own against the same network in this one."""
    path = folder / "bench.pth"
    child = shared_worker(Path(sys.executable), path, "cpu")
    there = TorchSegmenter("bench", child)
    here = TorchSegmenter("bench", Here(open_network(path, "cpu")))
    about = there.start()
    pid = child.pid
    line("worker, start", f"{about.seconds:.1f} s, {(about.memory or 0) / 1e6:.0f} MB")
    for side in (WINDOW, SIDE):
        _compare(there, here, side, watch, pid)
    line("copies of the image on its way to the worker", f"{copies(image_of(SIDE)):.2f}", "1")
    stop_all()


def _compare(
    there: Segmenter, here: Segmenter, side: int, watch: Watch, pid: Optional[int]
) -> None:
    image, asked = image_of(side), clicks(side, 1)
    pairs = [(engine, engine.encode(image)) for engine in (there, here)]
    calls = [lambda e=engine, m=known: e.predict(m, asked) for engine, known in pairs]
    click = watch.medians(calls, ROUNDS, pid)
    encode = watch.medians([lambda e=engine: e.encode(image) for engine, _ in pairs], 7, pid)
    for what, (own, other), target in (("click", click, "25 ms"), ("encode", encode, "")):
        value = f"{own:.1f} ms, {other:.1f} in one process: {own - other:+.1f} ms"
        line(f"worker, {what}, image {side} x {side}", value, target)


def copies(image: np.ndarray) -> float:
    """Bytes that both ends set aside while an image goes through a pipe, over those it has."""
    frame = Frame({"kind": "encode"}, {"image": image})
    with pipe() as (out, into):
        writer = threading.Thread(target=write_frame, args=(into, frame))
        tracemalloc.start()
        writer.start()
        found = read_frame(out)
        writer.join()
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert found is not None and np.array_equal(found.arrays["image"], image)
    return most / image.nbytes


@contextmanager
def pipe() -> Iterator[Tuple]:
    ends = [os.fdopen(end, mode, 0) for end, mode in zip(os.pipe(), ("rb", "wb"))]
    with ends[0], ends[1]:
        yield ends[0], ends[1]


def encodes(folder: Path, data: Path) -> None:
    """70 clicks on a real image, through the store."""
    image = data / "denmark" / "s2_rgb.tif"
    if not image.is_file():
        line("encodings for 70 clicks", f"left out: {image} does not exist")
        return
    pictures = FilePictures(str(image))
    grid = pictures.grid
    places = np.random.default_rng(5).uniform(1, (grid.width - 1, grid.height - 1), (PROMPTS, 2))
    asked = [Prompts.click(x, y) for x, y in places]
    windows = {grid.shared_window(int(y), int(x), WINDOW) for x, y in places}
    own = Here(open_network(folder / "bench.pth", "cpu"))
    engine = TorchSegmenter("bench", own)
    store = EmbeddingStore(folder / "embeddings", 0, UNLIMITED)
    told = []
    for _ in range(2):
        own.asked.clear()
        find_fields(asked, pictures, StoredSegmenter(engine, store, "bench"),
                    FieldOptions(window=WINDOW))  # fmt: skip
        shown = [f.arrays["image"].shape for f in own.asked if f.header["kind"] == "encode"]
        first = sum(max(shape) <= WINDOW for shape in shown)
        told.append(f"{first}, and {len(shown) - first} larger ones for fields that were cut off")
    line(f"encodings for {PROMPTS} clicks that lie in {len(windows)} windows",
         f"{told[0]}; the second time {told[1]}", f"{len(windows)}")  # fmt: skip


def kills() -> None:
    """A child that is killed at 20 random moments of starting and encoding."""
    dice, before = random.Random(11), children()
    one = Worker(command("slow=0.1"), "made-up.pth")
    ask = Frame({"kind": "encode"}, {"image": image_of(64)})
    expected = one.ask(ask).header["token"]
    longest = 1.5 * one.start().seconds + 0.3
    outcomes: Counter = Counter()
    for number in range(KILLS):
        if number % 2:
            one.stop()
        killer = threading.Thread(target=_kill, args=(one, dice.uniform(0, longest)))
        killer.start()
        try:
            same = all(one.ask(ask).header["token"] == expected for _ in range(3))
            outcomes["recovered" if same else "wrong answer"] += 1
        except WorkerError:
            outcomes["one clear error"] += 1
        killer.join()
    assert one.ask(ask).header["token"] == expected
    one.stop()
    told = ", ".join(f"{count} {what}" for what, count in outcomes.most_common())
    left = len(children() - before)
    line(f"worker killed at {KILLS} random moments", f"{told}; {left} children left", "0 left")


def _kill(one: Worker, delay: float) -> None:
    time.sleep(delay)
    if one.pid is not None:
        os.kill(one.pid, signal.SIGKILL)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    shared = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=shared)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--busy", action="store_true", help="tell processor time")
    options = parser.parse_args()
    watch = Watch(options.busy)
    print("| what | measured | target |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_checkpoint(folder)
        calls = {
            "onnx": lambda: onnx(folder, watch),
            "batch": lambda: batch(folder, watch),
            "worker": lambda: worker(folder, watch),
            "encodes": lambda: encodes(folder, options.data),
            "kills": kills,
        }
        for part in options.only:
            calls[part]()


if __name__ == "__main__":
    main()
