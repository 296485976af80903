"""The stored tiles of a slide: where they lie in the file, how they are decoded, and which patches need them."""
