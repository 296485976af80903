"""Where the tissue of a slide is: segmenters, outlines, supplied masks, and what is odd about them."""
