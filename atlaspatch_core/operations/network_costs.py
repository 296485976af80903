"""What the networks of patch encoders take: memory of their weights, and operations for each patch.

Counted by ``python -m website.network_costs`` on networks without weights; for those that cannot be built without them,
or without their makers' code, on a network of timm of the same layout.
"""

from collections.abc import Mapping
from dataclasses import dataclass

BYTES_PER_PARAMETER = 4
"""Weights are kept in float32; half precision casts operations, for most networks."""
CPU_GFLOP_PER_SECOND = 100.0
"""Assumed of two cores in float32: a guess, and said to be one."""
GPU_GFLOP_PER_SECOND = 50_000.0
"""Assumed of a GPU of a data centre in half precision: a guess, and said to be one."""
MOST_ON_CPU = 30.0
"""Patches per second that two cores are assumed to read and encode, however small the network."""
MOST_ON_GPU = 1000.0
"""The same of a GPU and the cores that read for it."""


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """What a network takes."""

    millions: float
    """Of parameters."""
    gflop: float
    """Billions of operations (a multiplication and an addition are two) for a patch."""

    @property
    def gigabytes(self) -> float:
        """Of its weights."""
        return self.millions * BYTES_PER_PARAMETER / 1000


def assumed_patches_per_second(encoder: str, on_gpu: bool) -> float:
    """Return what is assumed of an encoder that was never measured; of an unknown network, what a small one reaches."""
    most, gflop_per_second = (MOST_ON_GPU, GPU_GFLOP_PER_SECOND) if on_gpu else (MOST_ON_CPU, CPU_GFLOP_PER_SECOND)
    network = NETWORKS.get(encoder)
    return min(most, gflop_per_second / network.gflop) if network else most


