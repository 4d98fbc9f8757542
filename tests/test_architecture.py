"""The arrows of the house: who may import whom, and what nobody may call.

ui, algorithms -> qgis_io -> core        ui, algorithms -> models -> core
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "furrow"
SHIPPED = ("algorithms", "core", "models", "qgis_io", "ui")
OUTSIDE = ("tests", "bench", "demo")
QGIS = {"qgis", "PyQt5", "PyQt6", "processing"}
FORBIDDEN = {
    "core": QGIS | {"torch", "furrow.algorithms", "furrow.models", "furrow.qgis_io", "furrow.ui"},
    "models": QGIS | {"furrow.algorithms", "furrow.qgis_io", "furrow.ui"},
    "qgis_io": {"torch", "furrow.algorithms", "furrow.models", "furrow.ui"},
    "algorithms": {"torch", "furrow.ui"},
    "ui": {"torch"},
}
RASTER_LIBRARIES = {"rasterio", "osgeo"}
RASTER_DRIVERS = "core/imagery/raster*.py"
OTHER_LIBRARIES = {"report": {"jinja2"}, "samples": {"fastdtw"}}
"""By folder of core: QGIS brings jinja2; fastdtw is one metric's, imported when it is chosen."""
BOUNDARY = Path("algorithms/base.py")
"""The one module that may catch every exception: it turns them into messages."""
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS = {"eval", "exec", "os.system", "os.popen"}
BROAD = {"Exception", "BaseException"}


def files(*folders: str) -> list[Path]:
    """Python files of some folders, and of the root for none, relative to the root."""
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return sorted(path.relative_to(ROOT) for path in found or ROOT.glob("*.py"))


PLUGIN_FILES = [*files(), *files(*SHIPPED)]
ALL_FILES = [*PLUGIN_FILES, *files(*OUTSIDE)]


def tree_of(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[str]:
    """Full dotted names that a file imports, anywhere in it, relative ones resolved."""
    here = [PACKAGE, *path.parent.parts]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            start = ".".join([*base, *filter(None, [node.module])])
            yield from (f"{start}.{alias.name}" for alias in node.names)


def reaches(name: str, target: str) -> bool:
    return name == target or name.startswith(f"{target}.")


def breaches(path: Path, forbidden: set[str]) -> list[str]:
    return [name for name in imports(path) if any(reaches(name, other) for other in forbidden)]


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call))


def broad_handlers(path: Path) -> list[int]:
    """Lines with `except:`, `except Exception` or a tuple that holds it."""
    lines = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ExceptHandler):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(kind is None or ast.unparse(kind) in BROAD for kind in kinds):
                lines.append(node.lineno)
    return lines


def test_there_is_something_to_check() -> None:
    assert Path("plugin.py") in PLUGIN_FILES
    assert Path("core/errors.py") in PLUGIN_FILES


def test_relative_imports_are_resolved() -> None:
    assert "furrow.algorithms.provider.FurrowProvider" in set(imports(Path("plugin.py")))
    assert "furrow.core.errors.FurrowError" in set(imports(Path("algorithms/base.py")))


@pytest.mark.parametrize("folder", sorted(FORBIDDEN))
def test_arrows_run_one_way(folder: str) -> None:
    found = {str(path): breaches(path, FORBIDDEN[folder]) for path in PLUGIN_FILES
             if path.parts[0] == folder}  # fmt: skip
    assert {path: names for path, names in found.items() if names} == {}


def test_core_needs_only_what_every_qgis_has() -> None:
    """numpy, scipy and the standard library, with the exceptions of OTHER_LIBRARIES."""
    allowed = {PACKAGE, "numpy", "scipy", *RASTER_LIBRARIES, *sys.stdlib_module_names}
    found = {
        (str(path), name)
        for path in files("core")
        for name in (full.split(".")[0] for full in imports(path))
        if name not in allowed and name not in OTHER_LIBRARIES.get(path.parts[1], ())
    }
    assert found == set()


def test_core_reads_rasters_in_its_drivers_only() -> None:
    others = [path for path in files("core") if not path.match(RASTER_DRIVERS)]
    found = {str(path): breaches(path, RASTER_LIBRARIES) for path in others}
    assert {path: names for path, names in found.items() if names} == {}


def test_qt_comes_through_qgis() -> None:
    found = {str(path): breaches(path, {"PyQt5", "PyQt6", "PySide2", "PySide6"})
             for path in ALL_FILES}  # fmt: skip
    assert {path: names for path, names in found.items() if names} == {}


def test_shipped_code_uses_relative_imports() -> None:
    """QGIS may find the plugin's folder under another name."""
    absolute = {
        str(path)
        for path in PLUGIN_FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom)
        and not node.level
        and (node.module or "").split(".")[0] in {PACKAGE, *SHIPPED}
    }
    assert absolute == set()


@pytest.mark.parametrize("path", PLUGIN_FILES, ids=str)
def test_nothing_the_plugin_site_blocks(path: Path) -> None:
    assert breaches(path, PICKLES) == []
    assert [ast.unparse(call) for call in calls(path) if ast.unparse(call.func) in CALLS] == []
    shells = [call.lineno for call in calls(path) for keyword in call.keywords
              if keyword.arg == "shell"]  # fmt: skip
    assert shells == []


@pytest.mark.parametrize("path", [p for p in PLUGIN_FILES if p != BOUNDARY], ids=str)
def test_no_broad_except(path: Path) -> None:
    assert broad_handlers(path) == [], "catch what can happen; algorithms/base.py is the boundary"
