"""What the makers, AtlasPatch 1.1 and TRIDENT say of the patch encoders."""

ATLASPATCH = {
    "resnet18": 512, "resnet34": 512, "resnet50": 2048, "resnet101": 2048, "resnet152": 2048,
    "convnext_tiny": 768, "convnext_small": 768, "convnext_base": 1024, "convnext_large": 1536,
    "vit_b_16": 768, "vit_b_32": 768, "vit_l_16": 1024, "vit_l_32": 1024, "vit_h_14": 1280,
    "dinov2_small": 384, "dinov2_base": 768, "dinov2_large": 1024, "dinov2_giant": 1536,
    "dinov3_vits16": 384, "dinov3_vits16_plus": 384, "dinov3_vitb16": 768, "dinov3_vitl16": 1024,
    "dinov3_vith16_plus": 1280, "dinov3_vit7b16": 4096, "dinov3_vitl16_sat": 1024, "dinov3_vit7b16_sat": 4096,
    "phikon_v1": 768, "phikon_v2": 1024, "hibou_b": 768, "hibou_l": 1024, "midnight": 3072,
    "plip": 512, "quilt_b_32": 512, "quilt_b_16": 512, "medsiglip": 1152,
    "uni_v1": 1024, "uni_v2": 1536, "virchow_v1": 2560, "virchow_v2": 2560, "prov_gigapath": 1536,
    "pathorchestra": 1024, "h_optimus_0": 1536, "h_optimus_1": 1536, "h0_mini": 1536,
    "lunit_resnet50_bt": 2048, "lunit_resnet50_swav": 2048, "lunit_resnet50_mocov2": 2048,
    "lunit_vit_small_patch16_dino": 384, "lunit_vit_small_patch8_dino": 384, "chief-ctranspath": 768,
    "clip_rn50": 1024, "clip_rn101": 512, "clip_rn50x4": 640, "clip_rn50x16": 768, "clip_rn50x64": 1024,
    "clip_vit_b_32": 512, "clip_vit_b_16": 512, "clip_vit_l_14": 768, "clip_vit_l_14_336": 768,
    "quilt_b_16_pmb": 512, "biomedclip": 512, "omiclip": 768,
    "conch_v1": 512, "conch_v15": 768, "musk": 2048, "openmidnight": 1536,
}  # fmt: skip
"""AtlasPatch's names to the length of a vector; of musk the length that comes out, not the one it states."""

TRIDENT = {
    "conch_v1": (512, 512, 20), "conch_v15": (768, 512, 20), "uni_v1": (1024, 256, 20), "uni_v2": (1536, 256, 20),
    "ctranspath": (768, 256, 10), "phikon": (768, 224, 20), "phikon_v2": (1024, 224, 20), "resnet50": (1024, 256, 20),
    "keep": (768, 256, 20), "gigapath": (1536, 256, 20), "virchow": (2560, 224, 20), "virchow2": (2560, 224, 20),
    "hoptimus0": (1536, 224, 20), "hoptimus1": (1536, 224, 20), "h0-mini": (768, 224, 20), "musk": (1024, 384, 20),
    "openmidnight": (1536, 224, 20), "gpfm": (1024, 224, 20), "hibou_l": (1024, 224, 20),
    "kaiko-vits8": (384, 256, 20), "kaiko-vits16": (384, 256, 20), "kaiko-vitb8": (768, 256, 20),
    "kaiko-vitb16": (768, 256, 20), "kaiko-vitl14": (1024, 256, 20), "lunit-vits8": (384, 224, 20),
    "midnight12k": (1536, 224, 20), "genbio-pathfm": (4608, 224, 20), "gemma4-e4b": (768, 224, 20),
    "gemma4-26b": (1152, 224, 20),
}  # fmt: skip
"""TRIDENT's keys to the length of a vector, and recommended patch size and magnification."""

SAME_NAME_OTHER_NUMBERS = {"resnet50", "musk", "phikon_v2"}
"""Keys of TRIDENT that are AtlasPatch's names for other numbers."""

