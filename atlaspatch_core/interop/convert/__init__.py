"""Slides of any readable format to pyramidal, tiled BigTIFF that OpenSlide reads, by libvips: the extra ``convert``."""
