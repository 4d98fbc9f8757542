"""Conditions of requirements, compared with what pip itself says."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pip._vendor.packaging.markers import Marker

from furrow.core.errors import DependencyError
from furrow.models.dependencies.machine import Machine
from furrow.models.dependencies.markers import holds
from furrow.models.dependencies.packages import LOCK

MACHINES = [
    Machine((3, 10, 4), "win_amd64"),
    Machine((3, 11, 0), "linux_x86_64", (2, 36)),
    Machine((3, 12, 13), "macosx_arm64", (14, 0)),
    Machine((3, 14, 1), "linux_aarch64", (2, 28)),
]
VERSIONS = st.sampled_from(["3.9", "3.10", "3.11", "3.11.0", "3.12", "3.15", "3"])
TERMS = st.one_of(
    st.builds(
        "{} {} '{}'".format,
        st.sampled_from(["python_version", "python_full_version"]),
        st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
        VERSIONS,
    ),
    st.builds("python_full_version == '{}.*'".format, st.sampled_from(["3.11", "3.1", "3"])),
    st.builds(
        "{} {} '{}'".format,
        st.sampled_from(["sys_platform", "platform_machine", "os_name", "platform_system"]),
        st.sampled_from(["==", "!="]),
        st.sampled_from(["win32", "linux", "darwin", "x86_64", "AMD64", "arm64", "nt", "Windows"]),
    ),
)
MARKERS = st.recursive(
    TERMS,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner)
        | st.builds("{} {} {}".format, inner, st.sampled_from(["and", "or"]), inner)
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(MARKERS, st.sampled_from(MACHINES))
def test_as_pip_does(marker: str, machine: Machine) -> None:
    values = dict(machine.marker_values())
    assert holds(marker, values) == Marker(marker).evaluate(values)


@pytest.mark.parametrize("machine", MACHINES, ids=str)
def test_markers_of_the_lock_file(machine: Machine) -> None:
    markers = set(re.findall(r"^[a-z].*? ; (.*?) \\$", LOCK.read_text(), re.M))
    values = dict(machine.marker_values())
    assert len(markers) > 5
    assert {each: holds(each, values) for each in markers} == {
        each: Marker(each).evaluate(values) for each in markers
    }


def test_none_is_true() -> None:
    assert holds("", {})


@pytest.mark.parametrize(
    "marker",
    ["python_version", "python_version <", "(os_name == 'nt'", "os_name == 'nt')", "os_name",
     "odd == 'x'", "os_name == nt", "os_name < 'nt'", "os_name == 'nt' or", "os_name == 'nt' 'x'",
     "os_name in 'nt'", "; os_name == 'nt'"],
)  # fmt: skip
def test_what_cannot_be_read(marker: str) -> None:
    with pytest.raises(DependencyError, match="cannot be read"):
        holds(marker, dict(MACHINES[0].marker_values()))
