"""Pages of a package index (PEP 503, PEP 691): where a file of a known name is."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Dict, List, Optional, Tuple
from urllib.parse import unquote, urljoin, urlsplit

from ...core.errors import DependencyError

DEFAULT_INDEX = "https://pypi.org/simple"


def page_address(index: str, package: str) -> str:
    """Address of the page of a package.

    :param index: address of the index, with or without a slash at its end.
    """
    name = re.sub(r"[-_.]+", "-", package).lower()
    return f"{index.strip().rstrip('/')}/{name}/"


def file_address(page: str, address: str, name: str) -> str:
    """Address of a file that a page names.

    :param page: text of the page, JSON or HTML.
    :param address: where the page was read, as links may be relative to it.
    :param name: of the file.
    :raises DependencyError: the page does not name it.
    """
    found = _files_of_json(page) if page.lstrip().startswith("{") else _files_of_html(page)
    base, files = found
    if name not in files:
        raise DependencyError(_missing(name, address, bool(files)))
    link = urljoin(urljoin(address, base), files[name]).partition("#")[0]
    if urlsplit(link).scheme not in ("http", "https"):
        raise DependencyError(
            f"{_shown(address)} gives for {name} a link that is not of the web; check the address "
            "of the package index."
        )
    return link


def _missing(name: str, address: str, is_index: bool) -> str:
    if not is_index:
        return (
            f"{_shown(address)} is no page of a package index; check its address (the usual one "
            f"is {DEFAULT_INDEX})."
        )
    return (
        f"The package index has no {name} ({_shown(address)}); use another index, or put that "
        "file into a wheel folder."
    )


def _shown(address: str) -> str:
    """An address without the name and password that it may hold."""
    return re.sub(r"//[^/@]*@", "//", address)


def _files_of_json(page: str) -> Tuple[str, Dict[str, str]]:
    try:
        files = json.loads(page)["files"]
        return "", {str(each["filename"]): str(each["url"]) for each in files}
    except (ValueError, KeyError, TypeError):
        return "", {}


def _files_of_html(page: str) -> Tuple[str, Dict[str, str]]:
    reader = _Links()
    reader.feed(page)
    reader.close()
    return reader.base, {_file_name(link): link for link in reader.links}


def _file_name(link: str) -> str:
    return unquote(urlsplit(link).path).rpartition("/")[2]


class _Links(HTMLParser):
    """Collects the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.base = ""
        self.links: List[str] = []

    def handle_starttag(self, tag: str, attributes: List[Tuple[str, Optional[str]]]) -> None:
        """Called for each element."""
        link = dict(attributes).get("href")
        if tag == "a" and link:
            self.links.append(link)
        elif tag == "base" and link and not self.base:
            self.base = link
