"""The peers' programs, each as its own users would write it, on the same arrays.

A contestant is a function `NAME(data: dict[str, ndarray], options) -> object` whose result has two methods:
`steps(n)`, which trains n more batches and returns their losses, and `accuracy()` on the test part.
"""
