"""Whether networks for super-resolution are what they say: pictures reduced and enlarged again.

    .venv/bin/python bench/bench_super_resolution.py [FILE.onnx ...]

Without files, CARN-M and RFDN are converted from ../shared/data/super_resolution, which needs
torch. NAIP pictures 23-30 and farm pictures (288 px of each) are reduced, by means of squares and
with bicubic weights, and enlarged again, by the network and by bicubic interpolation. Mean PSNR in
dB, the network's before the interpolation's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "demo"))
from furrow_package import register  # noqa: E402

register()

from furrow.models.super_resolution.onnx_enlarger import OnnxEnlarger  # noqa: E402
from furrow.models.training import labelled_sets  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
SIDE = 288
"""Is whole numbers of pixels at a half, a third and a quarter."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    if not options.data.is_dir():
        print(f"skipped: {options.data} does not exist")
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(options.files or converted(options.data, Path(folder)), options.data)


def converted(data: Path, folder: Path) -> list[Path]:
    """The published networks as ONNX files."""
    try:
        from furrow.models.worker.super_resolution_export import (
            WantedFile,
            export_super_resolution,
        )
    except ImportError as error:
        print(f"skipped: {error}")
        return []
    made = []
    for name, factor in (("carn_m", 2), ("carn_m", 3), ("carn_m", 4), ("RFDN_AIM", 4)):
        made.append(folder / f"{name} x{factor}.onnx")
        source = data / "super_resolution" / f"{name}.pth"
        export_super_resolution(source, made[-1], WantedFile(factor))
    return made


def measure(files: list[Path], data: Path) -> None:
    """Print a line for each file, set and way of reducing."""
    sets = {"naip": list(naip(data)), "farm pictures": list(farm_pictures(data))}
    for path in files:
        enlarger = OnnxEnlarger(path)
        for name, pictures in sets.items():
            for how, reduce in (("means", means), ("bicubic", bicubic)):
                network, plain = (
                    np.mean([psnr(picture, enlarge(reduce(picture, enlarger.factor)))
                             for picture in pictures])
                    for enlarge in (enlarger, lambda small: resized(small, SIDE))
                )  # fmt: skip
                print(f"{path.name}, {name}, {how} reduced {enlarger.factor} times: "
                      f"{network:.2f} / {plain:.2f}", flush=True)  # fmt: skip


def naip(data: Path) -> Iterator[np.ndarray]:
    for name in labelled_sets.naip_names(data)[labelled_sets.NAIP_TRAINING :]:
        yield middle(labelled_sets.read_image(data / "naip_midwest" / "images" / name))


def farm_pictures(data: Path) -> Iterator[np.ndarray]:
    for path in sorted((data / "farm_pictures").glob("*.jpg")):
        yield middle(labelled_sets.read_image(path))


def middle(image: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE, 3) uint8."""
    top, left = ((size - SIDE) // 2 for size in image.shape[:2])
    return image[top : top + SIDE, left : left + SIDE]


def means(image: np.ndarray, factor: int) -> np.ndarray:
    """Reduced to the means of squares."""
    side = SIDE // factor
    blocks = image.reshape(side, factor, side, factor, 3)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def bicubic(image: np.ndarray, factor: int) -> np.ndarray:
    """Reduced with bicubic weights as wide as what is reduced."""
    return resized(image, SIDE // factor)


def resized(image: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB."""
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


if __name__ == "__main__":
    main()
