"""Data classes as plain values that JSON holds, and back again: for other processes."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Tuple, Type, TypeVar, Union, get_args, get_origin, get_type_hints

Kind = TypeVar("Kind")


def to_plain(value: Any) -> Any:
    """A data class as dicts, lists, texts and numbers.

    :param value: made of data classes, tuples, enumerations, paths, texts, numbers and None.
    :raises TypeError: it holds something else.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name)) for item in fields(value)}
    raise TypeError(f"{type(value).__name__} is no plain data.")


def from_plain(kind: Type[Kind], plain: Any) -> Kind:
    """The data class that :func:`to_plain` was given.

    :raises TypeError, ValueError, KeyError: the values are not those of the class.
    """
    hints = get_type_hints(kind)
    return kind(**{item.name: _value(hints[item.name], plain[item.name]) for item in fields(kind)})


def _value(hint: Any, plain: Any) -> Any:
    kinds = get_args(hint)
    if get_origin(hint) is Union:
        wanted = [kind for kind in kinds if kind is not type(None)]
        return None if plain is None else _value(wanted[0], plain)
    if get_origin(hint) is tuple:
        return _items(kinds, plain)
    if is_dataclass(hint):
        return from_plain(hint, plain)
    return hint(plain)


def _items(kinds: Tuple[Any, ...], plain: Any) -> Tuple[Any, ...]:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_value(kinds[0], item) for item in plain)
    if len(kinds) != len(plain):
        raise ValueError(f"{len(plain)} values where there should be {len(kinds)}.")
    return tuple(_value(kind, item) for kind, item in zip(kinds, plain))
