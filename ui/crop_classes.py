"""The crop classes that a user labels fields with, as the project keeps them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any, Iterable, List, Optional, Tuple

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsProject,
    QgsRendererCategory,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QObject, pyqtSignal

from ..core.errors import ParameterError
from ..core.palette import PALETTE
from ..qgis_io.compat import is_null
from ..qgis_io.texts import tr

SCOPE = "furrow"
KEY = "classes"
KEYS = range(1, 10)
"""The keys that choose a class while fields are clicked."""
MAX_CODE = 2**63 - 1
"""What a column of whole numbers can hold."""
_COLOUR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class CropClass:
    """One class of fields."""

    name: str
    """Unique among the classes; written into the class column."""
    code: Optional[int]
    """Written into the code column; None leaves it empty."""
    colour: str
    """#rrggbb, lower case."""
    shortcut: Optional[int]
    """The key 1 to 9 that chooses the class; no two classes share one."""


class CropClasses(QObject):
    """The classes in their order; there is always at least one."""

    changed = pyqtSignal()
    """Anything about the list is another than before."""

    def __init__(self, parent: Optional[QObject] = None) -> None:
        super().__init__(parent)
        self._classes = [_first_class()]

    def all(self) -> List[CropClass]:
        """The classes in their order."""
        return list(self._classes)

    def by_name(self, name: str) -> Optional[CropClass]:
        """The class of that name, None where there is none."""
        return next((each for each in self._classes if each.name == name), None)

    def by_shortcut(self, key: int) -> Optional[CropClass]:
        """The class that the key 1 to 9 chooses, None where there is none."""
        return next((each for each in self._classes if each.shortcut == key), None)

    def add(
        self, name: str = "", code: Optional[int] = None, colour: Optional[str] = None
    ) -> CropClass:
        """Append a class; what is left out becomes a name, a colour and a key that are free.

        :raises ParameterError: the name is taken, or a value cannot be used.
        """
        given = CropClass(
            name or _free_name(self._classes),
            code,
            colour or _free_colour(self._classes),
            _free_key(self._classes),
        )
        new = _checked(given, self._classes)
        self._set([*self._classes, new])
        return new

    def replace(self, old: CropClass, new: CropClass) -> CropClass:
        """Put `new` in the place of `old`; a class that had the key of `new` loses it.

        :return: the class as it is kept, its name without spaces around it.
        :raises ParameterError: the name is empty or taken, or a value cannot be used.
        """
        place = self._place(old)
        others = [each for each in self._classes if each != old]
        new = _checked(new, others)
        classes = [_without_key(each, new.shortcut) for each in self._classes]
        classes[place] = new
        self._set(classes)
        return new

    def remove(self, each: CropClass) -> None:
        """Take a class away.

        :raises ParameterError: it is not in the list, or it is the last one.
        """
        place = self._place(each)
        if len(self._classes) == 1:
            raise ParameterError(tr("The last class cannot be removed; rename it instead."))
        self._set([*self._classes[:place], *self._classes[place + 1 :]])

    def move(self, each: CropClass, step: int) -> None:
        """Move a class down by `step` places, up where that is negative, as far as the ends.

        :raises ParameterError: it is not in the list.
        """
        place = self._place(each)
        others = [*self._classes[:place], *self._classes[place + 1 :]]
        others.insert(min(max(place + step, 0), len(others)), each)
        self._set(others)

    def import_from(self, layer: QgsVectorLayer) -> int:
        """Take over the categories of a layer; classes of the same name get their colour and code.

        A category of numbers gives its value as the code and its label as the name; one of texts
        gives its value as the name, because that is what the class column holds.

        :return: how many classes came or were updated.
        :raises ParameterError: the layer is not shown by categories.
        """
        renderer = layer.renderer()
        if not isinstance(renderer, QgsCategorizedSymbolRenderer):
            raise ParameterError(
                tr("The layer {name} has no categories; choose one that is styled by category.")
                .format(name=layer.name())
            )  # fmt: skip
        found = [entry for entry in map(_from_category, renderer.categories()) if entry]
        classes = self.all()
        for name, code, colour in found:
            _merge(classes, name, code, colour)
        self._set(classes)
        return len({name for name, _, _ in found})

    def load(self, project: QgsProject) -> None:
        """Read the classes of a project; what cannot be read is left out without a word."""
        text, _ = project.readEntry(SCOPE, KEY, "")
        self._set(_from_json(text) or [_first_class()])

    def save(self, project: QgsProject) -> None:
        """Write the classes into a project."""
        entries = [
            {"name": e.name, "code": e.code, "colour": e.colour, "shortcut": e.shortcut}
            for e in self._classes
        ]
        project.writeEntry(SCOPE, KEY, json.dumps(entries, ensure_ascii=False))

    def _place(self, each: CropClass) -> int:
        if each not in self._classes:
            raise ParameterError(
                tr("There is no class {name} any more; choose one in the list.")
                .format(name=each.name)
            )  # fmt: skip
        return self._classes.index(each)

    def _set(self, classes: List[CropClass]) -> None:
        if classes != self._classes:
            self._classes = classes
            self.changed.emit()


