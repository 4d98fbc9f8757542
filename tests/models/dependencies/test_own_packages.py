"""onnxruntime in a folder of Furrow's own: fetched, checked, tried, put in place, removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator, List

import pytest

from furrow.core.errors import ArchiveError, Cancelled, DependencyError
from furrow.core.monitor import Monitor
from furrow.models.dependencies import folders, own_packages
from furrow.models.dependencies.machine import here
from furrow.models.dependencies.obtaining import Sources
from furrow.models.dependencies.own_packages import activate, deactivate, folder_of, install
from furrow.models.dependencies.packages import read_packages
from furrow.tests.models.dependencies.small_index import (
    SmallIndex,
    pinned_wheel,
    plain_network,
    runtime_tag,
    wheel_bytes,
)

ROOT = Path(__file__).resolve().parents[3]
CHILD = f"""
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location(
    "furrow", {str(ROOT / "__init__.py")!r}, submodule_search_locations=[{str(ROOT)!r}])
sys.modules["furrow"] = importlib.util.module_from_spec(spec)
from pathlib import Path
from furrow.models.dependencies import own_packages
from furrow.models.dependencies.packages import Packages, Wheel
packages, version = Path(sys.argv[1]), sys.argv[2]
"""


@pytest.fixture(autouse=True)
def path_as_before() -> Iterator[None]:
    before = list(sys.path)
    yield
    sys.path[:] = before


@pytest.fixture
def packages(place: Path) -> Path:
    return place / "furrow" / "packages"


def put_in(index: SmallIndex, packages: Path, **options: Any) -> bool:
    sources = options.pop("sources", Sources(index.address))
    options.setdefault("python", Path(sys.executable))
    return install(packages, index.pinned(), sources, plain_network(), **options)


def in_child(code: str, packages: Path, version: str = "9.9.9", site: bool = False) -> Any:
    """What a Python without packages of its own answers."""
    options = [] if site else ["-S"]
    command = [sys.executable, *options, "-c", CHILD + code, str(packages), version]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


STATE = """
pinned = Packages((Wheel(f"onnxruntime-{version}-py3-none-any.whl", 1, 1, ""),), None, None)
state = own_packages.state(packages, pinned)
print(json.dumps([state.condition.name, state.version]))
"""
USE = """
own_packages.activate(packages)
import onnxruntime
print(json.dumps([onnxruntime.KIND, sys.path[-1], onnxruntime.__file__]))
"""


def test_install_use_remove(index: SmallIndex, packages: Path) -> None:
    index.put_runtime()
    assert in_child(STATE, packages) == ["ABSENT", ""]
    told: List[str] = []
    shares: List[float] = []
    assert put_in(index, packages, monitor=Monitor(progress=shares.append, message=told.append))
    own = folder_of(packages)
    assert in_child(STATE, packages) == ["READY", "9.9.9"]
    kind, last, file = in_child(USE, packages)
    assert (kind, last) == ("small", str(own))
    assert file.startswith(str(own))
    assert shares[-1] == 1.0
    assert any("Downloading onnxruntime-9.9.9" in line for line in told)
    assert [each.name for each in packages.iterdir()] == [own.name], "nothing is left lying about"
    assert own_packages.uninstall(packages)
    assert not packages.exists()
    assert own_packages.uninstall(packages), "twice is no harm"


def test_json_pages(index: SmallIndex, packages: Path) -> None:
    index.put_runtime(as_json=True)
    put_in(index, packages)
    assert in_child(STATE, packages) == ["READY", "9.9.9"]


def test_another_version_is_told_and_exchanged(index: SmallIndex, packages: Path) -> None:
    index.put_runtime("9.9.8")
    put_in(index, packages)
    assert in_child(STATE, packages) == ["OUTDATED", "9.9.8"]
    index.put_runtime("9.9.9")
    put_in(index, packages)
    assert in_child(STATE, packages) == ["READY", "9.9.9"]
    assert len(list(packages.iterdir())) == 1


def test_what_is_damaged_is_told_and_mended(index: SmallIndex, packages: Path) -> None:
    index.put_runtime()
    put_in(index, packages)
    (folder_of(packages) / "onnxruntime" / "__init__.py").unlink()
    assert in_child(STATE, packages) == ["BROKEN", ""]
    put_in(index, packages)
    assert in_child(STATE, packages) == ["READY", "9.9.9"]


def test_one_that_qgis_has_is_told(packages: Path, place: Path) -> None:
    code = "sys.path.append(version)\n" + STATE
    theirs = place / "site"
    (theirs / "onnxruntime").mkdir(parents=True)
    (theirs / "onnxruntime" / "__init__.py").write_text("")
    assert in_child(code, packages, str(theirs)) == ["ELSEWHERE", ""]


def test_a_wheel_that_does_not_load_is_not_put_in_place(index: SmallIndex, packages: Path) -> None:
    index.put_runtime("9.9.8")
    put_in(index, packages)
    index.put_runtime("9.9.9", code="raise ImportError('DLL load failed while importing x')")
    with pytest.raises(DependencyError, match="Visual C"):
        put_in(index, packages)
    assert in_child(STATE, packages, "9.9.8") == ["READY", "9.9.8"]
    assert [each.name for each in packages.glob("cp*")] == [folder_of(packages).name]


def test_another_file_of_that_name(index: SmallIndex, packages: Path) -> None:
    wheel = index.put_runtime()
    index.put(wheel.name, index.wheels[wheel.name][:-1] + b"x")
    with pytest.raises(DependencyError, match="is not the onnxruntime-9.9.9.*SHA-256"):
        put_in(index, packages)
    assert in_child(STATE, packages) == ["ABSENT", ""]


def test_a_broken_archive_of_the_right_hash(index: SmallIndex, packages: Path) -> None:
    name = f"onnxruntime-9.9.9-{runtime_tag(here())}.whl"
    whole = wheel_bytes("onnxruntime", "9.9.9", "x", {"onnxruntime/__init__.py": bytes(9000)})
    content = whole[: len(whole) // 2]
    index.put(name, content)
    index.runtime = (pinned_wheel(name, content),)
    with pytest.raises(ArchiveError):
        put_in(index, packages)
    assert in_child(STATE, packages) == ["ABSENT", ""]


def test_no_space(index: SmallIndex, packages: Path) -> None:
    wheel = index.put_runtime()
    index.runtime = (replace(wheel, unpacked=10**16),)
    with pytest.raises(DependencyError, match=r"no room for .* GB in .*; make .* GB free"):
        put_in(index, packages)
    assert index.server.requests == []
    assert not packages.exists()


def test_nothing_for_this_python(index: SmallIndex, packages: Path) -> None:
    with pytest.raises(DependencyError, match="no package of onnxruntime for Python"):
        put_in(index, packages)


def test_index_without_the_file(index: SmallIndex, packages: Path) -> None:
    wheel = index.put_runtime("9.9.8")
    index.runtime = (replace(wheel, name=wheel.name.replace("9.9.8", "9.9.9")),)
    with pytest.raises(DependencyError, match="package index has no onnxruntime-9.9.9"):
        put_in(index, packages)


@pytest.mark.parametrize("moment", ["Looking", "Downloading", "Unpacking", "Trying"])
def test_cancel(index: SmallIndex, packages: Path, moment: str) -> None:
    index.put_runtime(code="import time; time.sleep(30)")
    told: List[str] = []
    monitor = Monitor(lambda: any(line.startswith(moment) for line in told), message=told.append)
    with pytest.raises(Cancelled):
        put_in(index, packages, monitor=monitor)
    assert list(packages.glob("cp*")) == []


def test_wheel_folder(index: SmallIndex, packages: Path, place: Path) -> None:
    index.put_runtime()
    folder = index.save_wheels(place / "wheels of mine")
    put_in(index, packages, sources=Sources("http://nowhere.invalid", folder))
    assert in_child(STATE, packages) == ["READY", "9.9.9"]
    assert index.server.requests == []
    assert len(list(folder.iterdir())) == 1, "what the user has stays"


@pytest.mark.parametrize("content", [None, b"", b"another"])
def test_wheel_folder_without_the_file(
    index: SmallIndex, packages: Path, place: Path, content: Any
) -> None:
    wheel = index.put_runtime()
    if content is not None:
        (place / wheel.name).write_bytes(content)
    with pytest.raises(DependencyError, match=wheel.name):
        put_in(index, packages, sources=Sources(index.address, place))
    assert index.server.requests == []


def test_qgis_packages_stay_what_they_are(packages: Path) -> None:
    """In this process, where they are imported."""
    import numpy
    import osgeo.gdal
    import scipy

    before = [sys.modules[name] for name in ("numpy", "scipy", "osgeo.gdal")]
    put_fakes(packages)
    activate(packages)
    import importlib

    after = [importlib.import_module(name) for name in ("numpy", "scipy", "osgeo.gdal")]
    assert [a is b for a, b in zip(before, after)] == [True] * 3
    assert before == [numpy, scipy, osgeo.gdal]
    assert sys.path[-1] == str(folder_of(packages))
    activate(packages)
    assert sys.path.count(str(folder_of(packages))) == 1
    deactivate(packages)
    assert str(folder_of(packages)) not in sys.path


def test_qgis_packages_come_first(packages: Path) -> None:
    """In a process that imports them later."""
    put_fakes(packages)
    code = """
