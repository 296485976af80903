"""The Dagster side of atlaspatch: assets, sensors, jobs and the command line."""
