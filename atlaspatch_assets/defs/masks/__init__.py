"""The sensor for masks that a person edits."""