def _first_class() -> CropClass:
    return CropClass(tr("field"), None, PALETTE[0], KEYS[0])


def _checked(each: CropClass, others: Iterable[CropClass]) -> CropClass:
    """The class with a tidy name and colour, if it can stand beside the others."""
    name = _tidy(each.name)
    if not name:
        raise ParameterError(tr("A class needs a name; type one."))
    if any(other.name == name for other in others):
        raise ParameterError(
            tr("There is a class {name} already; choose another name.").format(name=name)
        )
    code, colour, key = _code(each.code), _colour(each.colour), _key(each.shortcut)
    if code != each.code:
        raise ParameterError(
            tr("The code of class {name} must be a whole number or empty.").format(name=name)
        )
    if colour is None:
        raise ParameterError(
            tr("The colour of class {name} must look like #0072b2.").format(name=name)
        )
    if key != each.shortcut:
        raise ParameterError(
            tr("The key of class {name} must be a number from 1 to 9 or empty.").format(name=name)
        )
    return CropClass(name, code, colour, key)


def _without_key(each: CropClass, key: Optional[int]) -> CropClass:
    taken = key is not None and each.shortcut == key
    return replace(each, shortcut=None) if taken else each


def _merge(classes: List[CropClass], name: str, code: Optional[int], colour: str) -> None:
    """Update the class of that name, or append one."""
    for place, each in enumerate(classes):
        if each.name == name:
            kept = each.code if code is None else code
            classes[place] = replace(each, code=kept, colour=colour)
            return
    classes.append(CropClass(name, code, colour, _free_key(classes)))


def _from_category(category: QgsRendererCategory) -> Optional[Tuple[str, Optional[int], str]]:
    """Name, code and colour; None for the category of all other values."""
    value, label = category.value(), _tidy(category.label())
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if is_null(value) or value == "" or category.symbol() is None:
        return None
    code = _code(value)
    plain = isinstance(value, str)
    name = _tidy(value) if plain else label or _tidy(str(value))
    return (name, code, category.symbol().color().name()) if name else None


def _from_json(text: str) -> List[CropClass]:
    """The classes in a text of :meth:`CropClasses.save`; a text from elsewhere may give none."""
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        return []
    classes: List[CropClass] = []
    for entry in entries if isinstance(entries, list) else []:
        name = _tidy(entry.get("name")) if isinstance(entry, dict) else ""
        if name and all(each.name != name for each in classes):
            classes.append(_from_entry(name, entry, classes))
    return classes


def _from_entry(name: str, entry: dict, others: List[CropClass]) -> CropClass:
    key = _key(entry.get("shortcut"))
    free = all(other.shortcut != key for other in others)
    colour = _colour(entry.get("colour")) or _free_colour(others)
    return CropClass(name, _code(entry.get("code")), colour, key if free else None)


def _tidy(name: Any) -> str:
    """A name on one line without spaces around it; empty for what is no text."""
    return " ".join(name.split()) if isinstance(name, str) else ""


def _whole(value: Any) -> Optional[int]:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _code(value: Any) -> Optional[int]:
    code = _whole(value)
    return code if code is not None and abs(code) <= MAX_CODE else None


def _key(value: Any) -> Optional[int]:
    key = _whole(value)
    return key if key in KEYS else None


def _colour(value: Any) -> Optional[str]:
    text = value.lower() if isinstance(value, str) else ""
    return text if _COLOUR.fullmatch(text) else None


def _free_name(classes: List[CropClass]) -> str:
    taken = {each.name for each in classes}
    numbers = range(len(classes) + 1, 2 * len(classes) + 2)
    names = (tr("class {number}").format(number=number) for number in numbers)
    return next(name for name in names if name not in taken)


def _free_colour(classes: List[CropClass]) -> str:
    return _first_free(PALETTE, [each.colour for each in classes]) or PALETTE[
        len(classes) % len(PALETTE)
    ]


def _free_key(classes: List[CropClass]) -> Optional[int]:
    return _first_free(KEYS, [each.shortcut for each in classes])


def _first_free(values: Iterable[Any], taken: List[Any]) -> Any:
    return next((value for value in values if value not in taken), None)
