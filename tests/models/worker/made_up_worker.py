"""A worker with a network of a few lines of numpy: `made_up_worker.py START [BEHAVIOUR ...]`.

Started by tests as a child process of its own. Behaviours that may be given:

    slow=SECONDS      encoding takes so long
    side=PIXELS       of the square, 256 unless told
    crash, rubbish, mute, silent-exit, no-memory, refused      what goes wrong at the start
    crash-on-encode, memory-on-encode, fail-on-encode, rubbish-on-encode, chatter     or later
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
import time
from typing import Dict, Mapping, Sequence, Tuple

import numpy as np

_TOLERANCES = (25.0, 10.0, 25.0, 60.0)
"""Of the single mask, and of the three from part to whole."""
_SCORES = (0.95, 0.9, 0.8, 1.2)


class MadeUpNetwork:
    """Pixels like the one that is clicked on, within some tolerances."""

    family = "segment-anything"
    parameters = 3
    device = "cpu"

    def __init__(self, behaviours: Sequence[str]) -> None:
        model_frame = importlib.import_module("furrow.models.segmenters.model_frame")
        options = dict(part.split("=") for part in behaviours if "=" in part)
        self._behaviours = set(behaviours)
        self._seconds = float(options.get("slow", 0))
        self.side = int(options.get("side", 256))
        self._frame = model_frame.ModelFrame(self.side, mean=(0, 0, 0), std=(1, 1, 1))

    def encode(self, image: np.ndarray) -> Dict[str, np.ndarray]:
        if "crash-on-encode" in self._behaviours:
            print("the network falls over", file=sys.stderr, flush=True)
            os._exit(3)
        if "memory-on-encode" in self._behaviours:
            np.empty(1 << 60, np.uint8)
        if "fail-on-encode" in self._behaviours:
            raise RuntimeError("Given groups=1, weight of size 3\nand more")
        if "rubbish-on-encode" in self._behaviours:
            os.write(OUTWARD, b"What is this?" * 10)
        if "chatter" in self._behaviours:
            print("printed by Python", flush=True)
            os.write(1, b"printed by a library\n")
            os.system("echo printed by a child")
        time.sleep(self._seconds)
        step = self._frame.side // 64
        square = self._frame.square(image)[0]
        return {"cells": square[:, ::step, ::step], "scale": np.ones((), np.float32)}

    def decode_all(
        self, features: Mapping[str, np.ndarray], shape: Tuple[int, int], prompts: Sequence
    ) -> Tuple[np.ndarray, np.ndarray]:
        logits, cells = [], features["cells"]
        for prompt in prompts:
            x, y = self._frame.points(np.array([prompt.anchor]), shape)[0] * 64 / self.side
            seed = cells[:, int(y), int(x)][:, None, None]
            apart = np.abs(cells - seed).mean(axis=0)
            logits.append([(limit - apart).repeat(4, 0).repeat(4, 1) for limit in _TOLERANCES])
        return np.array(logits, np.float32), np.tile(np.float32(_SCORES), (len(prompts), 1))


def opened(behaviours: Sequence[str]) -> MadeUpNetwork:
    if "crash" in behaviours:
        sys.exit("a start that fails")
    if "refused" in behaviours:
        errors = importlib.import_module("furrow.core.errors")
        raise errors.ModelError("MODEL: made.pth is no checkpoint; choose another file.")
    if "no-memory" in behaviours:
        raise MemoryError
    if "silent-exit" in behaviours:
        os._exit(0)
    if "mute" in behaviours:
        time.sleep(600)
    if "traceback" in behaviours:
        importlib.import_module("a_package_that_is_not_there")
    return MadeUpNetwork(behaviours)


OUTWARD = 1
if __name__ == "__main__":
    if "rubbish" in sys.argv:
        print("Welcome! The library says hello on stdout, at length.", flush=True)
        time.sleep(600)
    OUTWARD = os.dup(1)
    start = runpy.run_path(sys.argv[1])
    start["run"](lambda: opened(sys.argv[2:]))
