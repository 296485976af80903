"""The project: what a lab configures once. Read from ``atlaspatch.toml`` or made from command-line options."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from atlaspatch_core.config.complaints import complaint, where_named
from atlaspatch_core.config.fields import FILE_NAME as FILE_NAME
from atlaspatch_core.config.input_fields import ProjectFields
from atlaspatch_core.config.sections import Alerts, Geometry, Patients, Pictures, Runtime, Section, Slides, Upgrades
from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.remote.places import RemotePlace
from atlaspatch_core.slides.private_links import private_placeholders, stems_behind
from atlaspatch_core.texts import decode_text, path_fault
from atlaspatch_core.tissue.quality import QualitySpec
from atlaspatch_core.tissue.spec import TissueSpec

NAME = re.compile(r"(?=.{1,60}$)[A-Za-z0-9]+([_-][A-Za-z0-9]+)*")
OWNER = re.compile(r"team:.+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}")


class Project(ProjectFields, Section):
    """Slides in, outputs out, and everything that decides what lies between."""

    slides: Slides = Slides()
    tissue: Annotated[TissueSpec, Field(default_factory=TissueSpec)]
    geometry: tuple[Geometry, ...] = ()
    weights: dict[str, Path] = Field(default_factory=dict)
    """Patch encoder, or segmentation network, to a local checkpoint."""
    patients: Patients = Patients()
    quality: Annotated[QualitySpec, Field(default_factory=QualitySpec)]
    """Bounds of what is usual; slides beyond them are warned of, or stopped where ``block`` says so."""
    upgrades: Upgrades = Upgrades()
    alerts: Alerts = Alerts()
    pictures: Pictures = Pictures()
    runtime: Runtime = Runtime()

    @property
    def follows_drawings(self) -> bool:
        """Whether patches depend on how supplied masks were drawn, beside their polygons: by the rules of others."""
        return any(geometry.rule != "lattice" and geometry.coords is None for geometry in self.geometry)

    @field_validator("name")
    @classmethod
    def _name_can_stand_before_others(cls, name: str | None) -> str | None:
        if name is not None and not NAME.fullmatch(name):
            raise ValueError(
                "must be letters and digits with single dashes or underscores between them, at most 60 in all, such as "
                "'kidney_2024'"
            )
        return name

    @field_validator("owners")
    @classmethod
    def _owners_are_known_kinds(cls, owners: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [owner for owner in owners if not OWNER.fullmatch(owner)]:
            raise ValueError(f"{wrong[0]!r} is neither an e-mail address nor 'team:' and a name")
        return owners

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [geometry.name for geometry in self.geometry]
        if len(set(names)) < len(names):
            raise ValueError("every geometry needs a name of its own, such as '20x_256px_0px_overlap'")
        return self

    @property
    def placeholders(self) -> Path:
        """Folder of the placeholders of what lies in object stores; apart where slides have pseudonyms."""
        return private_placeholders(self.output) if self.slides.has_pseudonyms else self.output

    def names_of(self, stem: str) -> tuple[str, ...]:
        """Return what files about a slide may be called: its stem, and behind a pseudonym the stem of its file."""
        return (stem, *stems_behind(self.output, stem)) if self.slides.has_pseudonyms else (stem,)


def make_project(values: dict, *, origin: str, folder: Path | None = None, text: str = "") -> Project:
    """Return a checked project.

    Args:
        values: Sections and options as in a project file.
        origin: Where they are from, as errors say it.
        folder: Where relative paths start; they stay relative when left out.
        text: That of the file, so that errors name the line.

    Returns:
        The project, frozen, with the default of every option that ``values`` leave out.

    Raises:
        InvalidProject: Names ``origin``, the field, the value and what is expected.

    Example:
        >>> project = make_project({"geometry": [{"patch_size": 512, "target_mag": 10}]}, origin="script")
        >>> project.geometry[0].spec.target_mpp  # µm/px
        1.0
    """
    try:
        project = Project.model_validate(values, context={"plugins"} & values.keys())
    except ValidationError as error:
        raise InvalidProject(f"{origin}: {'; '.join(complaint(part, text) for part in error.errors())}") from error
    except InvalidProject as error:  # of a section that checks itself
        raise InvalidProject(f"{origin}: {error}{where_named(str(error), text) if text else ''}") from error
    for place, path in _paths_in(project):
        if fault := path_fault(path) or ("" if place == "slides.folders" else _url_fault(path)):
            raise InvalidProject(f"{origin}: {place}: {fault}")
    return _with_placeholders(_with_paths_from(project, folder) if folder else project)


def _url_fault(path: Path) -> str:
    """Return in a clause why a path that is a URL cannot be used, or an empty text."""
    place = RemotePlace.of_url(path)
    return f"{place.url} is in an object store, and this is a path of this machine" if place else ""


def _paths_in(value: Any, place: str = "") -> Iterator[tuple[str, Path]]:
    """Yield the paths among the values of a project, with the names of their fields."""
    if isinstance(value, Path):
        yield place, value
    elif isinstance(value, BaseModel | dict):
        for name, part in value if isinstance(value, BaseModel) else value.items():
            yield from _paths_in(part, f"{place}.{name}".lstrip("."))
    elif isinstance(value, tuple):
        for part in value:
            yield from _paths_in(part, place)


def _with_placeholders(project: Project) -> Project:
    """Return the project with folders of placeholders in place of URLs."""
    folders = (
        place.placeholder(project.placeholders) if (place := RemotePlace.of_url(path)) else path
        for path in project.slides.folders
    )
    return project.model_copy(update={"slides": project.slides.model_copy(update={"folders": tuple(folders)})})


def _with_paths_from(project: Project, folder: Path) -> Project:
    def full(path: Path) -> Path:
        return path if RemotePlace.of_url(path) else folder / path.expanduser()

    slides = project.slides.model_copy(
        update={
            "folders": tuple(full(path) for path in project.slides.folders),
            "pseudonyms": full(project.slides.pseudonyms) if project.slides.pseudonyms else None,
            "slide_list": full(project.slides.slide_list) if project.slides.slide_list else None,
            "mpp_csv": full(project.slides.mpp_csv) if project.slides.mpp_csv else None,
            "masks": full(project.slides.masks) if project.slides.masks else None,
        }
    )
    geometries = (
        geometry.model_copy(update={"coords": full(geometry.coords) if geometry.coords else None})
        for geometry in project.geometry
    )
    manifest = full(project.patients.manifest) if project.patients.manifest else None
    update = {
        "output": full(project.output),
        "slides": slides,
        "geometry": tuple(geometries),
        "patients": project.patients.model_copy(update={"manifest": manifest}),
        "weights": {name: full(path) for name, path in project.weights.items()},
        "plugins": tuple(full(path) for path in project.plugins),
    }
    return project.model_copy(update=update)


def load_project(path: Path) -> Project:
    """Read a project file.

    Args:
        path: A TOML file, such as ``atlaspatch init`` writes; relative paths in it start at its folder.

    Returns:
        The project: every option checked, with its default where the file is silent.

    Raises:
        InvalidProject: The file is missing, is no TOML, or has a value that cannot be; names the file and the field.

    Example:
        >>> project = load_project(Path("atlaspatch.toml"))
        >>> [geometry] = project.geometry
        >>> geometry.patch_size, geometry.spec.target_mpp  # px and µm/px
        (256, 0.5)
    """
    try:
        text = decode_text(path.read_bytes())
        values = tomllib.loads(text)
    except FileNotFoundError as error:
        raise InvalidProject(f"{path}: there is no project file; 'atlaspatch init' writes one") from error
    except (OSError, ValueError) as error:
        cause = str(error).partition("; use sys.")[0]  # of a number with more digits than Python reads
        raise InvalidProject(f"{path}: the project file cannot be read: {cause}") from error
    except RecursionError as error:
        raise InvalidProject(f"{path}: the project file cannot be read: it is nested too deeply") from error
    return make_project(values, origin=str(path), folder=path.resolve().parent, text=text)
