"""The command line: options to a project, outcomes to lines. Importing it loads click and nothing heavy."""
