"""Slides: their arrival, their assets from file to embedding, and the runs that make these."""
