"""From arguments of Python to a checked project: the same fields, defaults and bounds as on the command line."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypedDict

from atlaspatch_core.config.fields import TABLES
from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.errors import InvalidProject
from atlaspatch_core.option import OptionField, fields_of
from atlaspatch_core.patches.grid_spec import Edge, Resample, Rule, Scale

OF_ENCODE_SLIDE = ("", "slides", "tissue", "geometry", "geometry.filters", "pictures", "runtime")
"""Tables whose options the command has."""


class TissueOptions(TypedDict, total=False):
    """What decides a tissue mask beside the segmenter; each means what ``[tissue]`` of a project file says."""

    overview_mpp: float
    closing_um: float
    min_tissue_um2: float
    min_hole_um2: float
    min_tissue_share: float
    simplify_um: float
    seg_conf_thresh: float
    remove_holes: bool
    remove_artifacts: bool
    remove_penmarks: bool


class GridOptions(TypedDict, total=False):
    """What decides a grid beside patch size, step and scale; each means what ``[[geometry]]`` says."""

    scale: Scale
    min_tissue: float
    rule: Rule
    edge: Edge
    resample: Resample


def checked_project(origin: str, values: Mapping[str, Any]) -> Project:
    """Return the project of some tables. Raises InvalidProject, which names ``origin``, the field and the value.

    A value of None is one that was left out.
    """
    return make_project({name: _without_none(table) for name, table in values.items()}, origin=origin)


def _without_none(table: Any) -> Any:
    if isinstance(table, Mapping):
        return {name: value for name, value in table.items() if value is not None}
    return [_without_none(part) for part in table] if isinstance(table, list) else table


def check_names(origin: str, names: Collection[str], options: Collection[str]) -> None:
    """Raise InvalidProject for a name that is none of an option, with the nearest that is."""
    for name in names:
        if name not in options:
            near = get_close_matches(name, options, 1)
            cure = f"did you mean {near[0]}" if near else f"there are {', '.join(sorted(options))}"
            raise InvalidProject(f"{origin}: there is no option {name}; {cure}")


def command_options() -> dict[str, tuple[str, str]]:
    """Return the name of every option that ``encode-slide`` has as a field of the project, to its table and field.

    Options with several names have them here, too, with underscores; so has the name in the project file.
    """
    tables = [table for table in TABLES if table.name in OF_ENCODE_SLIDE]
    named = [(table.name, field) for table in tables for field in fields_of(table.fields) if field.option.flags]
    by_field = {field.name: (table, field.name) for table, field in named}
    return by_field | {flag: (table, field.name) for table, field in named for flag in _names_of(field)}


def _names_of(field: OptionField) -> list[str]:
    """Return the names of an option as Python writes them; of ``--remove-holes/--fill-holes`` the first."""
    return [flag.partition("/")[0].lstrip("-").replace("-", "_") for flag in field.option.flags]


def section_values(origin: str, options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return table to field to value of options under the names of ``command_options``. Raises InvalidProject."""
    places = command_options()
    check_names(origin, options, places)
    values: dict[str, dict[str, Any]] = {table: {} for table in OF_ENCODE_SLIDE}
    for name, value in options.items():
        table, field = places[name]
        if field in values[table]:
            raise InvalidProject(f"{origin}: {name} is another name of an option that is given twice; give it once")
        values[table][field] = value
    return values


def as_names(names: str | Collection[str]) -> tuple[str, ...]:
    """Return one name or several as a tuple."""
    return (names,) if isinstance(names, str) else tuple(names)


def as_paths(paths: Mapping[str, str | Path] | None) -> dict[str, Path]:
    """Return names to paths, which may be texts."""
    return {name: Path(path) for name, path in (paths or {}).items()}
