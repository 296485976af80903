"""The steps of the recipe, one file each: identify, reuse or compute, keep."""
