"""Shapes that do not fit, told in one sentence that names the operation."""

from collections.abc import Sequence

import numpy as np

from shinso.core.errors import UserError


def fits(where: str, what: str, shape: Sequence[int], wanted: Sequence[int]) -> None:
    """Raises UserError unless the two shapes are the same."""
    if shape != wanted:
        raise UserError(where, f"{what} has the shape {shape}, not {wanted}", "give arrays that fit together")


def matching(where: str, prediction: np.ndarray, target: np.ndarray) -> None:
    """Raises UserError unless prediction and target have the same shape and something in them."""
    fits(where, "the target", target.shape, prediction.shape)
    filled(where, prediction)


def filled(where: str, prediction: np.ndarray) -> None:
    """Raises UserError for a batch of nothing: its mean loss is 0 / 0."""
    if prediction.size == 0:
        raise UserError(where, f"nothing is predicted in an array of shape {prediction.shape}", "give an example")


def within(where: str, classes: np.ndarray, num_classes: int) -> None:
    """Raises UserError unless `classes` are integers from 0 to num_classes - 1."""
    if classes.dtype.kind not in "iu":
        raise UserError(where, f"classes are counted, but these are {classes.dtype}", "give integers")
    if classes.size and (np.minimum.reduce(classes, None) < 0 or np.maximum.reduce(classes, None) >= num_classes):
        raise UserError(where, f"classes from {classes.min()} to {classes.max()} are not all among {num_classes}",
                        f"give classes from 0 to {num_classes - 1}")
