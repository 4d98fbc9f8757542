"""What pip writes when it fails, as one sentence that names the remedy."""

from __future__ import annotations

import re
from typing import Mapping, Sequence

_KNOWN: Mapping[str, str] = {
    r"DO NOT MATCH THE HASHES|Hashes are required|Expected sha256": (
        "a file is not the one that Furrow expects; the package index or the wheel folder has "
        "another file of the same name, or the download was damaged. Try again, or use another "
        "index"
    ),
    r"No space left|not enough space|ENOSPC|Disk quota exceeded": (
        "the disk is full; make room on it and try again"
    ),
    r"Missing dependencies for SOCKS": (
        "pip cannot use a SOCKS proxy; use an HTTP proxy, or a wheel folder"
    ),
    r"ProxyError|Cannot connect to proxy|Tunnel connection failed|407 Proxy": (
        "the proxy cannot be reached or refuses; check the proxy in QGIS' settings, Network"
    ),
    r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError": (
        "the server's certificate is not trusted here; install the certificate of your network "
        "in the operating system, or use a wheel folder"
    ),
    r"NewConnectionError|Failed to establish|Name or service not known|getaddrinfo failed"
    r"|Temporary failure in name resolution|Connection refused|NameResolutionError": (
        "the package index cannot be reached; check the network, the proxy in QGIS' settings and "
        "the address of the index, or use a wheel folder"
    ),
    r"Read timed out|ReadTimeoutError|ConnectTimeoutError|IncompleteRead|Connection broken": (
        "the connection broke off; try again, what has arrived is kept"
    ),
    r"401 (Client )?Error|403 (Client )?Error|Unauthorized|Forbidden": (
        "the package index refuses; check its address and your right to use it"
    ),
    r"WinError 206|filename or extension is too long|File name too long|LongPathsEnabled": (
        "a path is too long for Windows; allow long paths in Windows, or use a profile in a "
        "shorter folder"
    ),
    r"No matching distribution|Could not find a version": (
        "a package is missing in the package index or the wheel folder; put all files of the "
        "list there, or use another index"
    ),
    r"WinError 5|WinError 32|Access is denied|Permission denied|being used by another process": (
        "a file is in use or protected; close other QGIS windows, see that no virus scanner "
        "holds it, and try again"
    ),
    r"No module named (venv|ensurepip)|ensurepip is not available": (
        "this Python cannot make virtual environments; install its package venv (Debian and "
        "Ubuntu: python3-venv), or name another Python"
    ),
    r"DLL load failed|Visual C\+\+|vcruntime|msvcp": (
        "a library of Windows is missing; install the Microsoft Visual C++ Redistributable (x64)"
    ),
    r"MemoryError|Killed|Cannot allocate memory": (
        "the memory ran out; close other programs and try again"
    ),
}
"""From what tells most to what tells least: pip writes of the network wherever it gives up."""
_TROUBLE = re.compile(r"error|exception|failed|cannot|no such", re.IGNORECASE)
_LONGEST = 300


def explained(what: str, lines: Sequence[str]) -> str:
    """A sentence on why something failed.

    :param what: did, such as "Installing PyTorch failed".
    :param lines: the last ones that the program wrote.
    """
    text = "\n".join(lines)
    for pattern, remedy in _KNOWN.items():
        if re.search(pattern, text, re.IGNORECASE):
            return f"{what}: {remedy}."
    telling = next((line for line in reversed(lines) if _TROUBLE.search(line)), "")
    last = (telling or (lines[-1] if lines else "")).strip()[:_LONGEST]
    told = f" ({last})" if last else ""
    return f"{what}{told}; the lines above say more, and Copy diagnosis what is here."
