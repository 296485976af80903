"""Encoders: patches to features, features to slide embeddings."""
