"""Features and embeddings of one slide, by the encoders and in the batches of the pipeline."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.api.options import as_names, as_paths, checked_project
from atlaspatch_core.api.own_encoders import own_encoder
from atlaspatch_core.api.slide import as_opened
from atlaspatch_core.errors import NoPatches
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.slides.slide import Slide

if TYPE_CHECKING:
    from atlaspatch_core.config.input_fields import ScalePolicy
    from atlaspatch_core.config.project import Project
    from atlaspatch_core.encoders.batch_size import BatchSize
    from atlaspatch_core.encoders.declaration import PatchEncoder, Plugins, Precision, SlideEncoder
    from atlaspatch_core.encoders.inference import SlideFeatures
    from atlaspatch_core.encoders.loaded import LoadedPatchEncoder
    from atlaspatch_core.patches.grid_spec import Downscale
    from atlaspatch_core.validity.recipe import OutputSpec, Recipe


@dataclass(frozen=True, slots=True)
class _Loading:
    """What makes features and, for a slide encoder, an embedding of them."""

    recipe: "Recipe"
    features: "Sequence[OutputSpec]"
    """One, or those of each patch encoder that a slide encoder takes, in its order."""
    embedding: "OutputSpec | None"

    def load(self, stage: "OutputSpec") -> Any:
        """Return the loaded encoder of a stage, kept for the next call. Raises MissingWeights, WrongWeights."""
        from atlaspatch_core.encoders.hub import fetch
        from atlaspatch_core.pipeline.loaded_models import Models

        assert stage.encoder is not None
        fetch([(stage.encoder.name, stage.encoder.source)])
        return Models(self.recipe.project.runtime).get(stage)


def encode(
    slide: Slide,
    grid: PatchGrid,
    encoder: "str | PatchEncoder | SlideEncoder",
    *,
    features: "SlideFeatures | None" = None,
    precision: "Precision | None" = None,
    input_size: int | None = None,
    downscale: "Downscale | None" = None,
    device: str | None = None,
    batch_size: "BatchSize | None" = None,
    weights: Mapping[str, str | Path] | None = None,
    plugins: Collection[str | Path] = (),
    allow_remote_code: str | Collection[str] = (),
    other_scales: "ScalePolicy" = "warn",
    progress: bool = False,
) -> NDArray[np.float32]:
    """Encode the patches of a slide: the numbers that ``encode-slide`` would store.

    Args:
        slide: An open slide.
        grid: Its patches, as ``lay_grid`` chose them.
        encoder: A patch or slide encoder of ``atlaspatch encoders``, or your own, by ``ap.PatchEncoder.from_module``.
        features: Those (n, d) that a slide encoder takes, if they are there, as they must where both encoders are your
            own; a tuple where it takes several.
        precision: ``float32``, ``float16``, ``bfloat16`` or ``own`` (the makers'); the command's when left out.
        input_size: Side to which patches are scaled, px; each encoder's own when left out.
        downscale: ``area`` or ``dct``, as in docs/options.md.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; the command's default when left out.
        batch_size: Patches that an encoder takes at once, or ``auto``.
        weights: Name of an encoder to a local file with its weights.
        plugins: Python files that declare further encoders. Their code is executed.
        allow_remote_code: Encoders whose Python code, which lies beside their weights, may be run.
        other_scales: Patches at a scale that the encoder was not made for: ``warn``, ``refuse`` or ``allow`` them.
        progress: Show a bar.

    Returns:
        Features, float32 (n, d), row i of row i of the coords, or of a slide encoder an embedding, float32 (d,).

    Raises:
        UnknownName, GeometryMismatch: There is no such encoder, or it was made for patches of another size or scale.
        NoPatches, UnreadableSlide: There is nothing to embed; pixels of a patch cannot be decoded.
        MissingWeights, WrongWeights, MissingExtra, RemoteCodeNotAllowed: The encoder cannot be loaded.

    Example:
        >>> slide = ap.open_slide("CMU-1-Small-Region.svs")
        >>> grid = ap.lay_grid(slide, ap.segment(slide), patch_size=256, target_mag=20, min_tissue=0.9)
        >>> features = ap.encode(slide, grid, "efficientnet_lite0", device="cpu", precision="float32")
        >>> embedding = ap.encode(slide, grid, "mean-efficientnet_lite0", features=features, device="cpu")
        >>> features.shape == (len(grid), 1280), embedding.shape
        (True, (1280,))
    """
    geometry = {"precision": precision, "input_size": input_size, "downscale": downscale}
    values = {
        "geometry": [geometry | {"patch_size": grid.sampling.patch_size, "target_mpp": grid.scale}],
        "runtime": {"device": device, "feature_batch_size": batch_size},
        "weights": as_paths(weights), "plugins": tuple(map(Path, plugins)),
        "allow_remote_code": as_names(allow_remote_code), "other_scales": other_scales,
    }  # fmt: skip
    loading = _find_encoder(encoder, checked_project("ap.encode", values), has_features=features is not None)
    return _encode(slide, grid, features, loading, progress=progress)


def _encode(
    slide: Slide, grid: PatchGrid, features: "SlideFeatures | None", loading: _Loading, *, progress: bool
) -> NDArray[np.float32]:
    if loading.embedding and not len(grid):
        raise NoPatches(f"{slide.info.stem}: it has no patches, so there is nothing to embed; lower min_tissue")
    if features is None or loading.embedding is None:
        features = _features(slide, grid, loading, progress=progress)
    bags = features if isinstance(features, tuple) else (features,)
    return _embedding(grid, bags, loading) if loading.embedding else bags[0]


def _find_encoder(encoder: "str | PatchEncoder | SlideEncoder", project: "Project", *, has_features: bool) -> _Loading:
    """Return what an encoder, or one of this name, takes. Raises UnknownName, InvalidProject."""
    from atlaspatch_core.validity.recipe import make_recipe

    own = own_encoder(encoder, project, has_features=has_features)
    name = encoder if isinstance(encoder, str) else encoder.name
    geometry = project.geometry[0].model_copy(update={_kind_of(name, project, own): (name,)})
    recipe = make_recipe(project.model_copy(update={"geometry": (geometry,)}), own)
    for warning in recipe.warnings:
        warnings.warn(str(warning), stacklevel=3)
    embedding = next(iter(recipe.stages_of("slide_embedding", geometry)), None)
    if embedding is None:
        return _Loading(recipe, recipe.stages_of("patch_features", geometry), None)
    return _Loading(recipe, [recipe.stage(step) for step in embedding.features], embedding)


def _kind_of(name: str, project: "Project", own: "Plugins") -> str:
    """Return the field of a geometry in which an encoder is named. Raises UnknownName."""
    from atlaspatch_core.encoders.any_kind import find_encoder
    from atlaspatch_core.encoders.declaration import PatchEncoder
    from atlaspatch_core.validity.project_plugins import plugins_of

    encoder = find_encoder(name, project.weights, plugins_of(project, own))
    return "patch_encoders" if isinstance(encoder, PatchEncoder) else "slide_encoders"


def _features(slide: Slide, grid: PatchGrid, loading: _Loading, *, progress: bool) -> tuple[NDArray[np.float32], ...]:
    """Return the features (n, d) of each patch encoder; pixels are read once for all."""
    from atlaspatch_core.encoders.batch_size import batch_size_of
    from atlaspatch_core.encoders.patch_encoders import PatchEncoders
    from atlaspatch_core.patches.stream import open_stream

    models: list[LoadedPatchEncoder] = [loading.load(stage) for stage in loading.features]
    runtime, [geometry] = loading.recipe.project.runtime, loading.recipe.project.geometry
    for model in models:
        model.expect(len(grid))
    together = PatchEncoders(models)
    features = tuple(np.empty((len(grid), model.dim), np.float32) for model in models)
    size = batch_size_of(runtime.feature_batch_size, models, grid.sampling.patch_size)
    readers = runtime.readers
    with (
        open_stream(as_opened(slide), grid, batch_size=size, workers=readers, downscale=geometry.downscale) as stream,
        progress_bar(len(grid), models[0].encoder.name) if progress else nullcontext() as bar,
    ):
        for rows, encoded in together.encode_stream((batch.rows, batch.patches) for batch in stream):
            for whole, values in zip(features, encoded, strict=True):
                whole[rows] = values
            if bar is not None:
                bar.update(len(rows))
    return features


def _embedding(grid: PatchGrid, features: tuple[NDArray[np.float32], ...], loading: _Loading) -> NDArray[np.float32]:
    from atlaspatch_core.encoders.inference import encode_slide

    assert loading.embedding is not None
    if wrong := [len(bag) for bag in features if len(bag) != len(grid)]:
        raise NoPatches(f"{wrong[0]} features were given for {len(grid)} patches; give one row a patch")
    model = loading.load(loading.embedding)
    return encode_slide(model, features, grid.coords.astype(np.int64), grid.sampling.patch_size_level0)


def progress_bar(total: int, what: str) -> Any:
    """Return a bar of so many patches."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, unit="patch")
