"""The stored tiles of a slide: where they lie in the file, and how they are decoded."""
