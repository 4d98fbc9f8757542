"""Spectral indices: the named ones and expressions of band roles such as (nir-red)/(nir+red).

Expressions are parsed into a tree that may hold numbers, band roles, + - * / ** and a few
functions; nothing else is accepted and nothing is executed as Python.
"""

from __future__ import annotations

import ast
import operator
from dataclasses import dataclass
from typing import Callable, FrozenSet, Mapping

import numpy as np

from ..errors import BandError
from .bands import role_of

NAMED: Mapping[str, str] = {
    "NDVI": "(nir - red) / (nir + red)",
    "EVI2": "2.5 * (nir - red) / (nir + 2.4 * red + 1)",
    "NDRE": "(nir - rededge1) / (nir + rededge1)",
    "GNDVI": "(nir - green) / (nir + green)",
}
"""NDVI: Rouse 1974. EVI2: Jiang 2008. NDRE: Barnes 2000. GNDVI: Gitelson 1996."""

_OPERATORS: Mapping[type, Callable[..., np.ndarray]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_FUNCTIONS: Mapping[str, np.ufunc] = {
    "sqrt": np.sqrt,
    "log": np.log,
    "log10": np.log10,
    "exp": np.exp,
    "abs": np.abs,
    "minimum": np.minimum,
    "maximum": np.maximum,
}
_LARGEST_NUMBER = float(np.finfo(np.float32).max)
_LARGEST = 10.0
"""Values beyond +-10 come from a denominator near zero and count as invalid."""


@dataclass(frozen=True)
class Index:
    """A parsed spectral index."""

    name: str
    """As the user wrote it: NDVI, or the expression."""
    roles: FrozenSet[str]
    """Band roles that it needs."""
    tree: ast.expr

    def __call__(self, bands: Mapping[str, np.ndarray]) -> np.ndarray:
        """Evaluate on reflectances of equal shape.

        :returns: float32 of that shape, NaN where a band is NaN or the value is not sensible.
        """
        with np.errstate(all="ignore"):
            values = np.asarray(_evaluate(self.tree, bands), dtype=np.float32)
            return np.where(np.abs(values) <= _LARGEST, values, np.float32(np.nan))


def parse_index(text: str) -> Index:
    """Parse the name of an index or an expression of band roles.

    :raises BandError: naming what cannot be read.
    """
    name = text.strip()
    expression = NAMED.get(name.upper(), name)
    try:
        tree = ast.parse(expression, mode="eval").body
        roles = _roles(tree, name)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # also NUL, too deep
        raise BandError(_unreadable(name)) from error
    if not roles:
        raise BandError(f"INDEX: '{name}' names no band; {_HINT}")
    return Index(name.upper() if name.upper() in NAMED else name, roles, tree)


_LONGEST_SHOWN = 80
_HINT = (
    "use one of " + ", ".join(NAMED) + " or an expression of band roles such as "
    "(nir-red)/(nir+red)."
)


def _unreadable(name: str) -> str:
    shown = name if len(name) <= _LONGEST_SHOWN else name[:_LONGEST_SHOWN] + "..."
    return f"INDEX: cannot read '{shown}'; {_HINT}"


def _roles(node: ast.AST, name: str) -> FrozenSet[str]:
    """Band roles below a node; refuses anything but arithmetic."""
    if isinstance(node, ast.Name):
        return frozenset((role_of(node.id),))
    if isinstance(node, ast.Constant) and _is_number(node.value):
        return frozenset()
    if isinstance(node, (ast.BinOp, ast.UnaryOp)) and type(node.op) in _OPERATORS:
        children = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]
    elif _is_function(node):
        children = node.args
    else:
        raise BandError(_unreadable(name))
    return frozenset().union(*(_roles(child, name) for child in children))


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(value) <= _LARGEST_NUMBER


def _is_function(node: ast.AST) -> bool:
    """A known function with as many arguments as it takes; one more would be overwritten."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _FUNCTIONS
        and not node.keywords
        and len(node.args) == _FUNCTIONS[node.func.id].nin
    )


def _evaluate(node: ast.AST, bands: Mapping[str, np.ndarray]) -> np.ndarray:
    if isinstance(node, ast.Name):
        return bands[role_of(node.id)]
    if isinstance(node, ast.Constant):
        return np.float32(node.value)
    if isinstance(node, ast.UnaryOp):
        return _OPERATORS[type(node.op)](_evaluate(node.operand, bands))
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(node.left, bands), _evaluate(node.right, bands)
        return _OPERATORS[type(node.op)](left, right)
    return _FUNCTIONS[node.func.id](*(_evaluate(arg, bands) for arg in node.args))
