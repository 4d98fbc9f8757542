"""The pinned packages: complete, consistent, and the right one for each Python."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Tuple

import pytest

from furrow.core.errors import DependencyError
from furrow.models.dependencies.lock import CUDA, TORCH, digest, read_lock, without
from furrow.models.dependencies.machine import QUESTION, Machine, here, machine_from
from furrow.models.dependencies.packages import LIST, LOCK, Wheel, newest, read_packages
from furrow.models.dependencies.plan import runtime_plan, worker_plan

SYSTEMS = {
    "win_amd64": (0, 0),
    "macosx_arm64": (15, 1),
    "linux_x86_64": (2, 36),
    "linux_aarch64": (2, 36),
}
PINNED = read_packages()


@pytest.mark.parametrize("minor", range(9, 15))
@pytest.mark.parametrize("system", [*SYSTEMS, "macosx_x86_64"])
def test_there_is_a_runtime_for_each_python(minor: int, system: str) -> None:
    if (minor, system) == (14, "macosx_x86_64"):
        pytest.skip("onnxruntime has none")
    machine = Machine((3, minor, 1), system, SYSTEMS.get(system, (15, 1)))
    wheel = PINNED.runtime_for(machine)
    assert f"-cp3{minor}-cp3{minor}-" in wheel.name
    assert wheel.package == "onnxruntime"
    assert 10_000_000 < wheel.bytes < 30_000_000 < wheel.unpacked


@pytest.mark.parametrize("minor", range(11, 15))
def test_windows_on_arm(minor: int) -> None:
    assert PINNED.runtime_for(Machine((3, minor, 0), "win_arm64")).name.endswith("win_arm64.whl")


@pytest.mark.parametrize(
    ("version", "expected"), [((15, 0), "1.31.1"), ((13, 4), "1.23.2"), ((12, 0), "1.19.2")]
)
def test_an_older_macos_gets_what_still_runs_there(version: Tuple[int, int], expected: str) -> None:
    assert PINNED.runtime_for(Machine((3, 12, 4), "macosx_arm64", version)).version == expected


@pytest.mark.parametrize(
    "machine",
    [
        Machine((3, 8, 0), "win_amd64"),
        Machine((3, 15, 0), "win_amd64"),
        Machine((3, 12, 0), "win32"),
        Machine((3, 12, 0), "linux_x86_64", (0, 0)),
        Machine((3, 12, 0), "linux_x86_64", (2, 17)),
        Machine((3, 12, 0), "linux_riscv64", (2, 40)),
        Machine((3, 12, 0), "macosx_arm64", (10, 15)),
        Machine((3, 12, 0), "freebsd_14_amd64"),
    ],
    ids=str,
)
def test_there_is_no_runtime(machine: Machine) -> None:
    with pytest.raises(DependencyError, match=re.escape(str(machine))):
        PINNED.runtime_for(machine)


def test_names_are_those_of_the_index() -> None:
    names = [wheel.name for wheel in PINNED.onnxruntime]
    assert len(set(names)) == len(names)
    assert all(
        re.fullmatch(r"onnxruntime-1\.\d+\.\d-cp3\d+-cp3\d+-\S+\.whl", name) for name in names
    )
    assert all(re.fullmatch(r"[0-9a-f]{64}", wheel.sha256) for wheel in PINNED.onnxruntime)
    assert len({wheel.sha256 for wheel in PINNED.onnxruntime}) == len(names)


def test_pip_is_for_every_python_of_the_worker() -> None:
    assert PINNED.pip.fits(Machine((3, 10, 0), "win_amd64"))
    assert PINNED.pip.fits(Machine((3, 14, 0), "linux_aarch64", (2, 28)))


def test_ten_is_newer_than_nine() -> None:
    wheels = [Wheel(f"a-1.{minor}.0-py3-none-any.whl", 1, 1, "") for minor in (9, 10, 2)]
    assert newest(wheels).version == "1.10.0"
    assert newest([]) is None


def test_a_python_says_of_itself_what_we_say() -> None:
    told = subprocess.run([sys.executable, "-c", QUESTION], capture_output=True, check=True)
    assert machine_from(*json.loads(told.stdout)) == here()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (((3, 9, 5), "win-amd64", "AMD64", "", ""), "win_amd64"),
        # An interpreter for Intel on a computer with an ARM processor.
        (((3, 12, 0), "win-amd64", "ARM64", "", ""), "win_amd64"),
        (((3, 12, 0), "linux-x86_64", "x86_64", "", "2.36"), "linux_x86_64 2.36"),
        (((3, 12, 0), "linux-x86_64", "x86_64", "", ""), "linux_x86_64"),
        (((3, 12, 0), "macosx-10.13-universal2", "arm64", "14.2.1", ""), "macosx_arm64 14.2"),
        (((3, 9, 0), "macosx-10.13-x86_64", "x86_64", "10.16", ""), "macosx_x86_64 11.0"),
        (((3, 12, 0), "macosx-11-arm64", "arm64", "14", ""), "macosx_arm64 14.0"),
    ],
)
def test_machines(told: tuple, expected: str) -> None:
    assert str(machine_from(*told)).split(" on ")[1] == expected


@pytest.mark.parametrize("minor", range(10, 15))
@pytest.mark.parametrize("system", SYSTEMS)
def test_lock_names_each_package_once(minor: int, system: str) -> None:
    machine = Machine((3, minor, 2), system, SYSTEMS[system])
    names = [each.name for each in read_lock(LOCK, machine)]
    assert len(set(names)) == len(names)
    assert {"torch", "torchvision", "segment-anything", "transformers", "safetensors", "onnx",
            "onnxruntime", "numpy", "scipy", "pip"} <= set(names)  # fmt: skip
    cuda = set(names) - {each.name for each in without(read_lock(LOCK, machine), CUDA)}
    assert bool(cuda) == system.startswith("linux")


def test_lock_pins_the_pip_that_is_brought() -> None:
    pip = next(each for each in read_lock(LOCK, here()) if each.name == "pip")
    assert (pip.version, PINNED.pip.sha256 in pip.hashes) == (PINNED.pip.version, True)


def test_lock_fits_what_the_worker_is_tested_with(root: Path) -> None:
    text = (root / "requirements-worker.txt").read_text()
    wanted = dict(re.findall(r"^([a-z-]+)==(\S+)$", text, re.M))
    pinned = {each.name: each.version for each in read_lock(LOCK, Machine((3, 12, 0), "win_amd64"))}
    assert wanted
    assert {name: pinned.get(name) for name in wanted} == wanted


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_large_package_has_a_size(system: str) -> None:
    machine = Machine((3, 12, 0), system, SYSTEMS[system])
    plan = worker_plan(Path("x"), PINNED, machine)
    assert all(item.bytes for item in plan.items), [i for i in plan.items if not i.bytes]
    assert set(PINNED.worker.systems[system].bytes) == {item.package for item in plan.items}
    low, high = (2e9, 4e9) if system.startswith("linux") else (1.5e8, 4e8)
    assert low < plan.download < high
    assert plan.unpacked > plan.download
    bare = without(plan.requirements, CUDA)
    assert (len(bare) < len(plan.requirements)) == system.startswith("linux")


def test_plan_without_cuda() -> None:
    machine = Machine((3, 12, 0), "linux_x86_64", (2, 36))
    plan = worker_plan(Path("x"), PINNED, machine, without_cuda=True)
    assert plan.download < 4e8
    assert plan.without_cuda
    assert without(plan.requirements, CUDA) == plan.requirements
    assert plan.items[0].package == TORCH


def test_list_for_another_computer(place: Path) -> None:
    machine = Machine((3, 12, 0), "linux_x86_64", (2, 36))
    plan = worker_plan(Path("x"), PINNED, machine, without_cuda=True)
    assert "download.pytorch.org/whl/cpu" in plan.text.splitlines()[0]
    (place / "list.txt").write_text(plan.text)
    for other in (machine, Machine((3, 10, 0), "win_amd64")):
        found = read_lock(place / "list.txt", other)
        assert {each.name for each in found} == {each.name for each in plan.requirements}


def test_hashes_without_cuda_are_of_the_torch_that_is_pinned() -> None:
    machine = Machine((3, 12, 0), "linux_x86_64", (2, 36))
    usual, own = (
        {each.name: each for each in worker_plan(Path("x"), PINNED, machine, bare).requirements}
        for bare in (False, True)
    )
    told = json.loads(LIST.read_text(encoding="utf-8"))["worker"]["without_cuda"]
    assert own[TORCH].version == usual[TORCH].version == told["torch"]
    assert own[TORCH].hashes == PINNED.worker.torch_hashes
    assert len(set(own[TORCH].hashes)) >= 10
    assert not set(own[TORCH].hashes) & set(usual[TORCH].hashes)
    assert all(own[name] == usual[name] for name in own if name != TORCH)


def test_runtime_plan_names_file_and_folder(place: Path) -> None:
    machine = Machine((3, 12, 0), "win_amd64")
    plan = runtime_plan(place, PINNED, machine)
    assert plan.text.startswith("# python -m pip download ")
    (place / "lock.txt").write_text(plan.text)
    (only,) = read_lock(place / "lock.txt", machine)
    assert f"{only.name}-{only.version}-cp312-" in PINNED.runtime_for(machine).name
    assert only.hashes == (PINNED.runtime_for(machine).sha256,)
    assert plan.target == place / "cp312-win_amd64"
    assert plan.room > plan.download


@pytest.mark.parametrize(
    "machine",
    [
        Machine((3, 9, 0), "win_amd64"),
        Machine((3, 15, 0), "win_amd64"),
        Machine((3, 12, 0), "win_arm64"),
        Machine((3, 12, 0), "macosx_x86_64", (15, 0)),
        Machine((3, 12, 0), "macosx_arm64", (13, 0)),
    ],
    ids=str,
)
def test_there_is_no_pytorch(machine: Machine) -> None:
    with pytest.raises(DependencyError, match="PyTorch"):
        worker_plan(Path("x"), PINNED, machine)


@pytest.mark.parametrize(
    "text",
    ["torch>=2\n", "torch==2.13.0\n", "-e .\n", "torch==2 ; odd ~ 'x' --hash=sha256:" + "0" * 64],
)
def test_a_lock_that_leaves_something_open_is_refused(place: Path, text: str) -> None:
    path = place / "lock.txt"
    path.write_text(text)
    with pytest.raises(DependencyError, match="install Furrow again"):
        read_lock(path, here())


def test_lock_text_is_kept(place: Path) -> None:
    found = read_lock(LOCK, here())
    path = place / "lock.txt"
    path.write_text("".join(each.text() for each in found))
    assert read_lock(path, here()) == found
    assert digest(path) != digest(LOCK)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"onnxruntime": [{"file": "a.whl"}], "pip": {}, "worker": {}}']
)
def test_a_damaged_list_is_told(place: Path, text: str) -> None:
    path = place / "packages.json"
    path.write_text(text)
    with pytest.raises(DependencyError, match="install Furrow again"):
        read_packages(path)
