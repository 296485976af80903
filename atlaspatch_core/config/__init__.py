"""The project: every option with its default and bound, from a file or from a command."""