own_packages.activate(packages)
import numpy, scipy, scipy.ndimage, osgeo.gdal, furrow_test_extra
print(json.dumps([each.__file__ for each in (numpy, scipy, osgeo.gdal, furrow_test_extra)]))
"""
    *theirs, extra = in_child(code, packages, site=True)
    own = str(folder_of(packages))
    assert not any(file.startswith(own) for file in theirs)
    assert extra.startswith(own)


def put_fakes(packages: Path) -> None:
    for name in ("numpy", "scipy", "osgeo", "furrow_test_extra"):
        folder = folder_of(packages) / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("FAKE = True\n")
    (folder_of(packages) / "osgeo" / "gdal.py").write_text("FAKE = True\n")


def test_nothing_there_nothing_activated(packages: Path) -> None:
    before = list(sys.path)
    activate(packages)
    deactivate(packages)
    assert sys.path == before
    assert not packages.exists()


def test_files_in_use(index: SmallIndex, packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows a folder whose libraries are loaded cannot be renamed: the next start does it."""
    index.put_runtime("9.9.8")
    put_in(index, packages)
    own = folder_of(packages)
    with monkeypatch.context() as windows:
        windows.setattr(folders, "replace", refusing(own))
        index.put_runtime("9.9.9")
        assert not put_in(index, packages)
        assert in_child(STATE, packages, "9.9.8") == ["READY", "9.9.8"]
    activate(packages)
    deactivate(packages)
    assert in_child(STATE, packages) == ["READY", "9.9.9"]
    assert [each.name for each in packages.iterdir()] == [own.name]
    with monkeypatch.context() as windows:
        windows.setattr(folders, "replace", refusing(own))
        assert not own_packages.uninstall(packages)
        assert in_child(STATE, packages) == ["READY", "9.9.9"]
    activate(packages)
    assert list(packages.iterdir()) == []


