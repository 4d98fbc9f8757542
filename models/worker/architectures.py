"""Which network a checkpoint is of, told from the names and shapes of its weights alone.

What shapes do not tell (heads and windows of Segment Anything 2) is known of the networks that were
published, or stands in the config.json of a folder that the package transformers wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isqrt
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from torch import Tensor

from ...core.errors import ModelError

SIDE = 1024
"""Of the square that all published networks look at."""
_VIT_TITLES = {(768, 12): "ViT-B", (1024, 24): "ViT-L", (1280, 32): "ViT-H"}


@dataclass(frozen=True)
class VisionTransformer:
    """The encoder of Segment Anything."""

    side: int
    patch: int
    width: int
    depth: int
    heads: int
    window: int
    """0 where every block looks at the whole picture."""
    global_blocks: Tuple[int, ...]
    """Those that look at the whole picture."""
    hidden: int
    """Width within the blocks."""
    channels: int
    """Of the features."""

    @property
    def title(self) -> str:
        """As its authors call it."""
        size = _VIT_TITLES.get((self.width, self.depth), f"ViT {self.depth} x {self.width}")
        return f"Segment Anything {size}"


@dataclass(frozen=True)
class TinyVit:
    """The encoder of MobileSAM: convolutions first, then three stages of attention."""

    widths: Tuple[int, ...]
    """Of the four stages."""
    depths: Tuple[int, ...]
    heads: Tuple[int, ...]
    """Of the stages; 0 for convolutions."""
    windows: Tuple[int, ...]
    hidden: Tuple[int, ...]
    """Width within the blocks of the stages."""
    channels: int
    side: int = SIDE

    @property
    def title(self) -> str:
        """As its authors call it."""
        return "MobileSAM"


@dataclass(frozen=True)
class Hiera:
    """The encoder of Segment Anything 2."""

    size: str
    """tiny, small, base+, large."""
    version: str
    """2 or 2.1."""
    width: int
    """Of the first stage; each has twice the width of the one before."""
    stages: Tuple[int, ...]
    """Blocks of each stage."""
    heads: Tuple[int, ...]
    windows: Tuple[int, ...]
    """Side of the windows of each stage, in cells."""
    global_blocks: Tuple[int, ...]
    background: Tuple[int, int]
    """Rows and columns of the position embedding."""
    channels: int
    side: int = SIDE

    @property
    def title(self) -> str:
        """As its authors call it."""
        return f"Segment Anything {self.version} {self.size}"


@dataclass(frozen=True)
class RotaryTransformer:
    """The encoder of Segment Anything 3, which tells places by turning what is compared."""

    side: int
    patch: int
    width: int
    depth: int
    heads: int
    window: int
    """In cells; the picture's rows and columns are a multiple of it."""
    global_blocks: Tuple[int, ...]
    """Those that look at the whole picture."""
    hidden: int
    """Width within the blocks."""
    learned: int
    """Rows and columns of the position embedding, which is repeated over the picture."""
    channels: int

    @property
    def title(self) -> str:
        """As its authors call it."""
        return "Segment Anything 3"


Architecture = Union[VisionTransformer, TinyVit, Hiera, RotaryTransformer]

_HIERAS: Mapping[Tuple[int, ...], Tuple[str, int, Tuple[int, ...], Tuple[int, ...]]] = {
    (1, 2, 7, 2): ("tiny", 1, (8, 4, 14, 7), (5, 7, 9)),
    (1, 2, 11, 2): ("small", 1, (8, 4, 14, 7), (7, 10, 13)),
    (2, 3, 16, 3): ("base+", 2, (8, 4, 14, 7), (12, 16, 20)),
    (2, 6, 36, 4): ("large", 2, (8, 4, 16, 8), (23, 33, 43)),
}
"""By blocks of the stages: size, heads of the first stage, windows, blocks that see everything."""
_NEWER = ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter", "obj_ptr_tpos_proj",
          "temporal_positional_encoding_projection_layer")  # fmt: skip