MILLIONS = {
    "efficientnet_lite0": 3.37, "efficientnet_lite1": 4.14, "efficientnet_lite2": 4.81,
    "chief-ctranspath": 27.52, "ctranspath-original": 27.52, "uni_v1": 303.35,
    "uni_v2": 681.39, "virchow_v1": 631.23,
    "virchow_v2": 631.24,
    "virchow_v1_cls": 631.23,
    "virchow_v2_cls": 631.24, "h_optimus_0": 1134.77, "h_optimus_1": 1134.77, "h0_mini": 85.74, "h0_mini_cls": 85.74,
    "phikon_v1": 85.80, "phikon_v2": 303.35, "phikon_v2_bilinear": 303.35, "midnight": 1134.77, "midnight12k": 1134.77,
    "kaiko-vits8": 21.67, "kaiko-vits16": 21.67, "kaiko-vitb8": 85.81, "kaiko-vitb16": 85.80, "kaiko-vitl14": 304.37,
    "lunit_resnet50_bt": 23.51, "lunit_resnet50_swav": 23.51, "lunit_resnet50_mocov2": 23.51,
    "lunit_vit_small_patch16_dino": 21.67, "lunit_vit_small_patch8_dino": 21.67, "prov_gigapath": 1134.95,
    "gigapath-flash": 21.68, "openpath": 1134.77, "mstar": 303.35, "sp22m": 21.67, "prost40m": 21.62, "mettle": 1136.35,
    "mettle_cls_mean": 1136.35,
    "pathorchestra": 303.35, "openmidnight": 1134.77, "gpfm": 303.23, "genbio-pathfm": 1133.69,
    "clip_rn50": 38.32, "clip_rn101": 56.26, "clip_rn50x4": 87.14, "clip_rn50x16": 167.33, "clip_rn50x64": 420.38,
    "clip_vit_b_32": 87.85, "clip_vit_b_16": 86.19, "clip_vit_l_14": 303.97, "clip_vit_l_14_336": 304.29,
    "plip": 87.85, "quilt_b_32": 87.85, "quilt_b_16": 86.19, "quilt_b_16_pmb": 86.19, "biomedclip": 86.19,
    "omiclip": 306.72, "medsiglip": 428.57,
    "dinov2_small": 22.06, "dinov2_base": 86.58, "dinov2_large": 304.37, "dinov2_giant": 1136.48,
    "dinov3_vits16": 21.60, "dinov3_vits16_plus": 28.69, "dinov3_vitb16": 85.66, "dinov3_vitl16": 303.13,
    "dinov3_vitl16_sat": 303.13, "dinov3_vith16_plus": 840.59, "dinov3_vit7b16": 6716.04, "dinov3_vit7b16_sat": 6716.04,
    "resnet18": 11.18, "resnet34": 21.28, "resnet50": 23.51, "resnet101": 42.50, "resnet152": 58.14,
    "resnet50_layer3": 8.54, "convnext_tiny": 27.82, "convnext_small": 49.45, "convnext_base": 87.56,
    "convnext_large": 196.23, "vit_b_16": 85.80, "vit_b_32": 87.46, "vit_l_16": 303.30, "vit_l_32": 305.51,
    "vit_h_14": 632.19, "gemma4-e4b": 167.36, "gemma4-26b": 569.55,
    "pathoduet-he": 85.80, "pathoduet-ihc": 85.80, "retccl": 23.51, "digepath": 303.35, "beph": 85.76,
    "isight": 304.56, "isight_cls": 304.56,
    "c-radiov2-b": 85.80, "c-radiov2-l": 303.31, "c-radiov2-h": 630.92,
}  # fmt: skip
"""Numbers of parameters, without classifiers and text towers."""

WITH_FOREIGN_CODE = {
    "conch_v1", "conch_v15", "hibou_b", "hibou_l", "keep", "musk", "musk_single_scale",
    "rudolfv2", "rudolfv2_cls_mean", "rudolfv2-b", "rudolfv2_b_cls_mean", "rudolfv2-s", "rudolfv2_s_cls_mean",
    "phaet", "mascaret", "mascaret_cls_mean", "c-radiov2-g", "conceptclip",
}  # fmt: skip
"""Encoders whose network is code of others, so that its size is not known here."""
