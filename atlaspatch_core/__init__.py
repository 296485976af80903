"""Whole-slide image computing: masks, coords, features and embeddings, without Dagster."""

from importlib.metadata import version

__version__ = version("atlaspatch")
