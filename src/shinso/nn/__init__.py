"""Layers and losses that torch.nn lacks, one file each."""
