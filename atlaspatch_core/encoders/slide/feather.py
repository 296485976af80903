"""FEATHER: attention over patches, trained on 108 tumour types in 24,000 slides (Shao 2025, arXiv:2506.09022)."""

from atlaspatch_core.encoders.declaration import SlideEncoder, StateDict
from atlaspatch_core.encoders.declared_names import named
from atlaspatch_core.encoders.hub import HubWeights
from atlaspatch_core.encoders.slide.attention import AttentionPool
from atlaspatch_core.encoders.slide.calling import pool, pool_attention


@named("without_classifier")
def without_classifier(checkpoint: StateDict, network: StateDict) -> StateDict:  # noqa: ARG001
    """Return the tensors of the pooling, without the prefix ``model.`` and the classifier of tumour types."""
    names = {name.removeprefix("model."): tensor for name, tensor in checkpoint.items()}
    return {name: tensor for name, tensor in names.items() if not name.startswith("classifier.")}


def feather(name: str, patch_encoder: str, width: int, patch_size: int, published_as: str) -> SlideEncoder:
    """Return the FEATHER of one patch encoder."""
    repository = f"MahmoodLab/abmil.base.{published_as}.pc108-24k"
    return SlideEncoder(
        name=name,
        patch_encoder=patch_encoder,
        dim=512,
        forward=pool,
        attention=pool_attention,
        architecture=AttentionPool(width, 512, 384),
        source=HubWeights(repository, gated=True),
        adapt=without_classifier,
        license="CC-BY-NC-ND-4.0",
        gated=True,
        patch_size=patch_size,
        magnification=20,
        homepage=f"https://huggingface.co/{repository}",
        note=f"Attention over {patch_encoder} features, trained to tell 108 tumour types apart.",
    )


FEATHER = feather("feather", "conch_v15", 768, 512, "conch_v15")
FEATHER_UNI = feather("feather_uni", "uni_v1", 1024, 256, "uni")
FEATHER_UNI_V2 = feather("feather_uni_v2", "uni_v2", 1536, 256, "uni_v2")
