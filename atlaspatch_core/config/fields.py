"""All options of a project, by the table of the project file in which they stand."""

from dataclasses import dataclass

from atlaspatch_core.config.geometry_fields import GeometryFields
from atlaspatch_core.config.input_fields import PatientsFields, ProjectFields, SlidesFields
from atlaspatch_core.config.run_fields import AlertsFields, PicturesFields, RuntimeFields, UpgradesFields
from atlaspatch_core.patches.filter_spec import FilterSpec
from atlaspatch_core.tissue.quality import QualitySpec
from atlaspatch_core.tissue.spec import TissueSpec

FILE_NAME = "atlaspatch.toml"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the project file."""

    name: str
    """Empty for what stands above all tables."""
    fields: type
    comment: str = ""
    """What a new project file says of it."""


TABLES = (
    Table("", ProjectFields),
    Table("slides", SlidesFields, "Where the slides are."),
    Table("tissue", TissueSpec, "What decides the tissue mask of every slide."),
    Table(
        "geometry",
        GeometryFields,
        "One size and scale of patches, and the encoders that run on them. Repeat the block, each with a name of its "
        "own, for several.",
    ),
    Table(
        "geometry.filters",
        FilterSpec,
        "Read every patch, and drop those that are nearly all white or black. Off by default.",
    ),
    Table("patients", PatientsFields, "Cases of one or more slides, which get one embedding each."),
    Table(
        "quality",
        QualitySpec,
        "What is usual in this cohort. Slides beyond a bound get a warning: on the command line, and as an asset "
        "check.",
    ),
    Table("upgrades", UpgradesFields, "What happens when an encoder, the segmenter or a geometry changes."),
    Table("alerts", AlertsFields, "Who is told when runs fail and when slides need a person."),
    Table(
        "pictures",
        PicturesFields,
        "Pictures to write beside the results; the small ones for the web page are always made.",
    ),
    Table("runtime", RuntimeFields, "What decides the speed, and no number."),
)


def table_of(fields: type) -> Table | None:
    """Return the table whose options a class states; None for options that no project has."""
    return next((table for table in TABLES if table.fields is fields), None)
