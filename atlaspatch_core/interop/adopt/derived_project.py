"""The project that fits a folder of results: its geometries, its encoders, and the rules of whoever made it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from atlaspatch_core.config.project import make_project
from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.sources import SlideSource, open_source
from atlaspatch_core.errors import AtlasPatchError, UnknownLayout
from atlaspatch_core.interop.adopt.encoders import our_patch_encoder, our_slide_encoder
from atlaspatch_core.interop.adopt.foreign_slide import ForeignSlide, geometry_of, read_foreign
from atlaspatch_core.interop.adopt.grid_fitting import FittingSample, choose_rule, least_tissue, samples, scale_of
from atlaspatch_core.layouts.found import FolderLayout, Group, Holds, ResultFolder
from atlaspatch_core.layouts.names import GeometryName
from atlaspatch_core.texts import parse_json
from atlaspatch_core.validity.recipe import EMPTY, make_recipe

RULES: Mapping[FolderLayout, Sequence[Mapping[str, Any]]] = {
    FolderLayout.TRIDENT: ({"rule": "trident"}, {"edge": "pad-black", "resample": "bicubic"}),
    FolderLayout.ATLASPATCH: ({"rule": "atlaspatch"},),
    FolderLayout.CLAM: ({"edge": "pad-black"},),
}
"""How the patches of each tool may have been chosen, the likeliest first; all three fill with black over the edge."""
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
"""Names that stand in a TOML file without quotes."""
Encoders = dict[Holds, dict[str, None]]
"""Names in the order in which they were met."""


def derive_project(
    result_folder: ResultFolder,
    sources: Mapping[str, SlideSource],
    slides: Path,
    *,
    recursive: bool,
    encoder: str = "",
    models: Mapping[str, Any] = EMPTY,
) -> tuple[dict[str, Any], list[str]]:
    """Return the values of a project file that asks for what the folder holds, and notes on what it cannot ask for.

    ``models`` are the ``weights`` and ``plugins`` that it is to have.
    What no file tells is found out on a few slides. Encoders that cannot be used here are left out, each with a note.
    Raises UnknownLayout where no geometry can be told.
    """
    cuts = dict(_cuts(result_folder, sources, encoder))
    if not cuts:
        raise UnknownLayout(
            f"{result_folder.folder}: no file tells patch size and magnification; give a project (--project)"
        )
    is_named = result_folder.layout is FolderLayout.TRIDENT or len(cuts) > 1
    geometries, notes = [], []
    for cut, (group, encoders) in cuts.items():
        values = _geometry(result_folder, group, cut, samples(result_folder, group, sources), named=is_named)
        for key, holds in (("patch_encoders", Holds.FEATURES), ("slide_encoders", Holds.EMBEDDING)):
            refusals = {name: _refusal(values, key, name, models) for name in encoders[holds] if name}
            values[key] = [name for name, why in refusals.items() if not why]
            notes += [
                f"{name} is left out of the project: {why.split(';')[0]}" for name, why in refusals.items() if why
            ]
        geometries.append(values)
    where = {"folders": [str(slides.resolve())], "recursive": recursive}
    named_models = {name: value for name, value in models.items() if value}
    return {"output": ".", **named_models, "slides": where, "geometry": geometries}, notes


def _cuts(
    result_folder: ResultFolder, sources: Mapping[str, SlideSource], encoder: str
) -> Iterator[tuple[GeometryName, tuple[Group, Encoders]]]:
    """Yield every geometry that there is, with the encoders that ran on it."""
    for group in result_folder.groups:
        if result_folder.layout is FolderLayout.TRIDENT:
            if group.name:
                yield group.name, (group, _of_folders(group))
            continue
        cuts: dict[GeometryName, Encoders] = {}
        for slide in _slides(group, result_folder.layout, encoder):
            source = sources.get(slide.stem)
            name = _name(slide, source) if source else None
            if name:
                encoders_of_cut = cuts.setdefault(name, {Holds.FEATURES: {}, Holds.EMBEDDING: {}})
                for table in slide.tables:
                    encoders_of_cut[table.holds][table.encoder] = None
        yield from ((name, (group, encoders)) for name, encoders in cuts.items())


def _of_folders(group: Group) -> Encoders:
    """Return what the folders of features are called, in our names."""
    encoders: Encoders = {Holds.FEATURES: {}, Holds.EMBEDDING: {}}
    for file in group.files:
        if file.holds is Holds.FEATURES:
            encoders[file.holds][our_patch_encoder(file.encoder, FolderLayout.TRIDENT)] = None
        elif file.holds is Holds.EMBEDDING:
            encoders[file.holds][our_slide_encoder(file.encoder, FolderLayout.TRIDENT)] = None
    return encoders


def _slides(group: Group, layout: FolderLayout, encoder: str) -> Iterator[ForeignSlide]:
    for files in group.by_stem().values():
        try:
            slide = read_foreign(group, files, layout, encoder)
        except AtlasPatchError:  # said of the slide when it is its turn
            continue
        if slide:
            yield slide


def _name(slide: ForeignSlide, source: SlideSource) -> GeometryName | None:
    """Return the geometry of a slide; the slide itself is opened only where its file does not tell."""
    if slide.stated.patch_level is None and slide.stated.target_magnification and slide.stated.patch_size:
        overlap = int(slide.stated.overlap or 0)
        return GeometryName(slide.stated.target_magnification, int(slide.stated.patch_size), overlap)
    try:
        with open_source(source, Slides()) as opened:
            return geometry_of(slide, opened.info)[0]
    except AtlasPatchError:
        return None


def _geometry(
    result_folder: ResultFolder, group: Group, name: GeometryName, slides: list[FittingSample], *, named: bool
) -> dict[str, Any]:
    values: dict[str, Any] = {"name": str(name)} if named else {}
    values |= {"patch_size": name.patch_size, "target_mag": _whole(name.magnification)}
    if name.overlap:
        values["step_size"] = name.patch_size - name.overlap
    recorded = _min_tissue(group.folder) if result_folder.layout is FolderLayout.TRIDENT else 0.0
    candidates = (_with_rule(values, rule, result_folder, slides, recorded) for rule in RULES[result_folder.layout])
    return choose_rule(list(candidates), result_folder, slides)


def _with_rule(
    values: Mapping[str, Any],
    rule: Mapping[str, Any],
    result_folder: ResultFolder,
    slides: list[FittingSample],
    recorded: float | None,
) -> dict[str, Any]:
    """Return a geometry by a rule, with the scale and the least tissue that go with it."""
    ruled = {**values, **rule}
    ruled["scale"] = scale_of(ruled, slides)
    if ruled.get("rule") == "atlaspatch":
        return ruled
    return ruled | {"min_tissue": least_tissue(ruled, result_folder, slides) if recorded is None else recorded}


def _whole(number: float) -> int | float:
    return int(number) if number == int(number) else number


def _min_tissue(folder: Path) -> float | None:
    """Return the least tissue share that TRIDENT last used in a folder; None where it is not told."""
    try:
        value = parse_json((folder / "_config_coords.json").read_bytes()).get("min_tissue_proportion")
    except (OSError, ValueError, AttributeError):
        return None
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None


def _refusal(geometry: Mapping[str, Any], key: str, name: str, models: Mapping[str, Any]) -> str:
    """Return why a project cannot ask for an encoder, or an empty text."""
    try:
        make_recipe(make_project({**models, "geometry": [{**geometry, key: [name]}]}, origin="results"))
    except AtlasPatchError as error:
        return str(error)
    return ""


def as_toml(values: Mapping[str, Any], head: str) -> str:
    """Return a project file with these values, and a comment on its first line."""
    lines = [f"# {head}", f"output = {_toml(values['output'])}"]
    lines += [f"plugins = {_toml(values['plugins'])}"] if "plugins" in values else []
    for table in ("slides", "weights"):
        if table in values:
            lines += ["", f"[{table}]", *(f"{_key(key)} = {_toml(value)}" for key, value in values[table].items())]
    for geometry in values["geometry"]:
        lines += ["", "[[geometry]]", *(f"{key} = {_toml(value)}" for key, value in geometry.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    """Return a key, in quotes where it needs them."""
    return name if BARE_KEY.fullmatch(name) else _toml(name)
