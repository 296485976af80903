"""What a project makes of every slide: its steps in order, and the identity of each output before it exists."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from atlaspatch_core.config.policy import check_license, permitted
from atlaspatch_core.config.project import Project
from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.encoders.declaration import NO_PLUGINS, PatchEncoder, Plugins, SlideEncoder
from atlaspatch_core.encoders.input_size import with_input_size
from atlaspatch_core.encoders.patch import find_patch_encoder
from atlaspatch_core.encoders.patient import find_patient_encoder
from atlaspatch_core.encoders.recorded import RECORDED, is_recorded
from atlaspatch_core.encoders.slide import find_slide_encoder
from atlaspatch_core.fingerprint import Identity, canonical_json, short_hash
from atlaspatch_core.option import stated_values
from atlaspatch_core.storage.schema import PLACES
from atlaspatch_core.tissue.segmenters import Segmentation
from atlaspatch_core.validity.given_weights import unused_warnings, unused_weights, with_known_weights
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.project_plugins import check_reader, digests_of, plugins_of, segmenter_of
from atlaspatch_core.validity.recipe_warnings import RecipeWarning, unkept_attention
from atlaspatch_core.validity.scales import check_scales
from atlaspatch_core.validity.suitable_geometry import check_geometry, suitable_geometry

SLIDE = OutputKey("slide")
TISSUE_MASK = OutputKey("tissue_mask")

STEP_VERSIONS: Mapping[str, int] = {
    "slide": 1,
    "tissue_mask": 1,
    "patch_coords": 1,
    "patch_features": 1,
    "slide_embedding": 1,
    "patient_embedding": 1,
}
"""Raised whenever a change of the code changes the numbers of a step."""

EMPTY: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One step of the recipe: what decides its outputs, whatever the slide."""

    step: OutputKey
    upstream: tuple[OutputKey, ...] = ()
    settings: Mapping[str, Any] | None = None
    """JSON values that decide the numbers, beside the encoder."""
    encoder: PatchEncoder | SlideEncoder | None = None
    geometry: Geometry | None = None
    segmentation: Segmentation | None = None

    @property
    def spec(self) -> dict[str, Any]:
        """Return everything that decides the numbers, fit for JSON. Raises MissingWeights.

        Weights from a hub are known by their hash once they were fetched.
        """
        maker = self.encoder or self.segmentation
        return (maker.spec() if maker else {}) | dict(self.settings or {})

    @property
    def features(self) -> tuple[OutputKey, ...]:
        """Return the features that an embedding is made of, in the encoder's order."""
        return tuple(step for step in self.upstream if step.kind == "patch_features")

    @property
    def dataset(self) -> str:
        """Path of the output in the slide's HDF5 file."""
        return "/".join(part for part in (PLACES.get(self.step.kind, ""), self.step.encoder) if part)

    @property
    def code_version(self) -> str:
        """16 hex digits that change with whatever decides the numbers on every slide. Raises MissingWeights."""
        return short_hash(canonical_json({"version": STEP_VERSIONS[self.step.kind], "spec": self.spec}))

    def identity(
        self, inputs: Mapping[str, str], facts: Mapping[str, Any] = EMPTY, spec: Mapping[str, Any] | None = None
    ) -> Identity:
        """Return the identity of the output; ``found`` are facts of the slide that decide numbers, such as its mpp.

        ``spec`` is the stage's own where the caller has it at hand.
        """
        whole = {**(self.spec if spec is None else spec), **facts}
        return Identity(self.step.kind, STEP_VERSIONS[self.step.kind], whole, inputs)


@dataclass(frozen=True, slots=True)
class Recipe:
    """All stages of a project, upstream first."""

    project: Project
    stages: tuple[OutputSpec, ...]
    cases: tuple[OutputSpec, ...] = ()
    """What is made of every case: the slides' features, upstream of it, are among the stages."""
    plugins: tuple[str, ...] = ()
    """sha256 of the project's plugins, as they are now."""
    warnings: tuple[RecipeWarning, ...] = ()
    """What is odd about what is asked for."""
    encoders: Plugins = NO_PLUGINS
    """Encoders of plugins that the project may name."""

    @property
    def segmentation(self) -> Segmentation:
        """How its masks are made."""
        segmentation = self.stage(TISSUE_MASK).segmentation
        assert segmentation
        return segmentation

    def stage(self, step: OutputKey) -> OutputSpec:
        """Return the stage that makes a step's output."""
        return next(stage for stage in self.stages if stage.step == step)

    def with_upstream(self, steps: Collection[OutputKey] | None) -> tuple[OutputSpec, ...]:
        """Return the stages of these steps and all that they are computed from, upstream first; all for None."""
        selected = {stage.step for stage in self.stages} if steps is None else set(steps)
        for stage in reversed(self.stages):
            if stage.step in selected:
                selected |= set(stage.upstream)
        return tuple(stage for stage in self.stages if stage.step in selected)

    def stages_of(self, kind: str, geometry: Geometry) -> tuple[OutputSpec, ...]:
        """Return the stages of one kind for one geometry."""
        return tuple(stage for stage in self.stages if stage.step.kind == kind and stage.step.geometry == geometry.name)


