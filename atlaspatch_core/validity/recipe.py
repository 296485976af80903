"""What a project makes of every slide: its steps in order, and the identity of each output before it exists."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isclose
from typing import Any

from atlaspatch_core.config.policy import check_license, permitted
from atlaspatch_core.config.project import Project
from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.encoders.declaration import PatchEncoder, Plugins, SlideEncoder
from atlaspatch_core.encoders.input_size import with_input_size
from atlaspatch_core.encoders.patch import find_patch_encoder
from atlaspatch_core.encoders.patient import find_patient_encoder
from atlaspatch_core.encoders.slide import find_slide_encoder
from atlaspatch_core.errors import GeometryMismatch
from atlaspatch_core.fingerprint import Identity, canonical_json, short_hash
from atlaspatch_core.storage.schema import PLACES
from atlaspatch_core.tissue.segmenters import Segmentation, networks_of
from atlaspatch_core.validity.outcome import OutputKey

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

    def stage(self, step: OutputKey) -> OutputSpec:
        """Return the stage that makes a step's output."""
        return next(stage for stage in self.stages if stage.step == step)

    def stages_of(self, kind: str, geometry: Geometry) -> tuple[OutputSpec, ...]:
        """Return the stages of one kind for one geometry."""
        return tuple(stage for stage in self.stages if stage.step.kind == kind and stage.step.geometry == geometry.name)


def make_recipe(project: Project) -> Recipe:
    """Return what the project makes of every slide: its outputs, upstream first, each with all that decides it.

    Args:
        project: A checked project. No torch is imported, no slide opened.

    Returns:
        The recipe, with one stage an output.

    Raises:
        UnknownName: A segmenter or an encoder does not exist.
        GeometryMismatch: An encoder was made for patches of another size or magnification.
        LicenseNotAllowed, RemoteCodeNotAllowed: The project does not allow it.

    Example:
        >>> recipe = make_recipe(load_project(Path("atlaspatch.toml")))
        >>> [str(stage.step) for stage in recipe.stages][2:]
        ['patch_coords', 'patch_features/efficientnet_lite0', 'slide_embedding/mean-efficientnet_lite0']
    """
    for network in networks_of(project.tissue):
        check_license(network.name, network.license, project.allow_licenses)
    plugins = _plugins(project)
    segmentation = Segmentation(project.tissue, project.weights)
    shared = (OutputSpec(SLIDE), OutputSpec(TISSUE_MASK, (SLIDE,), segmentation=segmentation))
    cases = tuple(_case_stages(project, plugins))
    rest = (stage for geometry in project.geometry for stage in _stages(geometry, project, plugins, cases))
    return Recipe(project, (*shared, *rest), cases)


def _plugins(project: Project) -> Plugins:
    from atlaspatch_core.encoders.plugins import all_plugins

    runtime = project.runtime
    precision = project.geometry[0].precision_of("float32") if project.geometry else "float32"
    device = runtime.feature_device or runtime.device
    return all_plugins(project.plugins, device=device, precision=precision, num_workers=runtime.read_workers)


def _case_stages(project: Project, plugins: Plugins) -> Iterator[OutputSpec]:
    for name in dict.fromkeys(project.patients.encoders):
        encoder = permitted(find_patient_encoder(name, project.weights, plugins), project)
        geometry = _suitable(encoder, project.geometry)
        step = OutputKey("patient_embedding", encoder.name, geometry.name)
        yield OutputSpec(step, (_features(encoder.patch_encoder, geometry),), None, encoder, geometry)


def _suitable(encoder: SlideEncoder, geometries: Sequence[Geometry]) -> Geometry:
    """Return the first geometry that an encoder was made for. Raises GeometryMismatch."""
    mismatch = GeometryMismatch(f"{encoder.name}: there is no geometry; add a [[geometry]] to the project file")
    for geometry in geometries:
        try:
            check_geometry(geometry, [encoder])
        except GeometryMismatch as error:
            mismatch = error
        else:
            return geometry
    raise mismatch


