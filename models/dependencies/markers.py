"""Markers of requirements (PEP 508): for which Python and system a line of a lock file holds.

    python_full_version < '3.11' and (sys_platform == 'linux' or platform_machine == 'x86_64')

QGIS' Python need not have pip or `packaging`, and what would be installed is shown before there is
an environment that has.
"""

from __future__ import annotations

import re
from typing import List, Mapping, Tuple

from ...core.errors import DependencyError

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'[^']*'|\"[^\"]*\")|(?P<sign>\(|\)|==|!=|<=|>=|<|>)"
    r"|(?P<word>[a-z_]+))"
)
_VERSIONS = ("python_version", "python_full_version", "implementation_version")
_COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")


def holds(marker: str, values: Mapping[str, str]) -> bool:
    """Whether a marker is true.

    :param marker: empty: always true.
    :param values: of the names in the marker.
    :raises DependencyError: it is none that can be read here.
    """
    if not marker.strip():
        return True
    reader = _Reader(_tokens(marker), values, marker)
    answer = reader.either()
    if reader.rest:
        raise reader.trouble()
    return answer


def _tokens(marker: str) -> List[str]:
    tokens, place = [], 0
    while marker[place:].strip():
        found = _TOKEN.match(marker, place)
        if found is None:
            raise _unreadable(marker)
        tokens.append(found[0].strip())
        place = found.end()
    return tokens


class _Reader:
    """Goes through the tokens of a marker from left to right."""

    def __init__(self, tokens: List[str], values: Mapping[str, str], marker: str) -> None:
        self.rest = tokens
        self._values = values
        self._marker = marker

    def trouble(self) -> DependencyError:
        return _unreadable(self._marker)

    def either(self) -> bool:
        """Terms joined by `or`."""
        answer = self._both()
        while self._take("or"):
            answer = self._both() or answer
        return answer

    def _both(self) -> bool:
        answer = self._term()
        while self._take("and"):
            answer = self._term() and answer
        return answer

    def _term(self) -> bool:
        if not self._take("("):
            return self._comparison()
        answer = self.either()
        if not self._take(")"):
            raise self.trouble()
        return answer

    def _comparison(self) -> bool:
        name, sign, wanted = self._next(), self._next(), self._next()
        quoted = len(wanted) >= 2 and wanted[0] in "'\"" and wanted[0] == wanted[-1]
        if name not in self._values or sign not in _COMPARISONS or not quoted:
            raise self.trouble()
        value, wanted = self._values[name], wanted[1:-1]
        if name in _VERSIONS:
            return _compare_versions(value, sign, wanted)
        if sign not in ("==", "!="):
            raise self.trouble()
        return (value == wanted) == (sign == "==")

    def _take(self, token: str) -> bool:
        if self.rest[:1] != [token]:
            return False
        del self.rest[0]
        return True

    def _next(self) -> str:
        if not self.rest:
            raise self.trouble()
        return self.rest.pop(0)


def _compare_versions(value: str, sign: str, wanted: str) -> bool:
    if wanted.endswith(".*"):
        stem = _numbers(wanted[:-2])
        return (_numbers(value)[: len(stem)] == stem) == (sign == "==")
    ours, theirs = _same_length(_numbers(value), _numbers(wanted))
    order = (ours > theirs) - (ours < theirs)
    return {
        "==": order == 0,
        "!=": order != 0,
        "<": order < 0,
        "<=": order <= 0,
        ">": order > 0,
        ">=": order >= 0,
    }[sign]


def _same_length(
    first: Tuple[int, ...], second: Tuple[int, ...]
) -> Tuple[Tuple[int, ...], Tuple[int, ...]]:
    size = max(len(first), len(second))
    return first + (0,) * (size - len(first)), second + (0,) * (size - len(second))


def _numbers(version: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _unreadable(marker: str) -> DependencyError:
    return DependencyError(
        f"The list of packages has a condition that cannot be read ({marker}); install Furrow "
        "again."
    )
