"""A Python that has rasterio, onnxruntime and Dask, but neither QGIS nor its GDAL."""

from __future__ import annotations

import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

import osgeo
import pytest

ROOT = Path(__file__).resolve().parents[1]
_BESIDE_QGIS = ("osgeo", "gdal", "ogr", "osr", "qgis", "PyQt", "GDAL")


@dataclass(frozen=True)
class Bare:
    """How that Python is started."""

    command: tuple[str, ...]
    variables: Mapping[str, str]


def bare_python(folder: Path, *needed: str) -> Bare:
    """Set it up in a folder; skips the test where that cannot be.

    The system's packages are linked one by one, all but those of QGIS.
    """
    own = Path(sysconfig.get_paths()["purelib"])
    system = Path(osgeo.__file__).parents[1]
    if own == system or any(not (own / name).is_dir() for name in needed):
        pytest.skip(f"{', '.join(needed)} not installed apart from QGIS' packages (make test)")
    links = folder / "links"
    links.mkdir()
    for path in system.iterdir():
        if not path.name.startswith(_BESIDE_QGIS):
            (links / path.name).symlink_to(path)
    (links / "furrow").symlink_to(ROOT)
    path = os.pathsep.join((str(own), str(links)))
    python = f"{sysconfig.get_config_var('BINDIR')}/python{sysconfig.get_python_version()}"
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return Bare((python, "-S"), {**kept, "PYTHONPATH": path, "FURROW_THREADS": "1"})
