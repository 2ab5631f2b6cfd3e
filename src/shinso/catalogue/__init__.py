"""The catalogue: finds systems and reads their cards as text."""
