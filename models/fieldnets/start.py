"""Where training begins in the worker's Python: `python -I -X utf8 start.py FOLDER ORDER`.

ORDER is JSON: see `TrainingOrder`. Lines on stdout are JSON: {"share": 0.1, "said": "..."}; the
last one before a failure is {"failed": "..."}.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Train what the arguments ask for."""
    _register()
    run: Any = importlib.import_module("furrow.models.fieldnets.running")
    sys.exit(run.run(Path(sys.argv[1]), sys.argv[2]))


def _register() -> None:
    """Make the folder that this file belongs to known as the package `furrow`."""
    spec = importlib.util.spec_from_file_location(
        "furrow", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{ROOT} is no Python package.")
    module = importlib.util.module_from_spec(spec)
    sys.modules["furrow"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    main()
