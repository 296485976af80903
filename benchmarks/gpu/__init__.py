"""``python -m benchmarks.gpu``: how near the pipeline comes to what a GPU can do; ratios of one run on one machine."""
