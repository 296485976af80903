"""From the options of ``atlaspatch adopt`` to the results that lie there, their project, and the slides."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.encode_slide import check_weights
from atlaspatch_core.cli.result_folders import with_slides

if TYPE_CHECKING:
    from atlaspatch_core.config.project import Project
    from atlaspatch_core.discovery.sources import Discovery
    from atlaspatch_core.interop.adopt.sampling import Verify
    from atlaspatch_core.interop.adopt.settings import AdoptSettings
    from atlaspatch_core.layouts.found import ResultFolder
    from atlaspatch_core.slides.sections import SeriesChoice
    from atlaspatch_core.validity.recipe import Recipe


@dataclass(frozen=True, slots=True)
class AdoptOptions:
    """What was typed."""

    folder: Path
    output: Path | None
    project_file: Path | None
    slides: Path | None
    recursive: bool
    mpp_csv: Path | None
    series: "SeriesChoice"
    verify: "Verify | None"
    accept_unverified: bool
    keep_patches: bool
    patch_encoder: str
    patch_encoder_ckpt_path: tuple[tuple[str, Path], ...]
    """Whose weights, and where they lie."""
    feature_plugin: tuple[Path, ...]
    dry_run: bool

    @property
    def weights(self) -> dict[str, Path]:
        """Encoder to its local weights."""
        return {name: path.resolve() for name, path in self.patch_encoder_ckpt_path}


def read_inputs(
    options: AdoptOptions, settings: "AdoptSettings"
) -> "tuple[ResultFolder, Recipe, Discovery, list[str]]":
    """Return what lies there, what it becomes part of, and the slides."""
    from atlaspatch_core.config.project import FILE_NAME, load_project
    from atlaspatch_core.discovery.find import find_slides
    from atlaspatch_core.discovery.result_folders import check_code_wanted
    from atlaspatch_core.layouts.found import FolderLayout
    from atlaspatch_core.layouts.recognise import recognise_folder
    from atlaspatch_core.validity.recipe import make_recipe

    folder, output, file, slides = options.folder, options.output, options.project_file, options.slides
    if (output is None) == (file is None):
        raise click.UsageError("give either --output or --project")
    results = recognise_folder(folder)
    if results.layout is FolderLayout.OURS:
        raise click.UsageError(f"{folder} is laid out as atlaspatch's own results: name it as the output of a project")
    notes: list[str] = []
    named = file or (output or Path()) / FILE_NAME
    if output and not named.exists():
        project, notes = _derived(results, output, options, settings)
    else:
        project = load_project(named)
        if file is None:
            check_code_wanted(_without_plugins(project, options), named)
        project, notes = _with_models(project, options, named)
    project = with_slides(project, slides, options.mpp_csv, options.series, recursive=options.recursive)
    if not project.slides.folders:
        raise click.UsageError("say where the slides are: --slides")
    if project.slides.has_pseudonyms:
        raise click.UsageError(
            f"the results in {folder} are called by the names of slides' files, and {named} gives slides pseudonyms; "
            "adopt them into a project without"
        )
    _check_outside(project.output, folder)
    recipe = make_recipe(project)
    check_weights(recipe, [path.absolute() for path in options.weights.values()])
    return results, recipe, find_slides(project), notes


def _without_plugins(project: "Project", options: AdoptOptions) -> "Project":
    """Return a project without the plugins that were typed: whoever types them wants their code executed."""
    typed = {path.resolve() for path in options.feature_plugin}
    plugins = tuple(path for path in project.plugins if path.resolve() not in typed)
    return project.model_copy(update={"plugins": plugins})


def _with_models(project: "Project", options: AdoptOptions, file: Path) -> "tuple[Project, list[str]]":
    """Return a project with the weights and plugins that were typed, and a note where its file has others."""
    weights = {name: path for name, path in options.weights.items() if project.weights.get(name) != path}
    present = {path.resolve() for path in project.plugins}
    plugins = [path.resolve() for path in options.feature_plugin if path.resolve() not in present]
    changes = {"weights": {**project.weights, **weights}, "plugins": (*project.plugins, *plugins)}
    named = ", ".join([*weights, *(path.name for path in plugins)])
    note = f"{file} does not name {named} as typed: what is verified with it is stale for the project until it does"
    return project.model_copy(update=changes), [note] if named else []


def _check_outside(output: Path, folder: Path) -> None:
    """Raise click.UsageError where the output would be written into the folder of results."""
    if folder.resolve() in (output.resolve(), *output.resolve().parents):
        raise click.UsageError(f"the output {output} lies in {folder}, which is not to be changed; name another")


def _derived(
    results: "ResultFolder", output: Path, options: AdoptOptions, settings: "AdoptSettings"
) -> "tuple[Project, list[str]]":
    """Return a project that asks for what the folder holds; its file is written into the output."""
    from atlaspatch_core.config.project import FILE_NAME, make_project
    from atlaspatch_core.discovery.find import discover
    from atlaspatch_core.discovery.sections import SectionSearch
    from atlaspatch_core.discovery.slide_tables import read_mpp_csv
    from atlaspatch_core.interop.adopt.derived_project import as_toml, derive_project
    from atlaspatch_core.storage.atomic import replacing

    slides, recursive, mpp_csv = options.slides, options.recursive, options.mpp_csv
    if slides is None:
        raise click.UsageError("say where the slides are: --slides")
    _check_outside(output, results.folder)
    mpp_by_name = read_mpp_csv(mpp_csv) if mpp_csv else {}
    sections = SectionSearch(options.series)
    sources = discover([slides], recursive=recursive, mpp_by_name=mpp_by_name, sections=sections).by_stem
    models = {
        "weights": {name: str(path) for name, path in options.weights.items()},
        "plugins": [str(path.resolve()) for path in options.feature_plugin],
    }
    values, notes = derive_project(
        results, sources, slides, recursive=recursive, encoder=settings.encoder, models=models
    )
    if mpp_csv:
        values["slides"]["mpp_csv"] = str(mpp_csv.resolve())
    if options.series is not None:
        values["slides"]["series"] = options.series
    path = output / FILE_NAME
    if not settings.dry_run:
        text = as_toml(values, f"Written by 'atlaspatch adopt': what {results.layout} made in {results.folder}")
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        notes.append(f"{path} was written: it asks for what {results.folder} holds; change it as you like")
    return make_project(values, origin=str(path), folder=output.resolve()), notes
