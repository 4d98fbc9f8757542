"""The loop of the worker process: it holds one network and answers frames until its input ends.

    request              answer
    (none)               hello: family, side, parameters, device, versions, memory, seconds
    encode: image        features: what they are, and the token that stands for them
    decode: token        answers; or unknown, then the same comes again with the features
    memory               memory
    bye                  bye, and the process ends

An answer carries the number of its request. What fails is answered by an error with one sentence;
its "what" is one of :mod:`.messages`, and the traceback goes to stderr.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import sys
import time
import traceback
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Callable, Dict, Mapping, NoReturn, Optional, Protocol, Sequence, Tuple

import numpy as np

from ...core.errors import FurrowError
from ...core.fields.segmenter import Prompts
from .framing import Frame, FramingError, Pipe, read_frame, write_frame
from .messages import FEATURE, MEMORY_FAULT, MODEL_FAULT, OTHER_FAULT, unpacked_prompts

TOKEN_BYTES = 16
_KEPT_IMAGES = 8
"""How many images' features wait for prompts."""
_LIBRARIES = ("torch", "transformers", "segment_anything", "sam2", "timm", "safetensors")
_LARGEST_HALF = float(np.finfo(np.float16).max)
_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    FurrowError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What libraries raise; anything else ends the process, and the client says so."""
_ROOM = "close other programs, choose a smaller model or another device"
_SHORTAGES = ("out of memory", "can't allocate memory", "not enough memory")


_Requests = SimpleQueue  # of Frames


class Network(Protocol):
    """What the server needs of a network; it encodes in one thread while it decodes in another."""

    family: str
    side: int
    """Of the square that it looks at, in pixels."""
    parameters: int
    device: str

    def encode(self, image: np.ndarray) -> Dict[str, np.ndarray]:
        """All that `decode_all` needs of an (H, W, 3) uint8 image."""

    def decode_all(
        self,
        features: Mapping[str, np.ndarray],
        shape: Tuple[int, int],
        prompts: Sequence[Prompts],
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Low-resolution logits (n, 4, h, w) and scores (n, 4): a single mask, then three.

        :param shape: H and W of the image.
        """


