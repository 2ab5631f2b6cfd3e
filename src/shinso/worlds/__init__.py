"""Worlds with known answers, and the adapter that makes a Gymnasium world survive a kill."""
