"""furrow:delineate on a Dask cluster whose workers have no QGIS."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest

from furrow.core.execution_cluster import require_distributed
from furrow.core.fields.delineation.tile_records import TileFolder
from furrow.core.report.run_record import read
from furrow.tests.algorithms.test_delineate import TILE, paint, shown
from furrow.tests.without_qgis import bare_python

pytestmark = pytest.mark.qgis
CLUSTER = """
import sys
from distributed import LocalCluster

def what_a_worker_has():
    import importlib.util
    return [importlib.util.find_spec(name) is not None for name in ("osgeo", "qgis", "rasterio")]

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
                      host="127.0.0.1") as cluster:
        with cluster.get_client() as client:
            assert list(client.run(what_a_worker_has).values()) == [[False, False, True]] * 2
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """The address of a scheduler with two workers, and the process that holds it."""
    pytest.importorskip("distributed")
    folder = tmp_path_factory.mktemp("cluster")
    bare = bare_python(folder, "rasterio", "distributed")
    script = folder / "cluster.py"
    script.write_text(CLUSTER)
    process = subprocess.Popen(
        [*bare.command, str(script)], env=dict(bare.variables), cwd=folder, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("tcp://"), process.stderr.read()[-3000:]
        yield address, process
    finally:
        if process.poll() is None:
            process.communicate("", timeout=30)


def test_a_cluster_finds_the_same_fields_and_may_go_away(
    cluster: Any, run_algorithm: Any, table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qgis.core import QgsProcessingException

    address, process = cluster
    given = {
        "INPUT": str(paint(tmp_path / "land.tif", shown())), "MODEL": "classical", "TILE": TILE,
        "REFINE": False, "OUTPUT": "memory:",
    }  # fmt: skip
    here = table(run_algorithm("delineate", given)["OUTPUT"])
    there = table(run_algorithm("delineate", {**given, "WORKERS": address})["OUTPUT"])
    assert there == here and len(here) >= 22

    output, plain = tmp_path / "fields.gpkg", TileFolder.put

    def ending(self: TileFolder, *what: Any) -> None:
        plain(self, *what)
        if process.poll() is None:
            process.kill()
            process.wait()

    monkeypatch.setattr(TileFolder, "put", ending)
    with pytest.raises(QgsProcessingException, match="WORKERS: .*scheduler at tcp.*run again"):
        run_algorithm("delineate", {**given, "WORKERS": address, "OUTPUT": str(output)})
    monkeypatch.setattr(TileFolder, "put", plain)
    assert not output.exists() and len(list(tmp_path.glob("fields.gpkg.tiles/*.npz"))) >= 1
    result = run_algorithm("delineate", {**given, "OUTPUT": str(output)})
    assert read(f"{output}.run.json").counts["TILES_REUSED"] >= 1
    assert table(result["OUTPUT"]) == here


def test_without_dask_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from furrow.core.errors import DependencyError

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="WORKERS: .*distributed.*not installed.*number"):
        require_distributed()
