"""Results of a geometry that got a name, or another one: they lie where it had none, and are the same results.

A name decides where files lie and what outputs are called, and no number. So what lies under the former name is taken
over, by links, where the coords there are those that the geometry asks for; under that name all of it stays.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from atlaspatch_core.config.sections import GEOMETRY_NAME, Geometry
from atlaspatch_core.storage.slide_index import read_slide_index
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import Recipe, make_recipe
from atlaspatch_core.validity.states import State, validities
from atlaspatch_core.validity.stored import stored_in_files
from atlaspatch_core.wording import format_count


@dataclass(frozen=True, slots=True)
class FormerResults:
    """Results of a geometry under its former name, of slides that have none under its present one."""

    geometry: str
    former: str
    """The former name; empty for none."""
    stems: tuple[str, ...]
    folder: Path
    """Where they lie."""

    @property
    def text(self) -> str:
        """What to say before these slides are computed anew, in a sentence with the cure."""
        of_geometry = f"geometry '{self.geometry}'" if self.geometry else "the geometry without a name"
        former = f"the name '{self.former}'" if self.former else "no name"
        return (
            f"{of_geometry} has no results of {format_count(len(self.stems), 'slide')} whose patches, as it asks for "
            f"them, lie in {self.folder} from when it had {former}; 'atlaspatch carry-over' takes them over, and "
            "nothing of them is computed anew"
        )


def find_former_results(recipe: Recipe) -> list[FormerResults]:
    """Return what geometries of a project may take over, where it is no geometry's of the project."""
    return [each for geometry in recipe.project.geometry for each in _of_geometry(recipe, geometry)]


def carry_over(recipe: Recipe, former: FormerResults) -> Iterator[str]:
    """Let a geometry have its former results; yield the slides that were taken over, one by one.

    Embeddings of cases go with them. A file that lies there already stays, so that a second call, after a kill say,
    takes over the rest. Raises UnwritableOutput.
    """
    store = Store(recipe.project.output)
    yield from (stem for stem in former.stems if store.link_results(stem, former.geometry, former.former))
    for stage in recipe.cases:
        if stage.encoder and stage.step.geometry == former.geometry:
            store.link_cases(stage.encoder.name, former.geometry, former.former)


def _of_geometry(recipe: Recipe, geometry: Geometry) -> Iterator[FormerResults]:
    store = Store(recipe.project.output)
    lacking = [(former, store.results(former).keys()) for former in _other_names(recipe)]
    has = set(store.results(geometry.name)) if any(stems for _, stems in lacking) else set()
    for former, stems in lacking:
        if same := _with_same_coords(recipe, geometry, former, stems - has):
            has.update(same)
            yield FormerResults(geometry.name, former, same, store.h5("any", former).parent)


def _other_names(recipe: Recipe) -> list[str]:
    """Return the names under which results lie that no geometry of the project has."""
    output = recipe.project.output
    folders = sorted(path.name for path in output.iterdir() if (path / "patches").is_dir()) if output.is_dir() else []
    names = ["", *(name for name in folders if GEOMETRY_NAME.fullmatch(name))]
    return [name for name in names if name not in {geometry.name for geometry in recipe.project.geometry}]


def _with_same_coords(recipe: Recipe, geometry: Geometry, former: str, stems: Collection[str]) -> tuple[str, ...]:
    """Return the slides whose coords under the former name are those that the geometry asks for."""
    if not stems:
        return ()
    project = recipe.project
    renamed = geometry.model_copy(update={"name": former})
    geometries = tuple(renamed if each is geometry else each for each in project.geometry)
    before = make_recipe(project.model_copy(update={"geometry": geometries}))
    index = read_slide_index(Store(project.output), project.slides.masks_origin)
    steps = [OutputKey("patch_coords", None, former)]
    outputs = validities(before, sorted(stems), stored_in_files(before, index), steps=steps, slide_index=index)
    return tuple(output.stem for output in outputs if output.state is State.FRESH)
