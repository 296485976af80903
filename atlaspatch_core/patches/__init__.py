"""The patches of a slide: their grid, their scale, filters on them, and their pixels."""
