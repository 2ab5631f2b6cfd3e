"""Side-by-side runs against peers: `python -m benchmarks [NAMES...] [--rounds N] [--out records]`.

Every contestant of a workload is a process of its own that stays resident; a round asks each of them, in random order,
for about half a second of work. A ratio is taken within a round, so that a slow minute of the machine slows both sides;
printed are the median and the range over rounds. No ratio is printed for a contestant that does not learn as well as
the plain program.
"""
