"""Which project this is: the file that Dagster's processes read their assets from."""

import os
from pathlib import Path

from atlaspatch_core.config.project import FILE_NAME, Project, load_project
from atlaspatch_core.discovery.result_folders import check_code_wanted

VARIABLE = "ATLASPATCH_PROJECT"
"""Environment variable that names the project file."""


def project_path() -> Path:
    """Return the file that ``ATLASPATCH_PROJECT`` names, or ``atlaspatch.toml`` in the working directory."""
    return Path(os.environ.get(VARIABLE) or FILE_NAME).absolute()


def find_project() -> Project:
    """Read that file. Raises InvalidProject when it is not there, has a mistake, or brings plugins unasked."""
    project = load_project(project_path())
    if not os.environ.get(VARIABLE):
        check_code_wanted(project, project_path())
    return project
