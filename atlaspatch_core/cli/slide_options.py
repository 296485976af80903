"""Options of commands that open slides without a project: how they are opened, and their scale."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.declaring import EXISTING_FILE, option
from atlaspatch_core.cli.fields import section_values
from atlaspatch_core.config.input_fields import ProjectFields
from atlaspatch_core.consent import executing_named
from atlaspatch_core.errors import AtlasPatchError, InvalidProject
from atlaspatch_core.option import field_of

if TYPE_CHECKING:
    from atlaspatch_core.config.sections import Slides
    from atlaspatch_core.discovery.slide_tables import TableMpp

OPENING = ("mpp", "mpp_csv", "mpp_keys", "reader", "series", "square_pixels")
"""Fields of ``[slides]`` that decide how a slide is opened."""
READER_PLUGINS = option(
    *field_of(ProjectFields, "plugins").option.flags,
    type=EXISTING_FILE,
    multiple=True,
    show_default=False,
    help="Python file that declares readers; may be repeated. Its code is executed.",
)


@contextmanager
def with_readers_of(plugins: Sequence[Path]) -> Iterator[None]:
    """Have the readers of these plugin files open slides until the block ends. Raises click.UsageError.

    They are executed though the command reads alone: somebody typed them.
    """
    from atlaspatch_core.plugins.in_use import use_plugins
    from atlaspatch_core.slides.readers import all_readers

    with executing_named(plugins):
        use_plugins(plugins)
        try:
            all_readers()
            yield
        except InvalidProject as error:
            raise click.UsageError(str(error)) from error
        finally:
            use_plugins(())


def slides_section(context: click.Context) -> "Slides":
    """Return what the options of a command say of slides. Raises click.UsageError for a value that cannot be."""
    from pydantic import ValidationError

    from atlaspatch_core.config.sections import Slides

    try:
        plugins = {"plugins"} if context.params.get("feature_plugin") else set()
        return Slides.model_validate(section_values(context)["slides"], context=plugins)
    except ValidationError as error:
        raise click.UsageError(
            "; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors())
        ) from error


def stated_mpps(slides: "Slides") -> "Mapping[str, TableMpp]":
    """Return name to µm/px as the table states them. Raises click.UsageError for one that cannot be used."""
    from atlaspatch_core.discovery.slide_tables import read_mpp_csv

    try:
        return read_mpp_csv(slides.mpp_csv) if slides.mpp_csv else {}
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error
