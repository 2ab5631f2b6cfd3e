"""Data sets, transforms and loaders, one file each."""
