"""The page, the curves and the event files that a run leaves behind."""
