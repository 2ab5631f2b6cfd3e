"""Time and state: program, loop, hooks, the run folder, checkpoints, launch."""
