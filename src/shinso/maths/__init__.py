"""Probability, information, divergences, transport and linear algebra, one file each, on NumPy in float64."""
