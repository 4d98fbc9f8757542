"""Where the worker process begins: `python -I -X utf8 start.py CHECKPOINT --device auto`.

It runs in an environment that knows nothing of QGIS, so the checkout or the installed plugin is
made known as the package `furrow` here, under whatever name its folder has.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import importlib.util
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Optional, Sequence, Tuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "furrow"
_END_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux."""


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Serve the network of a checkpoint until the input ends."""
    parser = argparse.ArgumentParser(description="Furrow's worker: started by Furrow itself.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    options = parser.parse_args(arguments)

    def open_network() -> Any:
        networks = importlib.import_module(f"{PACKAGE}.models.worker.networks")
        return networks.open_network(options.checkpoint, options.device)

    run(open_network)


def run(open_network: Callable[[], Any]) -> None:
    """Serve a network on stdin and stdout.

    :param open_network: called once the package is known; may import torch.
    """
    began = time.monotonic()
    inward, outward = begin()
    server = importlib.import_module(f"{PACKAGE}.models.worker.server")
    server.serve(open_network, inward, outward, began)


def begin() -> Tuple[Any, Any]:
    """Make the package known; the pipes for frames, inward and outward."""
    inward, outward = _protocol_pipes()
    _end_with_parent()
    _register()
    return inward, outward


def _protocol_pipes() -> Tuple[Any, Any]:
    """stdin and stdout for frames alone: what a library prints goes to stderr, it reads nothing."""
    inward, outward = (os.fdopen(os.dup(k), mode, 0) for k, mode in ((0, "rb"), (1, "wb")))
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout = sys.stderr
    return inward, outward


def _end_with_parent() -> None:
    """Not outlive QGIS, and not be ended by a Ctrl+C that is meant for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)


def _register() -> None:
    """Make the folder that this file belongs to known as the package."""
    places = [str(ROOT)]
    spec = importlib.util.spec_from_file_location(
        PACKAGE, ROOT / "__init__.py", submodule_search_locations=places
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{ROOT} is no Python package.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    main()
