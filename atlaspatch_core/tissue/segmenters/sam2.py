"""AtlasPatch's tissue network: SAM 2.1 (Hiera-tiny), prompted with one box round the whole slide.

The network is that of ``transformers``, which gives what Meta's ``sam2`` package gives; checkpoints have the names of
the latter.
"""

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from atlaspatch_core.encoders.architecture import Built
from atlaspatch_core.encoders.declaration import StateDict
from atlaspatch_core.encoders.extras import need
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.slides.overview import read_overview
from atlaspatch_core.slides.slide import Slide
from atlaspatch_core.tissue.morphology import Mask
from atlaspatch_core.tissue.segmenters.background import not_plain
from atlaspatch_core.tissue.segmenters.declaration import Segmenter, TissuePixels, TissueSpec
from atlaspatch_core.tissue.segmenters.networks import Network, Networks, Pixels
from atlaspatch_core.tissue.segmenters.scaled import scale_to

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

SIDE = 1024
"""Side of the network's input, px."""
FOR_VIDEO = (
    "maskmem_tpos_enc", "no_mem_pos_enc", "no_obj_ptr", "no_obj_embed_spatial", "mask_downsample.",
    "memory_attention.", "memory_encoder.", "obj_ptr_proj.", "obj_ptr_tpos_proj.",
)  # fmt: skip
"""How the names of tensors begin that a single picture does not need."""
RENAMED = (
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^sam_(prompt_encoder|mask_decoder)\.", r"\1."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"\.norm(\d|_final_attn)\.", r".layer_norm\1."),
    (r"\.out_proj\.", ".o_proj."),
    (r"\.(blocks|layers)\.(\d+)\.mlp\.layers\.0\.", r".\1.\2.mlp.proj_in."),
    (r"\.(blocks|layers)\.(\d+)\.mlp\.layers\.1\.", r".\1.\2.mlp.proj_out."),
    (r"(mlps\.\d|_head)\.layers\.0\.", r"\1.proj_in."),
    (r"(mlps\.\d|_head)\.layers\.1\.", r"\1.layers.0."),
    (r"(mlps\.\d|_head)\.layers\.2\.", r"\1.proj_out."),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (r"\.pe_layer\.positional_encoding_gaussian_matrix$", ".shared_embedding.positional_embedding"),
)
"""Names in Meta's checkpoints, and in transformers."""
POSITIONS = "prompt_encoder.shared_embedding.positional_embedding"


def build() -> "Module":
    """Return the network with arbitrary weights; nothing is downloaded. Raises MissingExtra.

    As in Meta's own configuration of the network, an unsteady mask is not replaced by one of the three others.
    """
    library = need("transformers.models.sam2", "sam2", "sam2")
    return library.Sam2Model(library.Sam2Config(mask_decoder_config={"dynamic_multimask_via_stability": False}))


def from_meta(checkpoint: StateDict, network: StateDict) -> StateDict:  # noqa: ARG001
    """Return the tensors of a SAM 2.1 checkpoint of Meta's under transformers' names, without those for video."""
    import torch

    tensors = {renamed(name): tensor for name, tensor in checkpoint.items() if not name.startswith(FOR_VIDEO)}
    points = [tensors.pop(name) for i in range(4) if (name := f"prompt_encoder.point_embeddings.{i}.weight") in tensors]
    if points:
        tensors["prompt_encoder.point_embed.weight"] = torch.cat(points)
    if POSITIONS in tensors:
        tensors["shared_image_embedding.positional_embedding"] = tensors[POSITIONS]
    return tensors


def renamed(name: str) -> str:
    """Return the name in transformers of a tensor in Meta's checkpoints."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def forward(network: Any, pixels: "Tensor") -> "Tensor":
    """Return logits (b, 1, side, side) of the object in a box round each picture."""
    import torch
    from torch.nn.functional import interpolate

    side = pixels.shape[-1]
    box = torch.tensor([[[0.0, 0.0, side, side]]], device=pixels.device).expand(len(pixels), 1, 4)
    masks = network(pixel_values=pixels, input_boxes=box, multimask_output=False).pred_masks
    return interpolate(masks[:, 0], (side, side), mode="bilinear", align_corners=False)


SAM2_NETWORK = Network(
    name="sam2",
    architecture=Built(build, "transformers Sam2Model, SAM 2.1 Hiera-tiny"),
    source=HubWeights(
        "AtlasAnalyticsLab/AtlasPatch",
        ("model.pth",),
        sha256="51481c42c1079738f8c506f4da6183002aa34b1eb27d79423ae8f802e052be22",
    ),
    forward=forward,
    adapt=from_meta,
    mpp=8.0,
    side=SIDE,
    license="CC-BY-NC-SA-4.0",
    extra="sam2",
    homepage="https://huggingface.co/AtlasAnalyticsLab/AtlasPatch",
)


def segment(slide: Slide, spec: TissueSpec, networks: Networks) -> TissuePixels:
    """Return where the network sees tissue, at the resolution of the 1.25x overview, with ``dark_share``.

    A logit above zero is a probability above 0.5. The slide is squeezed or stretched to a square, as in training.
    """
    network = networks.get(SAM2_NETWORK)
    logits = network.scores([square_of(slide, network.declaration)], lambda masks: masks[:, 0])[0]
    least = math.log(spec.seg_conf_thresh / (1 - spec.seg_conf_thresh))
    return _over_slide(logits > least, slide, network.declaration.mpp)


def square_of(slide: Slide, network: Network) -> Pixels:
    """Return the whole slide as the network sees it, shape (side, side, 3).

    At 1.25x, reduced to at most ``side`` if larger, then stretched to a square: AtlasPatch's steps and filters.
    """
    info, overview = slide.info, read_overview(slide, network.mpp)
    width, height = (max(1, round(length * info.mpp / network.mpp)) for length in (info.width, info.height))
    whole = (0, 0, info.width / overview.downsample, info.height / overview.downsample)
    picture = Image.fromarray(overview.pixels).resize((width, height), Image.Resampling.BOX, whole)
    picture.thumbnail((network.side, network.side), Image.Resampling.BICUBIC)
    return np.asarray(picture.resize((network.side, network.side), Image.Resampling.BILINEAR), np.uint8)


def _over_slide(square: Mask, slide: Slide, mpp: float) -> TissuePixels:
    """Return the mask of a stretched slide on square px of ``mpp``, by the nearest pixel."""
    scale = scale_to(slide.info, mpp)
    rows, columns = (
        np.minimum((np.arange(count) + 0.5) * scale.downsample / length * len(square), len(square) - 1).astype(np.int64)
        for count, length in ((scale.height, slide.info.height), (scale.width, slide.info.width))
    )
    numbers = {"dark_share": not_plain(slide).dark_share}
    return TissuePixels(square[rows[:, None], columns], scale.downsample, numbers)


SAM2 = Segmenter(
    name="sam2",
    version=2,
    license=SAM2_NETWORK.license,
    source="Ravi et al., SAM 2, arXiv:2408.00714; AtlasPatch, arXiv:2602.03998",
    segment=segment,
    network=SAM2_NETWORK,
)