"""How names begin that Segment Anything 2.1 has and 2 has not."""
_RELATIVES = (
    (r"interactive_(convs|sam_mask_decoder)\.",
     "Segment Anything 3.1, which Furrow does not run; choose sam3.pt of Segment Anything 3 or a "
     "checkpoint of Segment Anything 2.1"),
    (r"^mask_decoder\.hf_token",
     "HQ-SAM, which Furrow does not run; choose a checkpoint of Segment Anything"),
    (r"^image_encoder\.(stages?\d*|features|fuse_stage\d)\.",
     "EdgeSAM, which Furrow runs from ONNX files only; choose its encoder and decoder as .onnx"),
    (r"^mask_decoder\.final_output_upscaling_layers",
     "EfficientSAM, which Furrow runs from ONNX files only; choose its encoder and decoder as "
     ".onnx"),
)  # fmt: skip
"""Names in files of networks that are near enough to be taken for one that runs."""


def recognise(
    weights: Mapping[str, Tensor], source: str, config: Optional[Mapping[str, Any]] = None
) -> Architecture:
    """The network that weights belong to.

    :param weights: under the names of :func:`.weight_names.uniform`; only shapes are looked at.
    :param source: what the weights come from, for messages.
    :param config: what config.json says, where there is one.
    :raises ModelError: it is not one of the Segment Anything family, or one that cannot run.
    """
    for pattern, relative in _RELATIVES:
        if any(re.search(pattern, name) for name in weights):
            raise ModelError(f"{source} is a checkpoint of {relative}.")
    try:
        if "image_encoder.backbone.pos_embed" in weights:
            return _hiera(weights, config or {})
        if "image_encoder.trunk.pos_embed" in weights:
            return _rotary(weights, config or {})
        if "image_encoder.patch_embed.seq.0.c.weight" in weights:
            return _tiny_vit(weights)
        if "image_encoder.pos_embed" in weights:
            return _vision_transformer(weights)
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise ModelError(
            f"{source} has the names of Segment Anything, but not its shapes ({error}); choose "
            "another checkpoint."
        ) from error
    raise ModelError(f"{source} is not of the Segment Anything family{_first(weights)}")


def _first(weights: Mapping[str, Tensor]) -> str:
    first = [f"{name} {'x'.join(map(str, weights[name].shape))}" for name in list(weights)[:3]]
    return f": it begins with {', '.join(first)}; choose another checkpoint."


