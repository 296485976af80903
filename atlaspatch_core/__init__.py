"""Whole-slide image computing: masks, coords, features and embeddings, without Dagster."""
