"""Evaluation of separators on tracks with known sources."""
