"""The algorithms through the real `qgis_process`, as scripts and servers use them."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ALGORITHMS = (
    "generatesamples", "cleansamples", "extractprofiles", "rankimages", "segmentprompts",
    "encodeimage", "delineate", "refinefields", "exportfieldcrops", "importfieldlabels",
    "trainfieldclassifier", "classifyfields", "evaluatefields",
)  # fmt: skip
pytestmark = pytest.mark.qgis


@pytest.fixture(scope="module")
def qgis(qgis_cli: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    try:
        return qgis_cli.connect(tmp_path_factory.mktemp("qgis process"))
    except qgis_cli.QgisUnusableError as error:
        if "not on PATH" in str(error):
            pytest.skip(str(error))
        raise


def answer(qgis: Any, *arguments: str) -> dict[str, Any]:
    """What qgis_process says in JSON."""
    done = qgis.call("--json", *arguments)
    assert done.returncode == 0, f"{done.stderr}\n{done.stdout[-2000:]}"
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def listing(qgis: Any) -> dict[str, Any]:
    """The algorithms of all providers."""
    return answer(qgis, "list")["providers"]["furrow"]["algorithms"]


def test_lists_the_algorithms(listing: dict[str, Any]) -> None:
    assert sorted(listing) == sorted(f"furrow:{name}" for name in ALGORITHMS)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_help(qgis: Any, name: str) -> None:
    said = answer(qgis, "help", f"furrow:{name}")
    assert said["algorithm_details"]["tags"]
    assert {"OUTPUT", "MODEL"} & set(said["outputs"])


def test_generates_samples(qgis: Any, demo_scene: Any, tmp_path: Path) -> None:
    outputs = {name: tmp_path / f"{name.lower()}.gpkg" for name in ("OUTPUT", "FIELDS", "REJECTED")}
    outputs["REPORT"] = tmp_path / "report.html"
    inputs = {"SERIES": demo_scene.series, "REFERENCES": demo_scene.references}
    values = {**inputs, "CLASS_FIELD": "crop", **outputs}
    said = answer(
        qgis, "run", "furrow:generatesamples", "--", *(f"{k}={v}" for k, v in values.items())
    )
    results = said["results"]
    assert results["CANDIDATES"] == results["KEPT"] + results["REJECTED_COUNT"]
    assert results["KEPT"] > 0
    assert results["SKIPPED"] == 0
    for path in outputs.values():
        assert path.stat().st_size > 0
    record = json.loads((tmp_path / "output.gpkg.run.json").read_text(encoding="utf-8"))
    assert record["algorithm"] == "furrow:generatesamples"


def test_encodes_an_image_once(qgis: Any, demo_scene: Any, tmp_path: Path) -> None:
    image = sorted(Path(demo_scene.series).glob("*.tif"))[0]
    words = [f"INPUT={image}", "MODEL=classical", f"OUTPUT={tmp_path / 'windows'}"]
    counts = []
    for _ in range(2):
        results = answer(qgis, "run", "furrow:encodeimage", "--", *words)["results"]
        counts.append((results["ENCODED"], results["REUSED"]))
    assert counts == [(1, 0), (0, 1)]
    assert results["OUTPUT"] == str(tmp_path / "windows")


def test_bad_input_ends_with_a_sentence(qgis: Any, demo_scene: Any, tmp_path: Path) -> None:
    done = qgis.call(
        "run", "furrow:generatesamples", "--", f"SERIES={tmp_path}",
        f"REFERENCES={demo_scene.references}", "CLASS_FIELD=crop",
        f"OUTPUT={tmp_path / 'samples.gpkg'}",
    )  # fmt: skip
    assert done.returncode != 0
    assert str(tmp_path) in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout
    assert list(tmp_path.iterdir()) == []


def test_runs_from_python(run_algorithm: Any, demo_scene: Any) -> None:
    """`processing.run` calls QgsProcessingAlgorithm.run: no algorithm may override it."""
    parameters = {"SERIES": str(demo_scene.series), "OUTPUT": "TEMPORARY_OUTPUT"}
    assert Path(run_algorithm("rankimages", parameters)["BEST_IMAGE"]).is_file()
