"""Results of TRIDENT, AtlasPatch and CLAM taken over: as ours where they provably are the same, else marked."""
