"""What is proved about networks and their training, each statement beside a run that measures it."""
