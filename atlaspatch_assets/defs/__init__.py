"""What Dagster shows and runs, one folder a domain, with the same file roles in each."""
