"""Small models of the Segment Anything family with random weights, exported as others export them.

The architectures are the real ones: segment-anything's Sam, transformers' Sam2Model, and for
EfficientSAM, which no package offers, Sam's parts behind EfficientSAM's published interface.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import warnings
from functools import lru_cache, partial
from pathlib import Path
from typing import Dict, Optional, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from furrow.models.worker import torchvision_repair
from furrow.models.worker.export import export

torchvision_repair.repair()  # before segment_anything or timm import it

SIDE = 256
"""Of the square; the real ones have 1024."""
GRID, LOW = SIDE // 16, SIDE // 4
CHANNELS = 64
_POINTS = {"point_coords": {1: "k"}, "point_labels": {1: "k"}}
MANY = {"point_coords": {0: "n", 1: "k"}, "point_labels": {0: "n", 1: "k"}}
SCRIPT_OUTPUTS = ("masks", "iou_predictions", "low_res_masks")
"""Names that segment-anything's export script gives, however many outputs there are."""


@lru_cache(maxsize=1)
def sam() -> nn.Module:
    """A Segment Anything for squares of SIDE pixels."""
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        img_size=SIDE, depth=2, embed_dim=32, num_heads=2, out_chans=CHANNELS, window_size=8,
        global_attn_indexes=[1], use_rel_pos=True, norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )  # fmt: skip
    transformer = TwoWayTransformer(depth=2, embedding_dim=CHANNELS, mlp_dim=64, num_heads=8)
    model = Sam(
        encoder,
        PromptEncoder(CHANNELS, (GRID, GRID), (SIDE, SIDE), 8),
        MaskDecoder(transformer_dim=CHANNELS, transformer=transformer, iou_head_hidden_dim=32),
    )
    _spread(model.mask_decoder)
    return model.eval()


def _spread(decoder: nn.Module) -> None:
    """Make random masks as distinct as those of a trained model: logits of several units."""
    with torch.no_grad():
        for network in decoder.output_hypernetworks_mlps:
            last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
            last.weight.mul_(8)


class Rows(nn.Module):
    """samexporter's encoder with --use-preprocess: (H, W, 3), 0..255."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.encoder = model.image_encoder
        self.mean, self.std = model.pixel_mean.view(3), model.pixel_std.view(3)

    def forward(self, input_image: Tensor) -> Tensor:
        x = torch.permute((input_image - self.mean) / self.std, (2, 0, 1))
        height, width = x.shape[-2:]
        x = F.pad(x, (0, SIDE - width, 0, SIDE - height))
        return self.encoder(torch.unsqueeze(x, 0))


class Bytes(nn.Module):
    """An encoder that is given bytes and normalises them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.encoder, self.mean, self.std = model.image_encoder, model.pixel_mean, model.pixel_std

    def forward(self, image: Tensor) -> Tensor:
        return self.encoder((image.float() - self.mean) / self.std)


class Plain(nn.Module):
    """A decoder without earlier masks and sizes, as EdgeSAM's, with some of its four masks."""

    def __init__(self, model: nn.Module, first: int = 0) -> None:
        super().__init__()
        self.inner, self.first = _official(model), first

    def forward(self, image_embeddings: Tensor, points: Tensor, labels: Tensor) -> Sequence[Tensor]:
        nothing = torch.zeros(1, 1, LOW, LOW)
        sizes = torch.tensor([SIDE, SIDE], dtype=torch.float)
        _, scores, low = self.inner(
            image_embeddings, points, labels, nothing, torch.zeros(1), sizes
        )
        return scores[:, self.first :], low[:, self.first :]


def _official(model: nn.Module, single: bool = False, **options: bool) -> nn.Module:
    from segment_anything.utils.onnx import SamOnnxModel

    return SamOnnxModel(model, single, **options)


