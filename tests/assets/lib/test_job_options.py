"""What a job and a command both have says the same in both."""

import pytest

from atlaspatch_assets.cli.main import cli
from atlaspatch_assets.defs.export.jobs import ExportConfig
from atlaspatch_assets.defs.validity.job_config import StaleConfig
from atlaspatch_core.config.project import Project
from atlaspatch_core.interop.export.fields import ExportFields
from atlaspatch_core.option import fields_of


@pytest.mark.parametrize("field", fields_of(ExportFields), ids=lambda field: field.name)
def test_an_option_of_an_export_is_that_of_the_field_in_the_job_and_in_the_command(field):
    of_job = ExportConfig.model_fields[field.name]
    (of_command,) = [it for it in cli.commands["export"].params if getattr(it, "field", None) == field]
    assert of_job.description == field.option.text
    assert of_command.help.startswith(field.option.help)  # type: ignore[attr-defined]
    assert of_job.is_required() == field.required == of_command.required
    if not field.required:
        assert of_job.default == field.default


@pytest.mark.parametrize(
    ("command", "name", "config", "key"),
    [
        ("export", "dry_run", ExportConfig, "dry_run"),
        ("backfill", "assets", StaleConfig, "assets"),
        ("backfill", "dry_run", StaleConfig, "dry_run"),
    ],
)
def test_a_job_and_a_command_say_the_same_of_an_option(command, name, config, key):
    (option,) = [it for it in cli.commands[command].params if it.name == name]
    assert config.model_fields[key].description.startswith(option.help)


def test_a_section_of_the_project_has_the_descriptions_of_its_options():
    fields = type(Project().runtime).model_fields
    assert fields["write_rows"].description == "Most rows in one chunk of an HDF5 file."
    assert fields["feature_device"].description == "Where the patch encoders run. Default: the same device."
