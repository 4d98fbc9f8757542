"""The worker's server called directly, to compare its process with."""

from __future__ import annotations

import time
from typing import Any, Callable, List, Tuple

from furrow.core.monitor import SILENT, Monitor
from furrow.models.segmenters.checkpoints.worker_client import About
from furrow.models.worker.framing import Frame
from furrow.models.worker.server import Server


class Here:
    """A worker without a process; it notes what it is asked."""

    def __init__(self, network: Any) -> None:
        self.network = network
        self.server = Server(network)
        self.about = About(network.family, network.side, network.parameters, "cpu", 0.0, None)
        self.asked: List[Frame] = []

    def start(self, monitor: Monitor = SILENT) -> About:
        return self.about

    def ask(self, request: Frame, monitor: Monitor = SILENT) -> Frame:
        self.asked.append(request)
        return self.server.answer(request)


def fastest(calls: List[Callable[[], object]], times: int) -> Tuple[float, ...]:
    """Milliseconds of the fastest of some rounds, for each call."""
    found: List[List[float]] = [[] for _ in calls]
    for _ in range(times):
        for own, call in zip(found, calls):
            began = time.perf_counter()
            call()
            own.append(1000 * (time.perf_counter() - began))
    return tuple(min(own) for own in found)


def costs(engines: List[Any], image: Any, prompts: List[Any], times: int) -> Tuple[str, float]:
    """What a click and an image cost with two engines, as a line, and by how much a click differs.

    :return: the line, and milliseconds.
    """
    embeddings = [engine.encode(image) for engine in engines]
    pairs = list(zip(engines, embeddings))
    click = fastest([lambda p=pair: p[0].predict(p[1], prompts) for pair in pairs], times)
    encode = fastest([lambda e=engine: e.encode(image) for engine in engines], times)
    texts = [
        f"{what} {there:.1f} ms with a process, {here:.1f} without ({there / here:.2f} times)"
        for what, (there, here) in (("click", click), ("encode", encode))
    ]
    return f"{image.shape[0]} pixels: {'; '.join(texts)}", click[0] - click[1]
