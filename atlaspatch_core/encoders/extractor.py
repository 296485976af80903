"""AtlasPatch's plugin hook: the registry that a plugin fills, and its feature extractors as networks."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from atlaspatch_core.errors import InvalidProject, UnknownName, WrongWeights

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


class FeatureExtractor(Protocol):
    """What a builder returns."""

    name: str
    embedding_dim: int

    def extract_batch(self, patches: list[Any], *, batch_size: int) -> Any:
        """Return features (b, embedding_dim), an array or a tensor, from RGB uint8 patches (h, w, 3)."""
        ...

    def cleanup(self) -> None:
        """Release what the extractor holds."""
        ...


Builder = Callable[[], FeatureExtractor]


class Registry:
    """The names and builders that one plugin registers; names are lower-cased."""

    def __init__(self) -> None:
        self._builders: dict[str, Builder] = {}

    def register(self, name: str, builder: Builder) -> None:
        """Add a builder; raises InvalidProject when the name is taken."""
        if name.lower() in self._builders:
            raise InvalidProject(f"a plugin registers {name.lower()} twice; rename one of the two")
        self._builders[name.lower()] = builder

    def available(self) -> list[str]:
        """Return the names, sorted."""
        return sorted(self._builders)

    def create(self, name: str) -> FeatureExtractor:
        """Return a new extractor; raises UnknownName."""
        if name.lower() not in self._builders:
            raise UnknownName(f"no plugin registers {name}; registered: {', '.join(self.available()) or 'none'}")
        return self._builders[name.lower()]()

    def create_many(self, names: Iterable[str]) -> list[FeatureExtractor]:
        """Return new extractors in the order of the names; raises UnknownName."""
        return [self.create(name) for name in names]

    def as_mapping(self) -> Mapping[str, Builder]:
        """Return the builders by name."""
        return dict(self._builders)


@dataclass(frozen=True, slots=True)
class Extractor:
    """An architecture whose network is a plugin's feature extractor; it takes uint8 pixels."""

    name: str
    builder: Builder

    def build(self, weights: Path | None) -> "Module":  # noqa: ARG002
        """Return the extractor as a network that gives (b, embedding_dim)."""
        return _as_network(self.name, self.builder())

    def spec(self) -> dict[str, Any]:
        """Return the name; the hash of the plugin stands beside it."""
        return {"extractor": self.name}


def _as_network(name: str, extractor: FeatureExtractor) -> "Module":
    import torch

    class ExtractorNetwork(torch.nn.Module):
        embedding_dim = int(extractor.embedding_dim)

        def forward(self, pixels: "Tensor") -> "Tensor":
            patches = list(pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy())
            features = torch.as_tensor(extractor.extract_batch(patches, batch_size=len(patches)))
            if features.ndim != 2:
                raise WrongWeights(f"{name}: gave an array of shape {tuple(features.shape)}, not (patches, dim)")
            return features

        def cleanup(self) -> None:
            if callable(clean := getattr(extractor, "cleanup", None)):
                clean()

    return ExtractorNetwork()
