"""Layers and blocks that several networks share, one thing one file."""