def write(
    module: nn.Module,
    path: Path,
    given: Dict[str, Tensor],
    outputs: Sequence[str],
    axes: Optional[Dict[str, Dict[int, str]]] = None,
) -> Path:
    """Export with the tracing exporter, as all those scripts do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), tuple(given.values()), str(path), dynamo=False, opset_version=17,
            input_names=list(given), output_names=list(outputs), dynamic_axes=axes,
        )  # fmt: skip
    return path


def sam_encoder(model: nn.Module, path: Path) -> Path:
    """As most export it: a normalised square."""
    return write(
        model.image_encoder, path, {"images": torch.rand(1, 3, SIDE, SIDE)}, ["embeddings"]
    )


def rows_encoder(model: nn.Module, path: Path) -> Path:
    axes = {"input_image": {0: "image_height", 1: "image_width"}}
    given = {"input_image": torch.rand(SIDE, SIDE - 40, 3) * 255}
    return write(Rows(model), path, given, ["image_embeddings"], axes)


def bytes_encoder(model: nn.Module, path: Path) -> Path:
    given = {"image": (torch.rand(1, 3, SIDE, SIDE) * 255).to(torch.uint8)}
    return write(Bytes(model), path, given, ["image_embeddings"])


def official_inputs() -> Dict[str, Tensor]:
    return {
        "image_embeddings": torch.randn(1, CHANNELS, GRID, GRID),
        "point_coords": torch.rand(1, 5, 2) * SIDE,
        "point_labels": torch.randint(0, 4, (1, 5)).float(),
        "mask_input": torch.randn(1, 1, LOW, LOW),
        "has_mask_input": torch.ones(1),
        "orig_im_size": torch.tensor([1500.0, 2250.0]),
    }


def official_decoder(
    model: nn.Module, path: Path, single: bool = False, many: bool = False, **options: bool
) -> Path:
    """By segment-anything's own script; `many`: with a free number of prompts, as some do."""
    axes = MANY if many else _POINTS
    module = _official(model, single, **options)
    return write(module, path, official_inputs(), SCRIPT_OUTPUTS, axes)


class MasksOnly(nn.Module):
    """The official decoder without its low-resolution output, and enlarged for any aspect."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inner = _official(model)

    def forward(self, *given: Tensor) -> Sequence[Tensor]:
        _, scores, low = self.inner(*given)
        size = given[-1].to(torch.int64)
        large = F.interpolate(low, (SIDE, SIDE), mode="bilinear", align_corners=False)
        sizes = (size[0], size[1])
        return F.interpolate(large, sizes, mode="bilinear", align_corners=False), scores


def masks_only_decoder(model: nn.Module, path: Path) -> Path:
    return write(MasksOnly(model), path, official_inputs(), SCRIPT_OUTPUTS[:2], _POINTS)


def plain_decoder(model: nn.Module, path: Path, first: int = 0) -> Path:
    """Four masks, or three from `first` = 1."""
    embeddings, points, labels, *_ = official_inputs().values()
    given = {"image_embeddings": embeddings, "point_coords": points, "point_labels": labels}
    return write(Plain(model, first), path, given, ["scores", "masks"], _POINTS)


class EfficientEncoder(nn.Module):
    """EfficientSAM's: pictures of any size, 0..1."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.encoder = model.image_encoder
        self.mean, self.std = model.pixel_mean / 255, model.pixel_std / 255

    def forward(self, images: Tensor) -> Tensor:
        square = F.interpolate(images, (SIDE, SIDE), mode="bilinear")
        return self.encoder((square - self.mean) / self.std)


class EfficientDecoder(nn.Module):
    """EfficientSAM's: six points, a query axis, masks enlarged to the size that is asked for."""

    SLOTS = 6

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, embeddings: Tensor, points: Tensor, labels: Tensor, size: Tensor) -> tuple:
        batch, queries, count, _ = points.shape
        scale = torch.stack([SIDE / size[1], SIDE / size[0]])
        points = (points * scale)[:, :, : self.SLOTS]
        labels = labels[:, :, : self.SLOTS]
        points = F.pad(points, (0, 0, 0, self.SLOTS - count), value=-1.0)
        labels = F.pad(labels, (0, self.SLOTS - count), value=-1.0)
        tokens = self._tokens(points.reshape(-1, self.SLOTS, 2), labels.reshape(-1, self.SLOTS))
        low, scores = self.model.mask_decoder.predict_masks(
            embeddings, self.model.prompt_encoder.get_dense_pe(), tokens,
            self.model.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1),
        )  # fmt: skip
        low, scores = low[:, 1:], scores[:, 1:]
        large = F.interpolate(low, (size[0], size[1]), mode="bilinear")
        large = large.reshape(batch, queries, 3, large.shape[-2], large.shape[-1])
        return large, scores.reshape(batch, queries, 3), low

    def _tokens(self, points: Tensor, labels: Tensor) -> Tensor:
        prompts = self.model.prompt_encoder
        tokens = prompts.pe_layer._pe_encoding((points + 0.5) / SIDE)
        labels = labels.unsqueeze(-1)
        tokens = tokens + prompts.not_a_point_embed.weight * (labels == -1)
        for number in range(4):
            tokens = tokens + prompts.point_embeddings[number].weight * (labels == number)
        return tokens


