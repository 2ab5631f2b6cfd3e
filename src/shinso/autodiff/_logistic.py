"""The logistic function on arrays: what the engine's rule and the recurrent layers by hand both compute."""

import numpy as np


def logistic(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), through tanh: no overflow at either end."""
    return 0.5 * np.tanh(0.5 * x) + 0.5
