"""What is fresh, stale, missing or failed, and the jobs and sensors that repair it."""
