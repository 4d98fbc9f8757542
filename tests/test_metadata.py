"""What plugins.qgis.org refuses is found here first: metadata and the zip's structure."""

from __future__ import annotations

import configparser
import io
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest

MANDATORY = (
    "name", "description", "version", "qgisMinimumVersion", "author", "email", "about",
    "tracker", "repository", "homepage",
)  # fmt: skip
MAX_BYTES = 25 * 1024 * 1024
NOT_SHIPPED = {"tests", "bench", "demo", "docs", ".ci", "Makefile", "pyproject.toml", ".gitignore"}
BAD_NAMES = re.compile(r"__pycache__|\.pyc$|/\.git/|__MACOSX|\\|\.\.|:")
BINARIES = {".exe", ".dll", ".so", ".dylib", ".bat", ".sh", ".cmd", ".ps1"}


@pytest.fixture(scope="module")
def metadata(root: Path) -> configparser.SectionProxy:
    parser = configparser.ConfigParser()
    parser.optionxform = str
    parser.read_string((root / "metadata.txt").read_text(encoding="utf-8"))
    return parser["general"]


def git(root: Path, *arguments: str, **environment: str) -> bytes:
    return subprocess.run(
        ["git", "-C", str(root), *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def package(root: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The zip that `make package` would write if all that is here now were committed."""
    if shutil.which("git") is None or not (root / ".git").exists():
        pytest.skip("not a git checkout: the zip is made by git archive")
    # Index and objects of its own: the checkout's stay as they are.
    work = tmp_path_factory.mktemp("package")
    objects = git(root, "rev-parse", "--path-format=absolute", "--git-path", "objects")
    own = {
        "GIT_INDEX_FILE": str(work / "index"),
        "GIT_OBJECT_DIRECTORY": str(work),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.fsdecode(objects).strip(),
    }
    git(root, "add", "--all", ".", **own)
    tree = git(root, "write-tree", **own).decode().strip()
    content = git(root, "archive", "--format=zip", "--prefix=furrow/", tree, **own)
    return zipfile.ZipFile(io.BytesIO(content))


@pytest.mark.parametrize("key", MANDATORY)
def test_mandatory_key(metadata: configparser.SectionProxy, key: str) -> None:
    assert metadata.get(key, "").strip()


def test_versions(metadata: configparser.SectionProxy) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", metadata["version"])
    assert metadata["qgisMinimumVersion"] == "3.22"
    assert metadata["qgisMaximumVersion"] == "4.99"
    assert "supportsQt6" not in metadata


def test_what_qgis_needs_to_know(metadata: configparser.SectionProxy, root: Path) -> None:
    assert metadata["hasProcessingProvider"] == "yes"
    assert (root / metadata["icon"]).is_file()


def test_what_reviewers_look_at(metadata: configparser.SectionProxy) -> None:
    assert "plugin" not in metadata["name"].lower()
    assert "/" not in metadata["author"]
    assert "Nothing has to be installed" in metadata["about"], "what it needs is stated"
    assert "onnxruntime is present (optional)" in metadata["about"], "and what it can use"
    for key in ("homepage", "tracker", "repository"):
        assert metadata[key].startswith("https://")


def test_icons_are_listed_and_drawn(root: Path) -> None:
    listed = {node.text for node in ElementTree.parse(root / "resources.qrc").iter("file")}
    present = {f"icons/{path.name}" for path in (root / "icons").glob("*.svg")}
    assert listed == present
    for name in present:
        assert ElementTree.parse(root / name).getroot().get("viewBox") == "0 0 24 24"


def test_zip_holds_one_folder_with_what_is_required(package: zipfile.ZipFile) -> None:
    names = set(package.namelist())
    assert {name.split("/")[0] for name in names} == {"furrow"}
    assert {f"furrow/{n}" for n in ("__init__.py", "metadata.txt", "LICENSE", "plugin.py")} <= names


def test_zip_holds_the_field_model(package: zipfile.ZipFile) -> None:
    folder = "furrow/models/weights"
    files = {f"{folder}/furrow-field-{part}.onnx" for part in ("encoder", "decoder")}
    assert files <= set(package.namelist())


def test_zip_leaves_out_what_is_for_developers(package: zipfile.ZipFile) -> None:
    inner = {Path(name).parts[1] for name in package.namelist() if len(Path(name).parts) > 1}
    assert inner & NOT_SHIPPED == set()


def test_zip_names_are_accepted(package: zipfile.ZipFile) -> None:
    names = package.namelist()
    assert [name for name in names if BAD_NAMES.search(name)] == []
    assert [name for name in names if Path(name).suffix.lower() in BINARIES] == []


def test_zip_has_no_executable_files(package: zipfile.ZipFile) -> None:
    modes = {info.filename: info.external_attr >> 16 for info in package.infolist()}
    assert [n for n, mode in modes.items() if mode & 0o111 and not n.endswith("/")] == []


def test_zip_size(package: zipfile.ZipFile) -> None:
    assert sum(info.compress_size for info in package.infolist()) < MAX_BYTES
