"""Differentiation from first principles on NumPy alone: reverse and forward mode, numerical, symbolic, layers by hand."""