def _vision_transformer(weights: Mapping[str, Tensor]) -> VisionTransformer:
    shapes = _shapes(weights, "image_encoder.")
    patch = shapes["patch_embed.proj.weight"][2]
    _, grid, _, width = shapes["pos_embed"]
    depth = _count(shapes, r"blocks\.(\d+)\.")
    reaches = [shapes[f"blocks.{k}.attn.rel_pos_h"] for k in range(depth)]
    sizes = [(reach[0] + 1) // 2 for reach in reaches]
    windows = {size for size in sizes if size != grid}
    if len(windows) > 1:
        raise ValueError(f"windows of {sorted(windows)}")
    return VisionTransformer(
        side=patch * grid,
        patch=patch,
        width=width,
        depth=depth,
        heads=width // reaches[0][1],
        window=max(windows, default=0),
        global_blocks=tuple(k for k, size in enumerate(sizes) if size == grid),
        hidden=shapes["blocks.0.mlp.lin1.weight"][0],
        channels=shapes["neck.0.weight"][0],
    )


def _tiny_vit(weights: Mapping[str, Tensor]) -> TinyVit:
    shapes = _shapes(weights, "image_encoder.")
    stages = range(_count(shapes, r"layers\.(\d+)\."))
    biases = [shapes[f"layers.{k}.blocks.0.attn.attention_biases"] for k in stages[1:]]
    widths = [shapes[f"layers.{k}.blocks.0.mlp.fc1.weight"][1] for k in stages[1:]]
    return TinyVit(
        widths=(shapes["patch_embed.seq.2.c.weight"][0], *widths),
        depths=tuple(_count(shapes, rf"layers\.{k}\.blocks\.(\d+)\.") for k in stages),
        heads=(0, *(heads for heads, _ in biases)),
        windows=(0, *(isqrt(places) for _, places in biases)),
        hidden=(
            shapes["layers.0.blocks.0.conv1.c.weight"][0],
            *(shapes[f"layers.{k}.blocks.0.mlp.fc1.weight"][0] for k in stages[1:]),
        ),
        channels=shapes["neck.0.weight"][0],
    )


def _hiera(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> Hiera:
    shapes = _shapes(weights, "image_encoder.")
    stages = _stages(shapes)
    said = _said(config)
    size, least, windows, seeing = _HIERAS.get(stages, ("", 0, (), ()))
    windows = tuple(said.get("window_size_per_stage", windows))
    doubled = [least << k for k in range(len(stages))]
    heads = tuple(said.get("num_attention_heads_per_stage", doubled))
    _, width, *background = shapes["backbone.pos_embed"]
    first = shapes["backbone.pos_embed_window"][-1]
    if not (windows and all(heads)):
        raise ValueError(f"stages of {', '.join(map(str, stages))} blocks")
    if windows[0] != first or width % heads[0]:
        raise ValueError(f"windows of {first}, width {width}")
    return Hiera(
        size=size or "of an own size",
        version="2.1" if any(name.startswith(_NEWER) for name in weights) else "2",
        width=width,
        stages=stages,
        heads=heads,
        windows=windows,
        global_blocks=tuple(said.get("global_attention_blocks", seeing)),
        background=(background[0], background[1]),
        channels=shapes["neck.convs.0.weight"][0],
        side=int(said.get("side", SIDE)),
    )


def _rotary(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> RotaryTransformer:
    shapes = _shapes(weights, "image_encoder.")
    said = _said_of_rotary(config)
    width, _, patch, _ = shapes["trunk.patch_embed.proj.weight"]
    depth = _count(shapes, r"trunk\.blocks\.(\d+)\.")
    places = shapes["trunk.pos_embed"][1]
    learned = isqrt(places)
    if places not in (learned**2, learned**2 + 1):
        raise ValueError(f"{places} places")
    window = int(said.get("window_size", learned))
    published = range(depth // 4 - 1, depth, depth // 4)
    made = RotaryTransformer(
        side=int(said.get("image_size", 3 * window * patch)),
        patch=patch,
        width=width,
        depth=depth,
        heads=int(said.get("num_attention_heads", width // 64)),
        window=window,
        global_blocks=tuple(said.get("global_attn_indexes", published)),
        hidden=shapes["trunk.blocks.0.mlp.fc1.weight"][0],
        learned=learned,
        channels=shapes["convs.0.conv_1x1.weight"][0],
    )
    if made.side % (patch * window) or width % (4 * made.heads):
        raise ValueError(f"{made.heads} heads of width {width}, windows of {window}")
    return made


def _said_of_rotary(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a config.json of transformers says of the encoder, wherever in it that stands."""
    inner = config.get("detector_config") or config.get("tracker_config") or config
    return (inner.get("vision_config") or {}).get("backbone_config") or {}


def _stages(shapes: Mapping[str, Sequence[int]]) -> Tuple[int, ...]:
    """Blocks of each stage of a Hiera: a stage ends where the width grows."""
    counts: List[int] = []
    width = 0
    for k in range(_count(shapes, r"backbone\.blocks\.(\d+)\.")):
        own = shapes[f"backbone.blocks.{k}.mlp.proj_out.weight"][0]
        if own != width:
            counts.append(0)
        counts[-1] += 1
        width = own
    return tuple(counts)


def _said(config: Mapping[str, Any]) -> Dict[str, Any]:
    """What a config.json of transformers says of a Hiera; empty where it says nothing."""
    vision = config.get("vision_config", {})
    said = dict(vision.get("backbone_config", {}))
    side = config.get("prompt_encoder_config", {}).get("image_size")
    return {**said, "side": side} if side else said


def _shapes(weights: Mapping[str, Tensor], start: str) -> Dict[str, Tuple[int, ...]]:
    return {name[len(start) :]: tuple(values.shape) for name, values in weights.items()
            if name.startswith(start)}  # fmt: skip


def _count(names: Mapping[str, Any], pattern: str) -> int:
    """How many there are of something that names number from 0."""
    found = (re.match(pattern, name) for name in names)
    return 1 + max((int(match[1]) for match in found if match), default=-1)
