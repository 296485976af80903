"""A project as a component of an existing Dagster deployment: one ``defs.yaml`` adds it."""

import dagster as dg

from atlaspatch_assets.definitions import build_project
from atlaspatch_core.config.fields import FILE_NAME
from atlaspatch_core.config.project import load_project
from atlaspatch_core.config.template import project_text


class WsiProjectScaffolder(dg.Scaffolder):
    """Writes a ``defs.yaml`` and, beside it, a project file with every option to edit."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        """Write both; a project file that is there stays as it is."""
        request.target_path.mkdir(parents=True, exist_ok=True)
        dg.scaffold_component(request, {"project_file": FILE_NAME})
        path = request.target_path / FILE_NAME
        if not path.exists():
            path.write_text(project_text({"slides.folders": ["slides"]}), encoding="utf-8")


@dg.scaffold_with(WsiProjectScaffolder)
class WsiProject(dg.Component, dg.Model, dg.Resolvable):
    """Whole-slide images to tissue masks, patch coordinates, patch features and slide embeddings.

    Attributes:
        project_file: The project file, absolute or from the folder of the ``defs.yaml``. Relative paths in it start at
            its own folder. Of several projects in one deployment each needs a ``name`` of its own.
    """

    project_file: str = FILE_NAME

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the assets, checks, jobs, sensors and schedules of the project. Raises InvalidProject."""
        folder = context.path if context.path.is_dir() else context.path.parent
        return build_project(load_project(folder / self.project_file))
