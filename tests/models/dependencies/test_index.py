"""Pages of package indexes, as they are in the world."""

from __future__ import annotations

import json

import pytest

from furrow.core.errors import DependencyError
from furrow.models.dependencies.index import file_address, page_address

NAME = "onnxruntime-1.31.1-cp312-cp312-manylinux_2_28_x86_64.whl"
ADDRESS = "https://pypi.org/simple/onnxruntime/"
FILE = f"https://files.pythonhosted.org/packages/a1/b2/{NAME}"


@pytest.mark.parametrize(
    ("index", "package", "expected"),
    [
        ("https://pypi.org/simple", "onnxruntime", ADDRESS),
        (" https://pypi.org/simple/ ", "Onnx_Runtime.x", "https://pypi.org/simple/onnx-runtime-x/"),
        ("http://me:pw@mirror:8080/a/b", "pip", "http://me:pw@mirror:8080/a/b/pip/"),
    ],
)
def test_page_address(index: str, package: str, expected: str) -> None:
    assert page_address(index, package) == expected


@pytest.mark.parametrize(
    "page",
    [
        f'<a href="{FILE}#sha256=00" data-requires-python="&gt;=3.8">{NAME}</a>',
        f'<html><a href="x/other.whl">other</a><A HREF="{FILE}">any text</A>',
        f'<a href="//files.pythonhosted.org/packages/a1/b2/{NAME}">',
        f'<base href="https://files.pythonhosted.org/packages/"><a href="a1/b2/{NAME}">',
        f"<a href='{FILE}'>not closed",
        json.dumps({"files": [{"filename": "x", "url": "y"}, {"filename": NAME, "url": FILE}]}),
        "\n " + json.dumps({"files": [{"filename": NAME, "url": FILE, "hashes": {}, "size": 3}]}),
    ],
)
def test_the_file_is_found(page: str) -> None:
    assert file_address(page, ADDRESS, NAME) == FILE


def test_relative_links() -> None:
    page = f'<a href="../../packages/{NAME.replace("_", "%5F")}#sha256=00">x</a>'
    found = file_address(page, "http://mirror/root/simple/onnxruntime/", NAME)
    assert found == "http://mirror/root/packages/" + NAME.replace("_", "%5F")


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ('<a href="a.whl">a</a>', "has no onnxruntime"),
        (json.dumps({"files": [{"filename": "a", "url": "a"}]}), "has no onnxruntime"),
        ("", "no page of a package index"),
        ("<html>Please log in</html>", "no page of a package index"),
        ("{not json", "no page of a package index"),
        (json.dumps({"files": [{"name": 1}]}), "no page of a package index"),
        (f'<a href="file:///etc/{NAME}">', "not of the web"),
        (f'<a href="javascript:/{NAME}">', "not of the web"),
    ],
)
def test_what_is_wrong_is_told(page: str, sentence: str) -> None:
    with pytest.raises(DependencyError, match=sentence):
        file_address(page, ADDRESS, NAME)


def test_a_password_is_not_told() -> None:
    with pytest.raises(DependencyError) as told:
        file_address("", "https://me:hidden@mirror/simple/x/", NAME)
    assert "hidden" not in str(told.value)
    assert "mirror" in str(told.value)
