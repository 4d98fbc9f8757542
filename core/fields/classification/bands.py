"""The bands that a classifier looks at: their names, their range, and which of them are colours.

The range of a band belongs to the classifier and not to the picture, so that a field's features do
not depend on what else a picture shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from ...errors import BandError, ModelError
from ...imagery.bands import role_of
from ...imagery.pictures import default_bands

_PERCENTILES = (1.0, 99.0)
_BYTE = (0.0, 255.0)


@dataclass(frozen=True)
class Bands:
    """Bands of a picture as a classifier knows them."""

    names: Tuple[str, ...]
    """Roles such as red or nir; band_1, band_2 ... where a picture does not name its bands."""
    numbers: Tuple[int, ...]
    """1-based, in the picture that it was trained on."""
    colour: Tuple[int, int, int]
    """0-based places in `names` of what is shown as red, green and blue."""
    low: Tuple[float, ...] = ()
    """Of each band: the value that counts as 0, else unknown."""
    high: Tuple[float, ...] = ()
    """Of each band: the value that counts as 1."""

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Bands with their range brought to 0..1; what lies outside stays outside.

        :param values: (b, ...) float.
        :returns: float32 of the same shape.
        """
        shape = (-1,) + (1,) * (values.ndim - 1)
        low = np.asarray(self.low, np.float32).reshape(shape)
        high = np.asarray(self.high, np.float32).reshape(shape)
        return (values - low) / (high - low)

    def coloured(self, values: np.ndarray) -> np.ndarray:
        """(3, ...) float32 0..1: red, green and blue of (b, ...) values, cut at their range."""
        return self.of_colour(values[list(self.colour)])

    def of_colour(self, values: np.ndarray) -> np.ndarray:
        """(3, ...) float32 0..1 of the values of the three bands that are colours."""
        shape = (3,) + (1,) * (values.ndim - 1)
        low, high = (
            np.array([limits[place] for place in self.colour], np.float32).reshape(shape)
            for limits in (self.low, self.high)
        )
        return np.clip((values - low) / (high - low), 0, 1)

    def in_picture(self, names: Sequence[str], where: str) -> Tuple[int, ...]:
        """1-based numbers of these bands in another picture: by name, else by number.

        :param names: the picture's band descriptions.
        :param where: its name, for the message.
        :raises BandError: it has too few bands, or lacks one of the names.
        """
        there = band_names(names)
        if _are_named(self.names) and _are_named(there):
            missing = [name for name in self.names if name not in there]
            if missing:
                raise BandError(
                    f"{where} has no band {', '.join(missing)}, which MODEL was trained with; "
                    "name its bands or choose an image with these bands."
                )
            return tuple(there.index(name) + 1 for name in self.names)
        if max(self.numbers) > len(names):
            raise BandError(
                f"{where} has {len(names)} band(s), but MODEL was trained with band "
                f"{max(self.numbers)}; choose an image with the same bands."
            )
        return self.numbers

    def as_json(self) -> Dict[str, Any]:
        """As words of JSON."""
        return {
            "names": list(self.names),
            "numbers": list(self.numbers),
            "colour": list(self.colour),
            "low": list(self.low),
            "high": list(self.high),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Bands:
        """:raises ModelError: it does not hold together."""
        names = tuple(str(name) for name in said["names"])
        numbers = tuple(int(number) for number in said["numbers"])
        colour = tuple(int(place) for place in said["colour"])
        low, high = (tuple(float(value) for value in said[key]) for key in ("low", "high"))
        sizes = {len(names), len(numbers), len(low), len(high)}
        fine = len(sizes) == 1 and len(colour) == 3 and min(numbers, default=0) > 0
        if not fine or not all(0 <= place < len(names) for place in colour):
            raise ModelError("MODEL: its model.json describes bands that do not hold together.")
        return cls(names, numbers, colour, low, high)


def bands_of(names: Sequence[str], colour: Sequence[int] = ()) -> Bands:
    """All bands of a picture.

    :param names: band descriptions; empty texts where there are none.
    :param colour: 1-based numbers of red, green and blue; empty: by name, else the first three.
    :raises BandError: it has no band of that number.
    """
    chosen = tuple(colour) or default_bands(names)
    if max(chosen) > len(names):
        raise BandError(
            f"RED, GREEN, BLUE: the image has {len(names)} band(s), not {max(chosen)}; choose "
            "other bands."
        )
    red, green, blue = (number - 1 for number in chosen)
    return Bands(band_names(names), tuple(range(1, len(names) + 1)), (red, green, blue))


def with_ranges(bands: Bands, sampled: np.ndarray, whole_bytes: bool) -> Bands:
    """The bands with the range that counts as 0..1.

    :param sampled: (b, n) values of pixels of fields; NaN where there is no data.
    :param whole_bytes: 8-bit pictures keep their own range.
    """
    if whole_bytes:
        low, high = (np.full(len(bands.names), value) for value in _BYTE)
    else:
        low, high = np.nanpercentile(sampled, _PERCENTILES, axis=1)
        high = np.where(high > low, high, low + 1)
    return Bands(
        bands.names, bands.numbers, bands.colour, tuple(low.tolist()), tuple(high.tolist())
    )


def band_names(names: Sequence[str]) -> Tuple[str, ...]:
    """A name for each band: its role, else band_1, band_2 ...; none twice."""
    found: List[str] = []
    for number, name in enumerate(names, start=1):
        role = role_of(name) if name else ""
        found.append(role if role and role not in found else f"band_{number}")
    return tuple(found)


def _are_named(names: Sequence[str]) -> bool:
    return not any(name == f"band_{number}" for number, name in enumerate(names, start=1))
