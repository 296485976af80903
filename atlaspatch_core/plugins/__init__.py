"""What a user adds without a change here: Python files that are named, and modules of installed packages."""
