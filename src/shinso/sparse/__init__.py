"""Sparse recovery and what grew out of it."""
