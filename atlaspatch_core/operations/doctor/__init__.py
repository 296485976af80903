"""What may keep a project from running on this machine, found before it runs."""
