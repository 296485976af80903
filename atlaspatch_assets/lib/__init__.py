"""What the domains share: events, verdicts, metadata, partitions, pools and the project file."""
