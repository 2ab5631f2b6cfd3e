"""Layers by hand: each with its forward and its backward written out in NumPy, one file each."""