def make_recipe(project: Project, own: Plugins = NO_PLUGINS) -> Recipe:
    """Return what the project makes of every slide: its outputs, upstream first, each with all that decides it.

    Args:
        project: A checked project. No torch is imported, no slide opened. Its plugin files are executed, but for who
            only reads (``consent.executing_nothing``): then their encoders are as results record them.
        own: Further encoders that the project may name.

    Returns:
        The recipe, with one stage an output.

    Raises:
        UnknownName: A reader, a segmenter or an encoder does not exist.
        GeometryMismatch: An encoder was made for patches of another size or magnification, or, where the project
            refuses other scales, of another scale.
        LicenseNotAllowed, RemoteCodeNotAllowed: The project does not allow it.

    Example:
        >>> recipe = make_recipe(load_project(Path("atlaspatch.toml")))
        >>> [str(stage.step) for stage in recipe.stages][2:]
        ['patch_coords', 'patch_features/efficientnet_lite0', 'slide_embedding/mean-efficientnet_lite0']
    """
    check_reader(project)
    segmentation = Segmentation(project.tissue, project.weights, segmenter_of(project))
    for network in segmentation.networks:
        if network.license != RECORDED:
            check_license(network.name, network.license, project.allow_licenses)
    plugins = plugins_of(project, own)
    networks = [network.name for network in segmentation.networks]
    project = with_known_weights(project, plugins, networks)
    segmentation = replace(segmentation, weights=project.weights)
    shared = (OutputSpec(SLIDE), OutputSpec(TISSUE_MASK, (SLIDE,), segmentation=segmentation))
    cases = tuple(_case_stages(project, plugins))
    rest = [stage for geometry in project.geometry for stage in _stages(geometry, project, plugins, cases)]
    encoders = [(stage.geometry, stage.encoder) for stage in (*rest, *cases)]
    unused = unused_weights(project.weights, [encoder for _, encoder in encoders], networks)
    warnings = chain(
        check_scales(project, encoders), unkept_attention(project, encoders), unused_warnings(unused)
    )  # fmt: skip
    return Recipe(project, (*shared, *rest), cases, digests_of(project), tuple(warnings), plugins)


def _case_stages(project: Project, plugins: Plugins) -> Iterator[OutputSpec]:
    for name in dict.fromkeys(project.patients.encoders):
        encoder = permitted(find_patient_encoder(name, project.weights, plugins), project)
        geometry = suitable_geometry(encoder, project.geometry)
        step = OutputKey("patient_embedding", encoder.name, geometry.name)
        yield OutputSpec(step, (_features(encoder.patch_encoder, geometry),), None, encoder, geometry)


def _stages(
    geometry: Geometry, project: Project, plugins: Plugins, cases: Sequence[OutputSpec] = ()
) -> Iterator[OutputSpec]:
    named = [find_slide_encoder(name, project.weights, plugins) for name in geometry.slide_encoders]
    check_geometry(geometry, named)  # before somebody consents to code that cannot be of use
    slide_encoders = [permitted(encoder, project) for encoder in named]
    of_cases = [step.encoder for case in cases if case.geometry is geometry for step in case.upstream if step.encoder]
    of_slides = [name for encoder in slide_encoders for name in encoder.patch_encoders]
    names = [*geometry.patch_encoders, *of_slides, *of_cases]
    encoders = [permitted(find_patch_encoder(name, project.weights, plugins), project) for name in names]
    patch_encoders = [
        encoder if is_recorded(encoder) else with_input_size(encoder, geometry.input_size) for encoder in encoders
    ]
    coords = OutputKey("patch_coords", None, geometry.name)
    yield _coords_stage(coords, geometry)
    for encoder in {encoder.name: encoder for encoder in patch_encoders}.values():
        settings = _feature_settings(geometry, encoder)
        yield OutputSpec(_features(encoder.name, geometry), (coords,), settings, encoder, geometry)
    for encoder in {encoder.name: encoder for encoder in slide_encoders}.values():
        step = OutputKey("slide_embedding", encoder.name, geometry.name)
        features = (_features(name, geometry) for name in encoder.patch_encoders)
        yield OutputSpec(step, (coords, *features), None, encoder, geometry)


def _coords_stage(step: OutputKey, geometry: Geometry) -> OutputSpec:
    """Return the stage that lays a grid over the tissue, or takes coords that somebody supplied as they are."""
    if geometry.coords is not None:
        return OutputSpec(step, (SLIDE,), {"supplied": True}, None, geometry)
    filters = stated_values(geometry.filters) if geometry.filters else None
    settings = {"grid": stated_values(geometry.spec), "filters": filters}
    return OutputSpec(step, (SLIDE, TISSUE_MASK), settings, None, geometry)


def _feature_settings(geometry: Geometry, encoder: PatchEncoder) -> dict[str, Any]:
    """Return what decides features beside the encoder; the usual way of downscaling goes without saying."""
    downscale = {} if geometry.downscale == "area" else {"downscale": geometry.downscale}
    return {"precision": geometry.precision_of(encoder.precision)} | downscale


def _features(encoder: str, geometry: Geometry) -> OutputKey:
    return OutputKey("patch_features", encoder, geometry.name)
