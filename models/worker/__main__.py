"""Commands for checkpoints: `python -m furrow.models.worker export CHECKPOINT FOLDER`.

They need the environment of the heavy tools, which has torch.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import Any, Optional, Sequence

from ...core.errors import FurrowError
from ...core.monitor import Monitor

_DONE, _FAILED, _STOPPED = 0, 1, 130
"""How the process ends; 2 where the arguments are wrong."""
_PRECISIONS = ("float32", "float16", "int8")
_EXPORT = """\
Turns a checkpoint of Segment Anything (ViT-B, ViT-L, ViT-H), MobileSAM or Segment Anything 2 and
2.1 into an encoder and a decoder in ONNX files, which Furrow runs without torch. The files are
tried and compared with the checkpoint before FOLDER appears. Put FOLDER into Furrow's folder of
models, or choose it as MODEL_FILE."""
_SUPER_RESOLUTION = """\
Turns a checkpoint of CARN-M or RFDN into an ONNX file that enlarges pictures without torch, for
SUPER_RESOLUTION of "Delineate all fields". The file is tried and compared with the checkpoint
before it appears."""
_ENDS = "Ends with 0, or with 1 and one line on stderr; nothing is left then. Wrong arguments: 2."


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Do what the arguments ask for.

    :return: 0, or 1 after an error, which is told in one line on stderr, or 130 where the user
        has stopped it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # consoles that lack letters of a path
    given = _parser().parse_args(arguments)
    try:
        given.work(given)
    except FurrowError as error:
        return _ended(_FAILED, str(error))
    except ImportError as error:
        package = error.name or str(error)
        return _ended(
            _FAILED,
            f"The Python package {package} does not load here; use the Python of the environment "
            "that Models of Furrow > Packages installs.",
        )
    except KeyboardInterrupt:
        return _ended(_STOPPED, "Stopped; nothing was written.")
    return _DONE


def _ended(code: int, sentence: str) -> int:
    print(" ".join(sentence.split()), file=sys.stderr)
    return code


def _export(given: argparse.Namespace) -> None:
    from .export import Wanted, export
    from .onnx_files import Precision

    wanted = Wanted(Precision(given.precision), given.title, given.replace, given.force)
    monitor = Monitor(message=lambda line: print(line, flush=True))
    entry = export(given.checkpoint, given.folder, wanted, monitor)
    print(f"{entry.title} is in {given.folder}, {entry.bytes / 1e6:.1f} MB", flush=True)


def _export_super_resolution(given: argparse.Namespace) -> None:
    from .onnx_files import Precision
    from .super_resolution_export import WantedFile, export_super_resolution

    wanted = WantedFile(given.factor, Precision(given.precision), given.replace)
    monitor = Monitor(message=lambda line: print(line, flush=True))
    made = export_super_resolution(given.checkpoint, given.file, wanted, monitor)
    size = given.file.stat().st_size
    print(f"{made.architecture}, {made.factor} times, is in {given.file}, {size / 1e6:.1f} MB",
          flush=True)  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m furrow.models.worker")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    export = commands.add_parser(
        "export", help="turn a checkpoint into ONNX files", description=_EXPORT, epilog=_ENDS
    )
    export.add_argument("checkpoint", type=Path, help="a .pth, .pt or .safetensors file")
    export.add_argument(
        "folder", type=Path, help="of the new model, for example own-sam-vit-b; must not exist"
    )
    export.add_argument(
        "--precision", choices=_PRECISIONS, default=_PRECISIONS[0],
        help="of the weights: float16 halves the files, int8 also makes the encoder faster",
    )  # fmt: skip
    export.add_argument("--title", default="", help="what Furrow calls the model")
    export.add_argument("--replace", action="store_true", help="replace an export in FOLDER")
    export.add_argument(
        "--force", action="store_true", help="keep files that answer unlike the checkpoint"
    )
    export.set_defaults(work=_export)
    _add_super_resolution(commands)
    return parser


def _add_super_resolution(commands: Any) -> None:
    """:param commands: what argparse adds commands to."""
    export = commands.add_parser(
        "export-super-resolution", description=_SUPER_RESOLUTION, epilog=_ENDS,
        help="turn a checkpoint that enlarges pictures into an ONNX file",
    )  # fmt: skip
    export.add_argument("checkpoint", type=Path, help="a .pth, .pt or .safetensors file")
    export.add_argument("file", type=Path, help="to be made, for example carn-m-x2.onnx")
    export.add_argument(
        "--factor", type=int, choices=(2, 3, 4),
        help="how many times the sides become longer; without: the most that the checkpoint can",
    )  # fmt: skip
    export.add_argument(
        "--precision", choices=_PRECISIONS[:2], default=_PRECISIONS[0],
        help="of the weights: float16 halves the file",
    )  # fmt: skip
    export.add_argument("--replace", action="store_true", help="replace FILE where it exists")
    export.set_defaults(work=_export_super_resolution)


if __name__ == "__main__":
    sys.exit(main())
