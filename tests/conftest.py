"""Register the checkout as the package `furrow`, complete the environment, share fixtures.

Start with `make test`: without a display pytest-qgis needs QT_QPA_PLATFORM=offscreen from outside.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

import hypothesis  # here, because its plugin would import it after QGIS has ended, which crashes
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "furrow"
PROCESSING = Path("/usr/share/qgis/python/plugins")
"""Where Debian keeps QGIS' own plugins; pytest-qgis finds it elsewhere."""

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile(
    "furrow", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("furrow")


def _prepare_environment() -> None:
    """What pytest-qgis leaves open: it has set the profile (.qgis-settings) and started QGIS."""
    runtime = ROOT / "build" / "xdg"
    runtime.parent.mkdir(exist_ok=True)
    runtime.mkdir(mode=0o700, exist_ok=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    # QGIS has GDAL keep statistics beside an image: not beside those of the shared data.
    os.environ.setdefault("GDAL_PAM_ENABLED", "NO")
    if PROCESSING.is_dir() and str(PROCESSING) not in sys.path:
        sys.path.append(str(PROCESSING))


def _load(name: str, path: Path, **options: Any) -> ModuleType:
    """Import a file under a name, once."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path, **options)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


_prepare_environment()
_load(PACKAGE, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository root, which is the plugin's package."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the checkout, where the machine has it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data here: {folder} does not exist")
    return folder


@pytest.fixture(scope="session")
def demo_scene(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small made-up scene with known truth: the `ScenePaths` of demo/make_scene.py."""
    make_scene = _load("furrow_make_scene", ROOT / "demo" / "make_scene.py")
    folder = tmp_path_factory.mktemp("demo_scene")
    return make_scene.write_scene(folder, make_scene.SceneSpec(size=128, dates=12, references=12))


@pytest.fixture(scope="session")
def furrow_provider(qgis_app: Any, qgis_processing: None) -> Any:
    """The provider, registered in a QGIS without a window."""
    from qgis.core import QgsApplication

    from furrow.algorithms.provider import FurrowProvider

    provider = FurrowProvider()
    QgsApplication.processingRegistry().addProvider(provider)
    yield provider
    # QGIS itself is gone already where pytest-qgis ended it first.
    if QgsApplication.processingRegistry() is not None:
        QgsApplication.processingRegistry().removeProvider(provider)


@pytest.fixture
def run_algorithm(furrow_provider: Any) -> Callable[..., dict]:
    """`processing.run` with Furrow's algorithms: run_algorithm("generatesamples", {...})."""
    import processing

    def run(name: str, parameters: dict, **options: Any) -> dict:
        return processing.run(f"{PACKAGE}:{name}", parameters, **options)

    return run


@pytest.fixture(scope="session")
def qgis_cli() -> ModuleType:
    """demo/qgis_cli.py: how to call the real qgis_process."""
    return _load("furrow_qgis_cli", ROOT / "demo" / "qgis_cli.py")
