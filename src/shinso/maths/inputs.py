"""What every function of probability asks of its arguments, and x log y with 0 log 0 = 0."""

import math

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.errors import UserError

SLACK = 1e-9
"""how far the sum of masses may lie from 1"""


def numbers(where: str, name: str, values: ArrayLike, dimensions: int | None = None) -> np.ndarray:
    """`values` as a finite float64 array of its own, with `dimensions` axes if they are named."""
    try:
        given = np.asarray(values)
        if given.dtype.kind not in "buif":
            raise TypeError
        array = np.array(given, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError):
        raise UserError(where, f"{name} is not an array of real numbers", "give real numbers") from None
    if dimensions is not None and array.ndim != dimensions:
        raise UserError(where, f"{name} has {array.ndim} axes", f"give an array with {dimensions}")
    if not np.isfinite(array).all():
        raise UserError(where, f"{name} has a value that is not finite", "give finite numbers only")
    return array


def masses(where: str, name: str, values: ArrayLike, dimensions: int | None = None) -> np.ndarray:
    """`values` as probabilities: not negative, with sum 1 up to SLACK."""
    array = numbers(where, name, values, dimensions)
    if array.size == 0:
        raise UserError(where, f"{name} is empty", "give at least one probability")
    if array.min() < 0:
        raise UserError(where, f"{name} has the negative probability {array.min():g}", "give 0 or more")
    if abs(array.sum() - 1) > SLACK:
        raise UserError(where, f"{name} has the sum {array.sum():.10g}", "give probabilities with sum 1")
    return array


def two_masses(where: str, p: ArrayLike, q: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Two laws on the same outcomes."""
    p, q = masses(where, "p", p), masses(where, "q", q)
    if p.shape != q.shape:
        raise UserError(where, f"p has the shape {p.shape} and q {q.shape}", "give both the same shape")
    return p, q


def share(where: str, name: str, value: float) -> float:
    """A number from 0 to 1."""
    number = float(numbers(where, name, value, 0))
    if not 0 <= number <= 1:
        raise UserError(where, f"{name} = {number:g} is not a probability", "give a number from 0 to 1")
    return number


def positive(where: str, name: str, value: float) -> float:
    """A finite number above 0."""
    number = float(numbers(where, name, value, 0))
    if number <= 0:
        raise UserError(where, f"{name} = {number:g} is not above 0", "give a number above 0")
    return number


def count(where: str, name: str, value: int, least: int = 0) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < least:
        raise UserError(where, f"{name} = {value!r} is not a whole number from {least}", "give such a number")
    return int(value)


def unit(where: str, base: float) -> float:
    """One unit of information in nats: the logarithm of `base`."""
    number = float(numbers(where, "base", base, 0))
    if number <= 1:
        raise UserError(where, f"base = {number:g} is not above 1", "give 2 for bits, e for nats, 10 for digits")
    return math.log(number)


def x_log_y(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x log y, which is 0 where x is 0, and -inf where y is 0 and x is not."""
    with np.errstate(divide="ignore"):
        return np.where(x > 0, x * np.log(np.where(x > 0, y, 1.0)), 0.0)
