"""What each output is to be, and whether what is stored is that: fresh, stale (why), missing or failed."""
