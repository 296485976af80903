"""One tiny network's weights, the same in another file, and those of another."""

from pathlib import Path


def network_weights(folder: Path) -> dict[str, Path]:
    """Write one network in two file formats, and another one."""
    import timm
    import torch
    from safetensors.torch import save_file

    paths = {name: folder / name for name in ("old.pt", "same.safetensors", "other.pt")}
    torch.manual_seed(0)
    old = timm.create_model("test_efficientnet", num_classes=0).state_dict()
    torch.save(old, paths["old.pt"])
    save_file(old, paths["same.safetensors"])
    torch.save(timm.create_model("test_efficientnet", num_classes=0).state_dict(), paths["other.pt"])
    return paths