NETWORKS: Mapping[str, NetworkCost] = {
    # written by 'make options', network by network
    "efficientnet_lite0": NetworkCost(3.4, 0.8),
    "efficientnet_lite1": NetworkCost(4.1, 1.2),
    "efficientnet_lite2": NetworkCost(4.8, 1.7),
    "chief-ctranspath": NetworkCost(27.5, 9.0),
    "ctranspath-original": NetworkCost(27.5, 9.0),
    "uni_v1": NetworkCost(303.4, 123.1),
    "uni_v2": NetworkCost(681.4, 370.9),
    "conch_v1": NetworkCost(86.3, 157.0),
    "conch_v15": NetworkCost(303.9, 535.9),
    "virchow_v1": NetworkCost(631.2, 334.8),
    "virchow_v1_cls": NetworkCost(631.2, 334.8),
    "virchow_v2": NetworkCost(631.2, 340.1),
    "virchow_v2_cls": NetworkCost(631.2, 340.1),
    "h_optimus_0": NetworkCost(1134.8, 608.3),
    "h_optimus_1": NetworkCost(1134.8, 608.3),
    "h0_mini": NetworkCost(85.7, 47.1),
    "h0_mini_cls": NetworkCost(85.7, 47.1),
    "phikon_v1": NetworkCost(85.8, 35.1),
    "phikon_v2": NetworkCost(303.4, 123.1),
    "phikon_v2_bilinear": NetworkCost(303.4, 123.1),
    "midnight": NetworkCost(1134.8, 598.8),
    "midnight12k": NetworkCost(1134.8, 598.8),
    "kaiko-vits8": NetworkCost(21.7, 44.8),
    "kaiko-vits16": NetworkCost(21.7, 9.2),
    "kaiko-vitb8": NetworkCost(85.8, 156.3),
    "kaiko-vitb16": NetworkCost(85.8, 35.1),
    "kaiko-vitl14": NetworkCost(304.4, 164.6),
    "hibou_b": NetworkCost(85.7, 47.1),
    "hibou_l": NetworkCost(303.2, 164.6),
    "lunit_resnet50_bt": NetworkCost(23.5, 8.2),
    "lunit_resnet50_swav": NetworkCost(23.5, 8.2),
    "lunit_resnet50_mocov2": NetworkCost(23.5, 8.2),
    "lunit_vit_small_patch16_dino": NetworkCost(21.7, 9.2),
    "lunit_vit_small_patch8_dino": NetworkCost(21.7, 44.8),
    "musk": NetworkCost(303.7, 1910.7),
    "musk_single_scale": NetworkCost(303.7, 382.1),
    "prov_gigapath": NetworkCost(1135.0, 456.2),
    "gigapath-flash": NetworkCost(21.7, 9.2),
    "pathorchestra": NetworkCost(303.4, 123.1),
    "openmidnight": NetworkCost(1134.8, 608.3),
    "openpath": NetworkCost(1134.8, 608.3),
    "gpfm": NetworkCost(303.2, 162.0),
    "mstar": NetworkCost(303.4, 123.1),
    "sp22m": NetworkCost(21.7, 9.2),
    "keep": NetworkCost(303.3, 123.1),
    "genbio-pathfm": NetworkCost(1133.7, 1396.0),
    "prost40m": NetworkCost(21.6, 12.2),
    "mettle": NetworkCost(1136.4, 608.4),
    "mettle_cls_mean": NetworkCost(1136.4, 608.4),
    "rudolfv2": NetworkCost(1135.0, 1940.5),
    "rudolfv2_cls_mean": NetworkCost(1135.0, 1940.5),
    "rudolfv2-b": NetworkCost(85.8, 157.2),
    "rudolfv2_b_cls_mean": NetworkCost(85.8, 157.2),
    "rudolfv2-s": NetworkCost(21.7, 45.1),
    "rudolfv2_s_cls_mean": NetworkCost(21.7, 45.1),
    "phaet": NetworkCost(303.3, 123.1),
    "mascaret": NetworkCost(1134.8, 598.8),
    "mascaret_cls_mean": NetworkCost(1134.8, 598.8),
    "pathoduet-he": NetworkCost(85.8, 35.3),
    "pathoduet-ihc": NetworkCost(85.8, 35.3),
    "retccl": NetworkCost(23.5, 10.7),
    "digepath": NetworkCost(303.4, 123.1),
    "beph": NetworkCost(85.8, 35.1),
    "isight": NetworkCost(304.6, 383.1),
    "isight_cls": NetworkCost(304.6, 383.1),
    "clip_rn50": NetworkCost(38.3, 12.2),
    "clip_rn101": NetworkCost(56.3, 19.5),
    "clip_rn50x4": NetworkCost(87.1, 42.6),
    "clip_rn50x16": NetworkCost(167.3, 149.4),
    "clip_rn50x64": NetworkCost(420.4, 529.1),
    "clip_vit_b_32": NetworkCost(87.8, 8.8),
    "clip_vit_b_16": NetworkCost(86.2, 35.1),
    "clip_vit_l_14": NetworkCost(304.0, 162.0),
    "clip_vit_l_14_336": NetworkCost(304.3, 381.9),
    "plip": NetworkCost(87.8, 8.8),
    "quilt_b_32": NetworkCost(87.8, 8.8),
    "quilt_b_16": NetworkCost(86.2, 35.1),
    "quilt_b_16_pmb": NetworkCost(86.2, 35.1),
    "biomedclip": NetworkCost(86.2, 35.1),
    "omiclip": NetworkCost(303.2, 162.0),
    "medsiglip": NetworkCost(428.6, 979.2),
    "conceptclip": NetworkCost(428.2, 670.3),
    "dinov2_small": NetworkCost(22.1, 12.2),
    "dinov2_base": NetworkCost(86.6, 46.3),
    "dinov2_large": NetworkCost(304.4, 162.0),
    "dinov2_giant": NetworkCost(1136.5, 598.8),
    "dinov3_vits16": NetworkCost(21.6, 9.4),
    "dinov3_vits16_plus": NetworkCost(28.7, 12.2),
    "dinov3_vitb16": NetworkCost(85.7, 35.9),
    "dinov3_vitl16": NetworkCost(303.1, 125.7),
    "dinov3_vitl16_sat": NetworkCost(303.1, 125.7),
    "dinov3_vith16_plus": NetworkCost(840.6, 344.2),
    "dinov3_vit7b16": NetworkCost(6716.0, 2725.5),
    "dinov3_vit7b16_sat": NetworkCost(6716.0, 2725.5),
    "c-radiov2-b": NetworkCost(85.8, 36.4),
    "c-radiov2-l": NetworkCost(303.3, 127.6),
    "c-radiov2-h": NetworkCost(630.9, 263.9),
    "c-radiov2-g": NetworkCost(1134.8, 598.8),
    "resnet18": NetworkCost(11.2, 3.6),
    "resnet34": NetworkCost(21.3, 7.3),
    "resnet50": NetworkCost(23.5, 8.2),
    "resnet101": NetworkCost(42.5, 15.6),
    "resnet152": NetworkCost(58.1, 23.0),
    "resnet50_layer3": NetworkCost(8.5, 6.6),
    "convnext_tiny": NetworkCost(27.8, 8.9),
    "convnext_small": NetworkCost(49.5, 17.4),
    "convnext_base": NetworkCost(87.6, 30.7),
    "convnext_large": NetworkCost(196.2, 68.7),
    "vit_b_16": NetworkCost(85.8, 35.1),
    "vit_b_32": NetworkCost(87.5, 8.8),
    "vit_l_16": NetworkCost(303.3, 123.1),
    "vit_l_32": NetworkCost(305.5, 30.8),
    "vit_h_14": NetworkCost(632.2, 2033.4),
    "gemma4-e4b": NetworkCost(167.4, 699.4),
    "gemma4-26b": NetworkCost(569.5, 2516.5),
    # end of what is written
}
