"""Band roles: which band of an image is blue, green, red, near infrared, quality and so on."""

from __future__ import annotations

from typing import Dict, Mapping, Sequence

from ..errors import BandError

QUALITY = "qa"
"""Role of the scene classification (SCL) or another quality band with one code a pixel."""

_ALIASES: Mapping[str, str] = {
    "b02": "blue", "b2": "blue",
    "b03": "green", "b3": "green",
    "b04": "red", "b4": "red",
    "b05": "rededge1", "b5": "rededge1", "rededge": "rededge1",
    "b06": "rededge2", "b6": "rededge2",
    "b07": "rededge3", "b7": "rededge3",
    "b08": "nir", "b8": "nir",
    "b8a": "nir08", "b08a": "nir08",
    "b11": "swir16", "swir1": "swir16",
    "b12": "swir22", "swir2": "swir22",
    "scl": QUALITY, "quality": QUALITY,
}  # fmt: skip

REFLECTANCE = frozenset(
    ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
)
"""Roles that hold reflectance: scale and offset apply, 0 means no data."""


def role_of(name: str) -> str:
    """The role behind a band description such as B04, red or SCL; other names are kept."""
    key = "".join(c for c in name.strip().lower() if c.isalnum() or c == "_")
    return _ALIASES.get(key, key)


def roles_from_names(names: Sequence[str]) -> Dict[str, int]:
    """Roles and 1-based band numbers from band descriptions; the first of a role counts.

    The narrow near infrared (B8A) stands in where the wide one (B08) is absent.
    """
    roles: Dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if name:
            roles.setdefault(role_of(name), number)
    if "nir08" in roles:
        roles.setdefault("nir", roles["nir08"])
    return roles


def parse_bands(text: str) -> Dict[str, int]:
    """Read `blue=1,green=2,red=3,nir=4,qa=5` into roles and 1-based band numbers.

    :raises BandError: where the text is not of that form.
    """
    roles: Dict[str, int] = {}
    for part in filter(None, (piece.strip() for piece in text.replace(";", ",").split(","))):
        name, _, number = part.partition("=")
        if not name.strip() or not number.strip().isdecimal() or int(number) < 1:
            raise BandError(
                f"BANDS: cannot read '{part}'; write roles and band numbers like "
                "blue=1,green=2,red=3,nir=4,qa=5."
            )
        roles[role_of(name)] = int(number)
    return roles
