"""What is taken away: partitions of slides that are gone, and temporary files."""
