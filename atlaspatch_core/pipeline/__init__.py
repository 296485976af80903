"""Slides in, outcomes out: every step is reused where it is valid, and computed where it is not."""
