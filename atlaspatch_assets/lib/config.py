"""Options of jobs. Those that a command has too are stated once, here or in the core, and read by both."""

from typing import Any

import dagster as dg

from atlaspatch_core.option import describe


class JobConfig(dg.Config):
    """The configuration of a job: descriptions and bounds are those of the options in its annotations."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Show what the options say in the launchpad."""
        describe(cls.model_fields)