def efficient_encoder(model: nn.Module, path: Path) -> Path:
    given = {"batched_images": torch.rand(1, 3, 108, 192)}
    axes = {"batched_images": {0: "batch", 2: "height", 3: "width"}}
    return write(EfficientEncoder(model), path, given, ["image_embeddings"], axes)


def efficient_decoder(model: nn.Module, path: Path, queries: bool = False) -> Path:
    """One prompt of many points, as published lately; or many prompts of one point, as before."""
    shape = (1, 5, 1) if queries else (1, 1, 5)
    axis = 1 if queries else 2
    given = {
        "image_embeddings": torch.randn(1, CHANNELS, GRID, GRID),
        "batched_point_coords": torch.rand(*shape, 2) * 100,
        "batched_point_labels": torch.randint(0, 4, shape).float(),
        "orig_im_size": torch.tensor([108, 192]),
    }
    axes = {
        "image_embeddings": {0: "batch"},
        "batched_point_coords": {axis: "num_points"},
        "batched_point_labels": {axis: "num_points"},
    }
    return write(EfficientDecoder(model), path, given, ["output_masks", "iou_predictions"], axes)


@lru_cache(maxsize=1)
def sam2() -> nn.Module:
    """A Segment Anything 2 for squares of SIDE pixels."""
    from transformers import Sam2Config, Sam2Model
    from transformers.models.sam2.configuration_sam2 import (
        Sam2HieraDetConfig,
        Sam2MaskDecoderConfig,
        Sam2PromptEncoderConfig,
        Sam2VisionConfig,
    )

    torch.manual_seed(0)
    widths = [16, 32, 64, 128]
    backbone = Sam2HieraDetConfig(
        hidden_size=16, image_size=[SIDE, SIDE], blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=widths, window_size_per_stage=[8, 4, 8, 4],
        global_attention_blocks=[3],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=widths[::-1], fpn_hidden_size=CHANNELS,
        backbone_feature_sizes=[[SIDE // n, SIDE // n] for n in (4, 8, 16)],
    )  # fmt: skip
    prompts = Sam2PromptEncoderConfig(hidden_size=CHANNELS, image_size=SIDE)
    decoder = Sam2MaskDecoderConfig(hidden_size=CHANNELS, mlp_dim=64, num_attention_heads=4,
                                    iou_head_hidden_dim=32)  # fmt: skip
    model = Sam2Model(Sam2Config(vision, prompts, decoder))
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.abs().max():  # biases and the like, which are trained to something
                parameter.normal_(std=0.02)
        torch.nn.init.normal_(model.shared_image_embedding.positional_embedding)
        for name, parameter in model.mask_decoder.named_parameters():
            if parameter.ndim > 1:
                parameter.mul_(4 if "hypernetworks" in name else 1.5)
    model._tie_weights()
    return model.eval()


class Sam2Encoder(nn.Module):
    """samexporter's and ibaiGorordo's."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple:
        return tuple(self.model.get_image_embeddings(image))


class Sam2Decoder(nn.Module):
    """samexporter's, or ibaiGorordo's where it is given a size."""

    def __init__(self, model: nn.Module, multimask: bool = True) -> None:
        super().__init__()
        self.model, self.multimask = model, multimask

    def forward(
        self, embed: Tensor, feats0: Tensor, feats1: Tensor, points: Tensor, labels: Tensor,
        mask: Tensor, has_mask: Tensor, size: Optional[Tensor] = None,
    ) -> tuple:  # fmt: skip
        prompts = self.model.prompt_encoder
        tokens = prompts._embed_points(points[None], labels[None].to(torch.int64), pad=True)
        nothing = prompts.no_mask_embed.weight.reshape(1, -1, 1, 1)
        dense = has_mask * prompts.mask_embed(mask[:1]) + (1 - has_mask) * nothing
        masks, scores, _, _ = self.model.mask_decoder(
            embed, self.model.get_image_wide_positional_embeddings(), tokens, dense,
            self.multimask, [feats0, feats1],
        )  # fmt: skip
        masks = torch.clamp(masks[0], -32.0, 32.0)
        if size is not None:
            masks = F.interpolate(masks, (size[0], size[1]), mode="bilinear", align_corners=False)
        return masks, scores[0]


def sam2_encoder(model: nn.Module, path: Path) -> Path:
    names = ["high_res_feats_0", "high_res_feats_1", "image_embed"]
    return write(Sam2Encoder(model), path, {"image": torch.rand(1, 3, SIDE, SIDE)}, names)


def sam2_decoder(model: nn.Module, path: Path, sized: bool = False, multimask: bool = True) -> Path:
    given = {
        "image_embed": torch.randn(1, CHANNELS, GRID, GRID),
        "high_res_feats_0": torch.randn(1, CHANNELS // 8, LOW, LOW),
        "high_res_feats_1": torch.randn(1, CHANNELS // 4, SIDE // 8, SIDE // 8),
        "point_coords": torch.rand(1, 5, 2) * SIDE,
        "point_labels": torch.randint(0, 2, (1, 5)).float(),
        "mask_input": torch.randn(1, 1, LOW, LOW),
        "has_mask_input": torch.ones(1),
    }
    axes = {name: {0: "num_labels"} for name in ("mask_input", "has_mask_input")}
    if sized:
        given["orig_im_size"] = torch.tensor([200, 300], dtype=torch.int32)
    module = Sam2Decoder(model, multimask)
    return write(module, path, given, ["masks", "iou_predictions"], {**axes, **MANY})


def own_pair(model: nn.Module, folder: Path) -> None:
    """What `python -m furrow.models.worker export` makes of a checkpoint of Segment Anything."""
    checkpoint = folder.with_name("checkpoint.pth")
    torch.save(model.state_dict(), checkpoint)
    export(checkpoint, folder)


@lru_cache(maxsize=1)
def exported() -> Path:
    """A folder with every export that several test modules need, made once in a session."""
    folder = Path(tempfile.mkdtemp(prefix="furrow-onnx-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    model, second = sam(), sam2()
    sam_encoder(model, folder / "sam" / "encoder.onnx")
    official_decoder(model, folder / "sam" / "decoder.onnx")
    rows_encoder(model, folder / "rows-encoder.onnx")
    bytes_encoder(model, folder / "bytes-encoder.onnx")
    official_decoder(model, folder / "single-decoder.onnx", single=True)
    official_decoder(model, folder / "many-decoder.onnx", many=True)
    extra = {"return_extra_metrics": True, "use_stability_score": True}
    official_decoder(model, folder / "extra-decoder.onnx", **extra)
    masks_only_decoder(model, folder / "large-decoder.onnx")
    plain_decoder(model, folder / "plain-decoder.onnx")
    plain_decoder(model, folder / "three-decoder.onnx", first=1)
    efficient_encoder(model, folder / "efficient" / "encoder.onnx")
    efficient_decoder(model, folder / "efficient" / "decoder.onnx")
    efficient_decoder(model, folder / "queries-decoder.onnx", queries=True)
    sam2_encoder(second, folder / "sam2" / "encoder.onnx")
    sam2_decoder(second, folder / "sam2" / "decoder.onnx")
    sam2_decoder(second, folder / "sized-decoder.onnx", sized=True)
    sam2_decoder(second, folder / "sam2-single-decoder.onnx", sized=True, multimask=False)
    own_pair(model, folder / "own")
    return folder
