"""An open slide: its levels, its scale, its pixels, its files and what they contain."""
