"""Folders of results as TRIDENT, AtlasPatch, CLAM and this package lay them out: recognised and read, never written."""
