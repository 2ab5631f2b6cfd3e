"""log(exp(a_1) + ... + exp(a_n)) without leaving the finite numbers: the largest term is taken out first."""

import numpy as np


def log_sum_exp(a: np.ndarray, axis: int = -1) -> np.ndarray:
    """log sum exp a along `axis`; -inf where every term is -inf."""
    top = a.max(axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(a - top).sum(axis)) + top.squeeze(axis)


def softmax(a: np.ndarray, axis: int = -1) -> np.ndarray:
    """exp(a_i) / sum exp(a_j) along `axis`."""
    powers = np.exp(a - a.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)
