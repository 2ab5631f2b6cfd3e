"""Differentiation from first principles on NumPy alone: both modes, numerical, symbolic, layers by hand."""
