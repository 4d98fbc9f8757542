"""A package index of small wheels, made by hand and served on this computer."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import marshal
import urllib.request
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Dict, List, Mapping, Tuple

from furrow.core.downloads import Download
from furrow.core.monitor import Monitor
from furrow.models.dependencies.machine import Machine, here
from furrow.models.dependencies.obtaining import Network
from furrow.models.dependencies.packages import Packages, System, Wheel, WorkerNeeds
from furrow.tests.file_server import FileServer, Manner

PAGE = Manner(kind="text/html")


def wheel_bytes(package: str, version: str, tag: str, files: Mapping[str, bytes]) -> bytes:
    """A wheel with some files, complete enough for pip."""
    info = f"{package}-{version}.dist-info"
    named = f"Name: {package}\nVersion: {version}\n"
    about = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\n{named}".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    content = {**files, **about}
    record = "".join(
        f"{name},sha256={_urlsafe(data)},{len(data)}\n" for name, data in content.items()
    )
    content[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data)
    return stream.getvalue()


def _urlsafe(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


@lru_cache(maxsize=1)
def pip_wheel() -> Tuple[str, bytes]:
    """The pip of this Python, made a wheel again; compiled, as each new environment runs it."""
    pip = importlib.metadata.distribution("pip")
    files: Dict[str, bytes] = {}
    for path in pip.files or ():
        if path.parts[0] == "pip" and path.suffix != ".pyc":
            files[str(path)] = path.locate().read_bytes()
    for name, content in list(files.items()):
        if name.endswith(".py"):
            files[importlib.util.cache_from_source(name)] = _compiled(name, content)
    name = f"pip-{pip.version}-py3-none-any.whl"
    return name, wheel_bytes("pip", pip.version, "py3-none-any", files)


def _compiled(name: str, content: bytes) -> bytes:
    """Bytes of a .pyc that is never compared with its source."""
    code = compile(content, name, "exec", dont_inherit=True)
    unchecked = (0b01).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + unchecked + bytes(8) + marshal.dumps(code)


def runtime_tag(machine: Machine) -> str:
    """Tag of a wheel that is made for a machine."""
    systems = {
        "linux": f"manylinux_2_5_{machine.hardware}",
        "macosx": f"macosx_10_9_{machine.hardware}",
    }
    python = machine.python_tag
    return f"{python}-{python}-{systems.get(machine.kind, machine.system)}"


def pinned_wheel(name: str, content: bytes) -> Wheel:
    """As it would stand in packages.json."""
    return Wheel(name, len(content), 3 * len(content), hashlib.sha256(content).hexdigest())


class SmallIndex:
    """Wheels, the pages that name them, and the list of packages that asks for them."""

    def __init__(self, server: FileServer) -> None:
        self.server = server
        self.address = f"{server.address}/simple"
        self.wheels: Dict[str, bytes] = {}
        self.lock_lines: List[str] = []
        self.runtime: Tuple[Wheel, ...] = ()
        self.pip = Wheel("pip-1-py3-none-any.whl", 1, 1, "")
        self.torch_hashes: Tuple[str, ...] = ("0" * 64,)

    def put(self, name: str, content: bytes, *manners: Manner, as_json: bool = False) -> str:
        """Offer a wheel; the address of its file."""
        self.wheels[name] = content
        address = self.server.put(f"files/{name}", content, *manners)
        package = name.split("-")[0].replace("_", "-")
        names = [each for each in self.wheels if each.split("-")[0] == name.split("-")[0]]
        page = _json_page(names) if as_json else _html_page(names)
        self.server.put(f"simple/{package}/", page.encode(), PAGE)
        return address

    def put_package(self, package: str, version: str = "1.0", code: str = "") -> None:
        """Offer a small package, and ask for it in the lock file."""
        name = f"{package}-{version}-py3-none-any.whl"
        files = {f"{package}/__init__.py": (code or f"VERSION = {version!r}\n").encode()}
        content = wheel_bytes(package, version, "py3-none-any", files)
        self.put(name, content)
        digits = hashlib.sha256(content).hexdigest()
        self.lock_lines.append(
            f"{package.replace('_', '-')}=={version} \\\n    --hash=sha256:{digits}\n"
        )

    def put_pip(self) -> None:
        """Offer pip itself."""
        name, content = pip_wheel()
        self.put(name, content)
        self.pip = pinned_wheel(name, content)

    def put_runtime(self, version: str = "9.9.9", code: str = "", as_json: bool = False) -> Wheel:
        """Offer something that is called onnxruntime."""
        tag = runtime_tag(here())
        code = code or f"__version__ = {version!r}\nKIND = 'small'\n"
        files = {"onnxruntime/__init__.py": code.encode(), "onnxruntime/data.bin": bytes(5000)}
        content = wheel_bytes("onnxruntime", version, tag, files)
        name = f"onnxruntime-{version}-{tag}.whl"
        self.put(name, content, as_json=as_json)
        self.runtime = (pinned_wheel(name, content),)
        return self.runtime[0]

    def pinned(self, room: int = 10**6) -> Packages:
        """A list that asks for what is offered here."""
        system = System((0, 0), room, {"alpha": 1000})
        bare = System((0, 0), room, {})
        needs = WorkerNeeds((3, 9), (3, 99), {here().system: system}, bare, self.torch_hashes)
        return Packages(self.runtime, self.pip, needs)

    def write_lock(self, folder: Path) -> Path:
        """The lock file of all small packages."""
        path = folder / "lock.txt"
        path.write_text("# small\n" + "".join(self.lock_lines), encoding="utf-8")
        return path

    def save_wheels(self, folder: Path) -> Path:
        """A wheel folder with all that is offered."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.wheels.items():
            (folder / name).write_bytes(content)
        return folder


def _html_page(names: List[str]) -> str:
    links = "".join(f'<a href="../../files/{name}#sha256=0">{name}</a><br/>\n' for name in names)
    return f"<!DOCTYPE html><html><body><h1>Links</h1>\n{links}</body></html>"


def _json_page(names: List[str]) -> str:
    files = [{"filename": name, "url": f"../../files/{name}", "hashes": {}} for name in names]
    return json.dumps({"meta": {"api-version": "1.1"}, "name": "x", "files": files})


def plain_network() -> Network:
    """Without QGIS: for tests of what is done with what arrives."""

    def fetch(download: Download, monitor: Monitor) -> Path:
        monitor.check()
        download.target.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(download.url, timeout=20) as answer:
            download.target.write_bytes(answer.read())
        return download.target

    def read(address: str, monitor: Monitor) -> str:
        with urllib.request.urlopen(address, timeout=20) as answer:
            return answer.read().decode()

    return Network(read, fetch)