def refusing(own: Path) -> Any:
    real = folders.replace

    def replace_unless_in_use(source: Path, target: Path) -> None:
        if source == own:
            raise PermissionError(13, "in use")
        real(source, target)

    return replace_unless_in_use


def test_a_protected_folder_is_told(packages: Path) -> None:
    packages.parent.mkdir(parents=True)
    packages.write_text("a file where a folder should be")
    new = packages.with_name("new")
    new.mkdir()
    with pytest.raises(DependencyError, match="cannot be changed"):
        folders.exchange(new, packages / "cp312-x")
    assert new.is_dir()


@pytest.mark.skipif("FURROW_PACKAGES" not in os.environ, reason="downloads 24 MB")
def test_the_real_one(place: Path) -> None:
    """The pinned onnxruntime from the package index that pip uses here."""
    packages, told = place / "packages", []
    sources = Sources(os.environ["FURROW_PACKAGES"])
    pinned = read_packages()
    assert install(packages, pinned, sources, plain_network(), Monitor(message=told.append))
    version = pinned.runtime_for(here()).version
    assert f"onnxruntime {version}" in told
    code = USE.replace("onnxruntime.KIND", "onnxruntime.get_available_providers()")
    code = code.replace("own_packages.activate", "import numpy; own_packages.activate")
    found = subprocess.run(
        ["/usr/bin/python3", "-c", CHILD + code, str(packages), version],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    providers, last, file = json.loads(found.stdout.splitlines()[-1])
    assert "CPUExecutionProvider" in providers
    assert file.startswith(str(folder_of(packages)))
