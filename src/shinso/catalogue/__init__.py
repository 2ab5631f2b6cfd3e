"""Finds systems and reads their cards as text."""
