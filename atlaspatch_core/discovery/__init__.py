"""Which slides lie where the user points, whether they are whole yet, and local copies of slow storage."""
