"""Small networks of the real architectures with random weights, as their files are published."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Dict, Iterator, Mapping, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from furrow.core.fields.segmenter import Prompts
from furrow.models.worker.architectures import TinyVit
from furrow.models.worker.mobile import MobileEncoder
from furrow.models.worker.networks import TorchNetwork
from furrow.models.worker.torchvision_repair import repair

Shapes = Dict[str, Tuple[int, ...]]

WIDTH = 32
"""Of the tokens of tiny decoders; published ones have 256."""
SIDE = 256
"""Of the square of tiny networks whose files tell it; else it is 1024."""
SIZES_2 = {
    "tiny": (96, (1, 2, 7, 2), 8, (7, 7)),
    "small": (96, (1, 2, 11, 2), 8, (7, 7)),
    "base+": (112, (2, 3, 16, 3), 8, (14, 14)),
    "large": (144, (2, 6, 36, 4), 8, (7, 7)),
}
"""Width, blocks of the stages, first window, and size of the position embedding."""
MOBILE = TinyVit(
    widths=(64, 128, 160, 320),
    depths=(2, 2, 6, 2),
    heads=(0, 4, 5, 10),
    windows=(0, 7, 14, 7),
    hidden=(256, 512, 640, 1280),
    channels=256,
)
"""The encoder of MobileSAM as published."""
TINY_MOBILE = TinyVit(
    widths=(8, 16, 24, 32),
    depths=(1, 1, 2, 1),
    heads=(0, 2, 3, 4),
    windows=(0, 7, 14, 7),
    hidden=(16, 32, 48, 64),
    channels=WIDTH,
)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture of fields of one colour each with some noise: (height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    rows, columns = -(-height // 40), -(-width // 40)
    colours = rng.integers(40, 220, (rows, columns, 3)).repeat(40, axis=0).repeat(40, axis=1)
    noisy = colours[:height, :width] + rng.normal(0, 10, (height, width, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def prompts_of_all_kinds(height: int, width: int) -> Dict[str, Prompts]:
    """Clicks, several points, points off the object and boxes, anywhere in a picture."""
    rng = np.random.default_rng(5)

    def points(count: int) -> np.ndarray:
        return rng.uniform(0.5, [width - 0.5, height - 0.5], (count, 2))

    def box() -> np.ndarray:
        a, b = points(2)
        return np.concatenate([np.minimum(a, b), np.maximum(a, b)])

    on, off = np.array([True]), np.array([False])
    return {
        "click": Prompts(points(1), on),
        "another click": Prompts(points(1), on),
        "two points": Prompts(points(2), np.concatenate([on, on])),
        "background": Prompts(points(3), np.concatenate([on, off, off])),
        "box": Prompts(np.zeros((0, 2)), np.zeros(0, bool), box()),
        "another box": Prompts(np.zeros((0, 2)), np.zeros(0, bool), box()),
        "box and points": Prompts(points(2), np.concatenate([on, off]), box()),
    }


@torch.no_grad()
def shaken(module: nn.Module, seed: int = 0) -> nn.Module:
    """Random numbers in place of all weights, so that answers depend on each of them."""
    for name, values in module.state_dict().items():
        if values.is_floating_point():
            values.copy_(random_weight(name, tuple(values.shape), seed))
    return module.eval()


def random_weight(name: str, shape: Tuple[int, ...], seed: int = 0) -> Tensor:
    """Numbers that keep values about as large as they are, the same for the same name."""
    made = torch.Generator().manual_seed(seed + sum(map(ord, name)) + 31 * len(name))
    numbers = torch.randn(shape, generator=made)
    if name.endswith("running_var"):
        return numbers.abs() + 0.5
    if name.endswith("gaussian_matrix") or name.endswith("positional_embedding"):
        return numbers
    if len(shape) == 1 and name.endswith("weight"):  # of a normalisation
        return 1 + 0.1 * numbers
    if "embed" in name or "token" in name or "rel_pos" in name or "biases" in name:
        return 0.5 * numbers
    if len(shape) < 2:
        return 0.1 * numbers
    # Logits are to be of the size that trained networks give: -10 to 10.
    gains = {"output_hypernetworks": 2.0, "conv_s": 0.1, "neck.convs": 0.1, "fpn_layers": 0.5}
    gain = next((gains[part] for part in gains if part in name), 1.3)
    return numbers * (gain / int(np.prod(shape[1:])) ** 0.5)


@dataclass(frozen=True)
class Vit:
    """Sizes of an encoder of Segment Anything."""

    width: int = 48
    depth: int = 3
    heads: int = 3
    window: int = 5
    global_blocks: Tuple[int, ...] = (1,)
    side: int = SIDE


def segment_anything(
    vit: Vit = Vit(), decoder_width: int = WIDTH, decoder_hidden: int = 0
) -> nn.Module:
    """A `Sam` of the package segment-anything.

    :param decoder_hidden: width within the decoder's layers; 0: four times that of its tokens.
    """
    repair()
    from segment_anything import modeling

    grid = vit.side // 16
    encoder = modeling.ImageEncoderViT(
        img_size=vit.side, patch_size=16, embed_dim=vit.width, depth=vit.depth,
        num_heads=vit.heads, mlp_ratio=4, out_chans=decoder_width, qkv_bias=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6), use_rel_pos=True,
        global_attn_indexes=vit.global_blocks, window_size=vit.window,
    )  # fmt: skip
    return _with_decoder(encoder, decoder_width, grid, vit.side, decoder_hidden)


def _with_decoder(
    encoder: nn.Module, width: int, grid: int, side: int, hidden: int = 0
) -> nn.Module:
    from segment_anything import modeling

    transformer = modeling.TwoWayTransformer(
        depth=2, embedding_dim=width, mlp_dim=hidden or 4 * width, num_heads=8
    )
    return shaken(modeling.Sam(
        encoder,
        modeling.PromptEncoder(width, (grid, grid), (side, side), 16),
        modeling.MaskDecoder(
            transformer_dim=width, transformer=transformer, iou_head_hidden_dim=width
        ),
    ))  # fmt: skip


def mobile_sam(architecture: TinyVit = TINY_MOBILE, hidden: int = 0) -> nn.Module:
    """A `Sam` with the encoder of MobileSAM, as its own package makes it.

    :param hidden: width within the decoder's layers; 0: four times that of its tokens.
    """
    repair()
    import segment_anything  # noqa: F401 - the decoder comes from there

    encoder = MobileEncoder(architecture)
    encoder.img_size = architecture.side
    grid = architecture.side // 16
    return _with_decoder(encoder, architecture.channels, grid, architecture.side, hidden)


def write_segment_anything(path: Path, sam: nn.Module) -> Path:
    """A file as published: names and numbers, nothing around them."""
    torch.save(sam.state_dict(), path)
    return path


def write_mobile_sam(path: Path, sam: nn.Module) -> Path:
    """A file as published: the classifier of the encoder's training is still in it."""
    torch.save({**sam.state_dict(), **mobile_classifier(sam, 10)}, path)
    return path


