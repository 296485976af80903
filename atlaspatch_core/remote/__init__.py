"""Slides that lie in object stores: what lies there, and bytes of it, fetched when they are wanted."""
