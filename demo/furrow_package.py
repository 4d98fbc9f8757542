"""Make this checkout importable as `furrow`, whatever its folder is called.

Scripts outside the package (demo/, bench/) call it before they import from furrow:

    sys.path.insert(0, str(ROOT / "demo"))
    from furrow_package import register
    register()
"""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path

PACKAGE = "furrow"
ROOT = Path(__file__).resolve().parents[1]


def register() -> None:
    """Put the repository root into sys.modules as `furrow`, unless it is importable already."""
    if PACKAGE in sys.modules or importlib.util.find_spec(PACKAGE) is not None:
        return
    source = ROOT / "__init__.py"
    if not source.exists():
        module = types.ModuleType(PACKAGE)
        module.__path__ = [str(ROOT)]
        sys.modules[PACKAGE] = module
        return
    spec = importlib.util.spec_from_file_location(
        PACKAGE, source, submodule_search_locations=[str(ROOT)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)