def mobile_classifier(sam: nn.Module, classes: int) -> Dict[str, Tensor]:
    """What only the training of MobileSAM's encoder needed."""
    width = sam.state_dict()["image_encoder.neck.0.weight"].shape[1]
    shapes = {"norm_head.weight": (width,), "norm_head.bias": (width,),
              "head.weight": (classes, width), "head.bias": (classes,)}  # fmt: skip
    return {f"image_encoder.{name}": torch.zeros(shape) for name, shape in shapes.items()}


def segment_anything_2(side: int = SIDE, width: int = 16, decoder_width: int = WIDTH) -> nn.Module:
    """A `Sam2Model` of the package transformers."""
    repair()
    from transformers import Sam2Config, Sam2Model

    widths = [width << k for k in range(4)]
    backbone = {
        "model_type": "sam2_hiera_det_model", "hidden_size": width, "num_attention_heads": 1,
        "image_size": [side, side], "embed_dim_per_stage": widths,
        "blocks_per_stage": [1, 2, 7, 2], "num_attention_heads_per_stage": [1, 2, 4, 8],
    }  # fmt: skip
    vision = {
        "model_type": "sam2_vision_model", "backbone_config": backbone,
        "backbone_channel_list": widths[::-1], "fpn_hidden_size": decoder_width,
        "backbone_feature_sizes": [[side // stride] * 2 for stride in (4, 8, 16)],
    }  # fmt: skip
    decoder = {"hidden_size": decoder_width, "mlp_dim": 4 * decoder_width,
               "iou_head_hidden_dim": decoder_width}  # fmt: skip
    prompts = {"hidden_size": decoder_width, "image_size": side}
    model = shaken(Sam2Model(Sam2Config(vision, prompts, decoder)))
    # The two are one; with random numbers of their own they would not be.
    places = model.shared_image_embedding.positional_embedding
    model.prompt_encoder.shared_embedding.positional_embedding.data = places.data
    return model


def segment_anything_3(side: int = 168, width: int = 64, decoder_width: int = WIDTH) -> nn.Module:
    """A `Sam3TrackerModel` of the package transformers from 5.0 on."""
    from transformers import Sam3TrackerConfig, Sam3TrackerModel

    backbone = {
        "model_type": "sam3_vit_model", "hidden_size": width, "intermediate_size": 3 * width,
        "num_hidden_layers": 4, "num_attention_heads": 4, "image_size": side, "patch_size": 14,
        "window_size": 4, "global_attn_indexes": [1, 3], "pretrain_image_size": 56,
        "layer_norm_eps": 1e-5,  # as its authors have it
    }  # fmt: skip
    vision = {
        "model_type": "sam3_vision_model", "backbone_config": backbone,
        "fpn_hidden_size": decoder_width, "scale_factors": [4.0, 2.0, 1.0],
        "backbone_feature_sizes": [[side // 14 * k] * 2 for k in (4, 2, 1)],
    }  # fmt: skip
    decoder = {"hidden_size": decoder_width, "mlp_dim": 4 * decoder_width,
               "iou_head_hidden_dim": decoder_width}  # fmt: skip
    prompts = {"hidden_size": decoder_width, "image_size": side, "patch_size": 14}
    config = Sam3TrackerConfig(
        vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder
    )
    model = shaken(Sam3TrackerModel(config))
    places = model.shared_image_embedding.positional_embedding
    model.prompt_encoder.shared_embedding.positional_embedding.data = places.clone()
    return model


def published_shapes_3(width: int, depth: int, hidden: int, channels: int = 256) -> Shapes:
    """Names and shapes in a published file of Segment Anything 3, but for what finds by words."""
    vision = "detector.backbone.vision_backbone"
    shapes: Shapes = {
        f"{vision}.trunk.pos_embed": (1, 577, width),
        f"{vision}.trunk.patch_embed.proj.weight": (width, 3, 14, 14),
        **dict(_norm(f"{vision}.trunk.ln_pre", width)),
        "tracker.no_mem_embed": (1, 1, channels),
    }
    for k in range(depth):
        block = f"{vision}.trunk.blocks.{k}"
        shapes.update([
            *_norm(f"{block}.norm1", width), *_norm(f"{block}.norm2", width),
            *_linear(f"{block}.attn.qkv", 3 * width, width),
            *_linear(f"{block}.attn.proj", width, width),
            *_linear(f"{block}.mlp.fc1", hidden, width),
            *_linear(f"{block}.mlp.fc2", width, hidden),
        ])  # fmt: skip
    half, quarter = width // 2, width // 4
    for convs in ("convs", "sam2_convs"):
        start = f"{vision}.{convs}"
        for name, taken, given in (("0.dconv_2x2_0", width, half), ("1.dconv_2x2", width, half),
                                   ("0.dconv_2x2_1", half, quarter)):  # fmt: skip
            shapes[f"{start}.{name}.weight"] = (taken, given, 2, 2)
            shapes[f"{start}.{name}.bias"] = (given,)
        for k, taken in enumerate((quarter, half, width, width)):
            shapes.update(_conv(f"{start}.{k}.conv_1x1", channels, taken, 1, 1))
            shapes.update(_conv(f"{start}.{k}.conv_3x3", channels, channels, 3, 3))
    inner = (*_prompt_encoder(channels), *_mask_decoder(channels))
    return {**shapes, **{f"tracker.{name}": shape for name, shape in inner}}


def write_segment_anything_2(
    path: Path, version: str = "2.1", width: int = 16, decoder_width: int = WIDTH
) -> Path:
    """A file as published, of a tiny network that looks at 1024 x 1024 pixels."""
    sizes = (width, *SIZES_2["tiny"][1:])
    shapes = published_shapes_2(sizes, version, decoder_width)
    torch.save({"model": {n: random_weight(n, shape) for n, shape in shapes.items()}}, path)
    return path


def published_shapes_2(
    sizes: Tuple[int, Tuple[int, ...], int, Tuple[int, int]], version: str, channels: int = 256
) -> Shapes:
    """Names and shapes in a published file of Segment Anything 2 or 2.1."""
    return dict([
        *_memory(version, channels), *_hiera(*sizes), *_neck(sizes[0], channels),
        *_prompt_encoder(channels), *_mask_decoder(channels),
    ])  # fmt: skip


_Named = Iterator[Tuple[str, Tuple[int, ...]]]


def _linear(name: str, given: int, taken: int) -> _Named:
    yield f"{name}.weight", (given, taken)
    yield f"{name}.bias", (given,)


def _norm(name: str, width: int) -> _Named:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _conv(name: str, *shape: int) -> _Named:
    yield f"{name}.weight", shape
    yield f"{name}.bias", (shape[0],)


def _hiera(
    width: int, stages: Tuple[int, ...], window: int, background: Tuple[int, int]
) -> _Named:
    trunk = "image_encoder.trunk"
    yield f"{trunk}.pos_embed", (1, width, *background)
    yield f"{trunk}.pos_embed_window", (1, width, window, window)
    yield from _conv(f"{trunk}.patch_embed.proj", width, 3, 7, 7)
    widths = [width << stage for stage, count in enumerate(stages) for _ in range(count)]
    for k, own in enumerate(widths):
        before = widths[max(k - 1, 0)]
        block = f"{trunk}.blocks.{k}"
        yield from _norm(f"{block}.norm1", before)
        yield from _linear(f"{block}.attn.qkv", 3 * own, before)
        yield from _linear(f"{block}.attn.proj", own, own)
        yield from _norm(f"{block}.norm2", own)
        yield from _linear(f"{block}.mlp.layers.0", 4 * own, own)
        yield from _linear(f"{block}.mlp.layers.1", own, 4 * own)
        if own != before:
            yield from _linear(f"{block}.proj", own, before)


def _neck(width: int, channels: int) -> _Named:
    for k in range(4):
        yield from _conv(f"image_encoder.neck.convs.{k}.conv", channels, width << (3 - k), 1, 1)


def _prompt_encoder(width: int) -> _Named:
    start = "sam_prompt_encoder"
    yield f"{start}.pe_layer.positional_encoding_gaussian_matrix", (2, width // 2)
    for kind in range(4):
        yield f"{start}.point_embeddings.{kind}.weight", (1, width)
    yield f"{start}.not_a_point_embed.weight", (1, width)
    yield from _conv(f"{start}.mask_downscaling.0", 4, 1, 2, 2)
    yield from _norm(f"{start}.mask_downscaling.1", 4)
    yield from _conv(f"{start}.mask_downscaling.3", 16, 4, 2, 2)
    yield from _norm(f"{start}.mask_downscaling.4", 16)
    yield from _conv(f"{start}.mask_downscaling.6", width, 16, 1, 1)
    yield f"{start}.no_mask_embed.weight", (1, width)


def _attention(name: str, width: int, inner: int, asked: int = 0) -> _Named:
    yield from _linear(f"{name}.q_proj", inner, width)
    yield from _linear(f"{name}.k_proj", inner, asked or width)
    yield from _linear(f"{name}.v_proj", inner, asked or width)
    yield from _linear(f"{name}.out_proj", width, inner)


def _mask_decoder(width: int) -> _Named:
    start, half = "sam_mask_decoder", width // 2
    for k in range(2):
        layer = f"{start}.transformer.layers.{k}"
        yield from _attention(f"{layer}.self_attn", width, width)
        yield from _attention(f"{layer}.cross_attn_token_to_image", width, half)
        yield from _attention(f"{layer}.cross_attn_image_to_token", width, half)
        yield from _linear(f"{layer}.mlp.layers.0", 8 * width, width)
        yield from _linear(f"{layer}.mlp.layers.1", width, 8 * width)
        for norm in range(1, 5):
            yield from _norm(f"{layer}.norm{norm}", width)
    yield from _attention(f"{start}.transformer.final_attn_token_to_image", width, half)
    yield from _norm(f"{start}.transformer.norm_final_attn", width)
    for name, count in (("iou_token", 1), ("mask_tokens", 4), ("obj_score_token", 1)):
        yield f"{start}.{name}.weight", (count, width)
    for k, taken, given in ((0, width, width // 4), (3, width // 4, width // 8)):
        yield f"{start}.output_upscaling.{k}.weight", (taken, given, 2, 2)
        yield f"{start}.output_upscaling.{k}.bias", (given,)
    yield from _norm(f"{start}.output_upscaling.1", width // 4)
    yield from _conv(f"{start}.conv_s0", width // 8, width, 1, 1)
    yield from _conv(f"{start}.conv_s1", width // 4, width, 1, 1)
    heads = {f"output_hypernetworks_mlps.{k}": width // 8 for k in range(4)}
    for name, given in {**heads, "iou_prediction_head": 4, "pred_obj_score_head": 1}.items():
        for k, last in enumerate((width, width, given)):
            yield from _linear(f"{start}.{name}.layers.{k}", last, width)


def _memory(version: str, width: int) -> _Named:
    """What only films need; it is read and left out."""
    kept = width // 4
    yield "maskmem_tpos_enc", (7, 1, 1, kept)
    yield "no_mem_embed", (1, 1, width)
    yield "no_mem_pos_enc", (1, 1, width)
    yield "no_obj_ptr", (1, width)
    if version == "2.1":
        yield "no_obj_embed_spatial", (1, kept)
        yield from _linear("obj_ptr_tpos_proj", kept, width)
    yield from _conv("mask_downsample", 1, 1, 4, 4)
    for k in range(3):
        yield from _linear(f"obj_ptr_proj.layers.{k}", width, width)
    yield from _norm("memory_attention.norm", width)
    for k in range(4):
        layer = f"memory_attention.layers.{k}"
        yield from _attention(f"{layer}.self_attn", width, width)
        yield from _attention(f"{layer}.cross_attn_image", width, width, kept)
        yield from _linear(f"{layer}.linear1", 8 * width, width)
        yield from _linear(f"{layer}.linear2", width, 8 * width)
        for norm in range(1, 4):
            yield from _norm(f"{layer}.norm{norm}", width)
    yield from _memory_encoder(width, kept)


def _memory_encoder(width: int, kept: int) -> _Named:
    start = "memory_encoder"
    channels = (1, 4, 16, 64, 256)
    for k, (taken, given) in enumerate(zip(channels, channels[1:])):
        yield from _conv(f"{start}.mask_downsampler.encoder.{3 * k}", given, taken, 3, 3)
        yield from _norm(f"{start}.mask_downsampler.encoder.{3 * k + 1}", given)
    yield from _conv(f"{start}.mask_downsampler.encoder.12", width, 256, 1, 1)
    yield from _conv(f"{start}.pix_feat_proj", width, width, 1, 1)
    for k in range(2):
        layer = f"{start}.fuser.layers.{k}"
        yield f"{layer}.gamma", (width,)
        yield from _conv(f"{layer}.dwconv", width, 1, 7, 7)
        yield from _norm(f"{layer}.norm", width)
        yield from _linear(f"{layer}.pwconv1", 4 * width, width)
        yield from _linear(f"{layer}.pwconv2", width, 4 * width)
    yield from _conv(f"{start}.out_proj", kept, width, 1, 1)


def decoded(
    network: TorchNetwork,
    features: Mapping[str, np.ndarray],
    shape: Tuple[int, int],
    prompts: Sequence[Prompts],
    multimask: bool,
) -> Tuple[np.ndarray, np.ndarray]:
    """Logits and scores of the three masks from part to whole, or of the single one."""
    wanted = slice(1, None) if multimask else slice(0, 1)
    logits, scores = network.decode_all(features, shape, prompts)
    return logits[:, wanted], scores[:, wanted]
