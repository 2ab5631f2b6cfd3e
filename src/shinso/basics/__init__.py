"""Perceptrons and other first systems."""
