"""What is odd about what was asked for, said before any work."""

from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.logs import notice

if TYPE_CHECKING:
    from atlaspatch_core.validity.recipe import Recipe


def tell_recipe(recipe: "Recipe", *, strict: bool = False) -> None:
    """Print each warning of a recipe; raises click.UsageError with the first where warnings are failures."""
    for warning in recipe.warnings:
        if strict:
            raise click.UsageError(f"{warning}.")
        notice(f"WARNING: {warning}.")
