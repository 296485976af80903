"""Runs of all domains: those whose process died are ended."""
