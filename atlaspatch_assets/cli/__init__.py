"""The console script: the commands of the core, and those that need Dagster."""