def _stages(
    geometry: Geometry, project: Project, plugins: Plugins, cases: Sequence[OutputSpec] = ()
) -> Iterator[OutputSpec]:
    slide_encoders = [
        permitted(find_slide_encoder(name, project.weights, plugins), project) for name in geometry.slide_encoders
    ]
    of_cases = [step.encoder for case in cases if case.geometry is geometry for step in case.upstream if step.encoder]
    names = [*geometry.patch_encoders, *(encoder.patch_encoder for encoder in slide_encoders), *of_cases]
    encoders = [permitted(find_patch_encoder(name, project.weights, plugins), project) for name in names]
    patch_encoders = [with_input_size(encoder, geometry.input_size) for encoder in encoders]
    check_geometry(geometry, slide_encoders)
    coords = OutputKey("patch_coords", None, geometry.name)
    yield _coords_stage(coords, geometry)
    for encoder in {encoder.name: encoder for encoder in patch_encoders}.values():
        settings = _feature_settings(geometry, encoder)
        yield OutputSpec(_features(encoder.name, geometry), (coords,), settings, encoder, geometry)
    for encoder in {encoder.name: encoder for encoder in slide_encoders}.values():
        step = OutputKey("slide_embedding", encoder.name, geometry.name)
        yield OutputSpec(step, (coords, _features(encoder.patch_encoder, geometry)), None, encoder, geometry)


def _coords_stage(step: OutputKey, geometry: Geometry) -> OutputSpec:
    """Return the stage that lays a grid over the tissue, or takes coords that somebody supplied as they are."""
    if geometry.coords is not None:
        return OutputSpec(step, (SLIDE,), {"supplied": True}, None, geometry)
    filters = _without_none(asdict(geometry.filters)) if geometry.filters else None
    settings = {"grid": _without_none(asdict(geometry.spec)), "filters": filters}
    return OutputSpec(step, (SLIDE, TISSUE_MASK), settings, None, geometry)


def _feature_settings(geometry: Geometry, encoder: PatchEncoder) -> dict[str, Any]:
    """Return what decides features beside the encoder; the usual way of downscaling goes without saying."""
    downscale = {} if geometry.downscale == "area" else {"downscale": geometry.downscale}
    return {"precision": geometry.precision_of(encoder.precision)} | downscale


def _features(encoder: str, geometry: Geometry) -> OutputKey:
    return OutputKey("patch_features", encoder, geometry.name)


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def check_geometry(geometry: Geometry, encoders: Sequence[SlideEncoder]) -> None:
    """Raise GeometryMismatch when an encoder was made for patches of another size or magnification.

    Both are said of every encoder that was made for some, so that a clash names all of them. Magnifications within 1 %
    are one.
    """
    made_for = [encoder for encoder in encoders if encoder.patch_size is not None]
    if any(encoder.patch_size != geometry.patch_size for encoder in made_for):
        sizes = ", ".join(f"{encoder.name} needs {encoder.patch_size}" for encoder in made_for)
        raise GeometryMismatch(
            f"patch size {geometry.patch_size} px does not suit the slide encoders ({sizes}); {_cure(made_for)}"
        )
    made_for = [encoder for encoder in encoders if encoder.magnification is not None]
    if any(not isclose(encoder.magnification or 0, geometry.magnification, rel_tol=0.01) for encoder in made_for):
        powers = ", ".join(f"{encoder.name} needs {encoder.magnification:g}x" for encoder in made_for)
        raise GeometryMismatch(
            f"magnification {geometry.magnification:.4g}x does not suit the slide encoders ({powers}); "
            f"{_cure(made_for)}"
        )


def _cure(encoders: Sequence[SlideEncoder]) -> str:
    """Return what to do: one geometry for all, where their wishes agree."""
    wishes = {(encoder.patch_size, encoder.magnification) for encoder in encoders}
    if len(wishes) > 1:
        return "give each a run, or a geometry, of its own"
    (size, magnification) = wishes.pop()
    return f"take patch size {size}" + (f" at {magnification:g}x" if magnification else "")
