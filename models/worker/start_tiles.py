"""Where a process that works on tiles begins: `python -I -X utf8 start_tiles.py SETTINGS`.

It runs in the Python of QGIS, but without QGIS. SETTINGS is JSON: "path", where packages are
searched besides the usual places, and "variables", to be set in the environment.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any, Mapping

START = Path(__file__).with_name("start.py")


def main(settings: Mapping[str, Any]) -> None:
    """Serve tiles on stdin and stdout until the input ends."""
    os.environ.update(settings["variables"])
    sys.path += [place for place in settings["path"] if place not in sys.path]
    inward, outward = runpy.run_path(str(START), run_name="furrow_start")["begin"]()
    server = importlib.import_module("furrow.models.worker.tile_server")
    server.serve(inward, outward)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
