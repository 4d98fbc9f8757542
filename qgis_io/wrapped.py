"""Objects of Qt that live in other threads than the main one, as PyQt shows them."""

from __future__ import annotations

from typing import Callable, Generic, TypeVar

from qgis.PyQt import sip

Wrapped = TypeVar("Wrapped")
Result = TypeVar("Result")


class Living(Generic[Wrapped]):
    """An object that Qt has made and that is there, also where PyQt says it was deleted.

    That an object of another thread was destroyed, PyQt hears in the main thread, when that comes
    to it, and by the address alone. Whatever has been made at that address by then, it takes for
    deleted from then on. (Seen with PyQt 5.15, a few times in a hundred downloads one after the
    other while the main thread is busy.)
    """

    def __init__(self, find: Callable[[], Wrapped]) -> None:
        """:param find: the object, from something else than what PyQt has shown of it."""
        self._find = find
        self._shown = find()

    def __call__(self, use: Callable[[Wrapped], Result]) -> Result:
        """Use it; what takes several steps may be cut short and done again."""
        while True:
            try:
                return use(self._shown)
            except RuntimeError:
                if not sip.isdeleted(self._shown):
                    raise
                self._shown = self._find()