class Server:
    """A network, and the features of the last images."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._lock = Lock()
        self._kept: OrderedDict[str, Dict[str, np.ndarray]] = OrderedDict()
        """By token; the image that was used last is at the end."""

    def hello(self, seconds: float) -> Frame:
        """What is told of a network that is ready.

        :param seconds: that it took.
        """
        network = self._network
        about = {
            "kind": "hello",
            "family": network.family,
            "side": int(network.side),
            "parameters": int(network.parameters),
            "device": str(network.device),
            "versions": _versions(),
            "seconds": seconds,
        }
        return Frame({**about, **self._memory()})

    def answer(self, request: Frame) -> Frame:
        """The answer to a request; what fails is told in one too."""
        try:
            answer = self._answer(request)
        except _FAILURES as failure:
            answer = self._trouble(failure)
        return Frame({**answer.header, "request": request.header.get("request")}, answer.arrays)

    def _answer(self, request: Frame) -> Frame:
        kind = request.header.get("kind")
        if kind == "encode":
            return self._encode(request.arrays["image"])
        if kind == "decode":
            return self._decode(request)
        if kind == "memory":
            return Frame({"kind": "memory", **self._memory()})
        if kind == "bye":
            return Frame({"kind": "bye"})
        raise ValueError(f"There is no request of the kind {kind!r}.")

    def _encode(self, image: np.ndarray) -> Frame:
        found = self._network.encode(image)
        features = {name: _halved(np.asarray(values)) for name, values in found.items()}
        token = _token(features)
        self._keep(token, features)
        return Frame({"kind": "features", "token": token}, features)

    def _decode(self, request: Frame) -> Frame:
        token, arrays = request.header["token"], request.arrays
        sent = {
            name[len(FEATURE) :]: values
            for name, values in arrays.items()
            if name.startswith(FEATURE)
        }
        if sent:
            self._keep(token, sent)
        features = self._known(token)
        if features is None:
            return Frame({"kind": "unknown"})
        height, width = request.header["shape"]
        prompts = unpacked_prompts(arrays)
        logits, scores = self._network.decode_all(features, (height, width), prompts)
        answers = {"logits": logits, "scores": scores}
        return Frame(
            {"kind": "answers"},
            {name: np.asarray(values, np.float32) for name, values in answers.items()},
        )

    def _keep(self, token: str, features: Mapping[str, np.ndarray]) -> None:
        """Remember features as they come back from a client: an answer depends on nothing else."""
        kept = {
            name: values.astype(np.float32) if values.dtype == np.float16 else values
            for name, values in features.items()
        }
        with self._lock:
            self._kept[token] = kept
            self._kept.move_to_end(token)
            while len(self._kept) > _KEPT_IMAGES:
                self._kept.popitem(last=False)

    def _known(self, token: str) -> Optional[Dict[str, np.ndarray]]:
        with self._lock:
            if token in self._kept:
                self._kept.move_to_end(token)
            return self._kept.get(token)

    def _memory(self) -> Dict[str, Optional[int]]:
        """Bytes at most so far: of the process, and on a graphics card."""
        return {"memory": _process_bytes(), "device_memory": _device_bytes(self._network.device)}

    def _trouble(self, failure: BaseException) -> Frame:
        if _is_shortage(failure):
            with self._lock:
                self._kept.clear()
        return trouble(failure, f"the device {self._network.device}")


def serve(open_network: Callable[[], Network], inward: Pipe, outward: Pipe, began: float) -> None:
    """Open a network and answer what comes in until a "bye"; the process ends with its input.

    Images are encoded in a thread of their own, so that a click on one that is encoded already is
    answered meanwhile.

    :param open_network: may take minutes and raise what libraries raise.
    :param began: time.monotonic() when the process started.
    """
    images: _Requests = SimpleQueue()
    others: _Requests = SimpleQueue()
    Thread(target=_listen, args=(inward, images, others), daemon=True).start()
    try:
        server = Server(open_network())
    except _FAILURES as failure:
        write_frame(outward, trouble(failure, "this computer"))
        return
    writing = Lock()
    write_frame(outward, server.hello(time.monotonic() - began))
    Thread(target=_work, args=(server, images, outward, writing), daemon=True).start()
    _work(server, others, outward, writing)


def _work(server: Server, asked: _Requests, outward: Pipe, writing: Lock) -> None:
    """Answer requests until one is a "bye"; end the process then, or where an answer fails."""
    code = 1
    try:
        kind = ""
        while kind != "bye":
            answer = server.answer(asked.get())
            kind = answer.header["kind"]
            with writing:
                write_frame(outward, answer)
        code = 0
    finally:
        if code:
            with suppress(OSError):
                traceback.print_exc()
        _end(code)


def trouble(failure: BaseException, place: str) -> Frame:
    """The frame that tells of a failure; its traceback goes to stderr.

    :param place: whose memory it is.
    """
    traceback.print_exception(type(failure), failure, failure.__traceback__)
    if _is_shortage(failure):
        what, text = MEMORY_FAULT, f"MODEL: {place} has not enough memory for this model; {_ROOM}."
    elif isinstance(failure, FurrowError):
        what, text = MODEL_FAULT, str(failure)
    else:
        first = (str(failure).strip().splitlines() or [""])[0]
        what, text = OTHER_FAULT, f"{type(failure).__name__}: {first}"
    return Frame({"kind": "error", "what": what, "text": text})


def _listen(inward: Pipe, images: _Requests, others: _Requests) -> None:
    """Hand requests on; end the process with its input, also while it is encoding."""
    code = 0
    try:
        frame = read_frame(inward)
        while frame is not None:
            (images if frame.header.get("kind") == "encode" else others).put(frame)
            frame = read_frame(inward)
    except (FramingError, MemoryError, OSError) as error:
        code = 1
        print(f"Furrow's worker cannot go on: {error}", file=sys.stderr)
    _end(code)


def _end(code: int) -> NoReturn:
    """End the process at once: another thread may be in a library for minutes."""
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


def _halved(values: np.ndarray) -> np.ndarray:
    """float16 where that can hold the values."""
    fits = values.dtype.kind != "f" or np.abs(values).max(initial=0) <= _LARGEST_HALF
    return values.astype(np.float16) if values.dtype.kind == "f" and fits else values


def _token(features: Mapping[str, np.ndarray]) -> str:
    """Equal where features are: hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=TOKEN_BYTES)
    for name, values in features.items():
        digest.update(f"{name} {values.dtype.str} {values.shape} ".encode())
        digest.update(np.ascontiguousarray(values))
    return digest.hexdigest()


def _is_shortage(failure: BaseException) -> bool:
    text = str(failure).lower()
    return isinstance(failure, MemoryError) or any(words in text for words in _SHORTAGES)


def _versions() -> Dict[str, str]:
    """Of Python and of the libraries that were imported."""
    found = {name: getattr(sys.modules.get(name), "__version__", "") for name in _LIBRARIES}
    own = {"python": platform.python_version(), "numpy": np.__version__}
    return {**own, **{name: str(version) for name, version in found.items() if version}}


def _process_bytes() -> Optional[int]:
    """The most memory that this process has had; None where the system does not tell."""
    if sys.platform == "win32":
        # PROCESS_MEMORY_COUNTERS: its size and a count share the first 8 bytes, then the peak.
        counters = (ctypes.c_size_t * 9)()
        told = ctypes.windll.kernel32.K32GetProcessMemoryInfo(
            ctypes.c_void_p(-1), counters, ctypes.sizeof(counters)
        )
        return int(counters[1]) if told else None
    # On Linux ru_maxrss of a young process is that of the one it was forked from.
    with suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource  # not on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most) * (1 if sys.platform == "darwin" else 1024)


def _device_bytes(device: Any) -> Optional[int]:
    """The most memory that torch has had on a graphics card; None without one."""
    torch = sys.modules.get("torch")
    if torch is None or not str(device).startswith("cuda"):
        return None
    return int(torch.cuda.max_memory_allocated(device))
