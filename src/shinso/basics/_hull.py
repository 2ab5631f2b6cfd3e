"""The point of a convex hull nearest to the origin; its distance is the margin of a separable set."""

import numpy as np


def nearest_to_origin(points: np.ndarray) -> np.ndarray:
    """The point of the convex hull of `points` (n, d) that is nearest to the origin, by Wolfe's algorithm.

    Zero if the origin lies in the hull; otherwise its norm is the largest margin and its direction the best separator.
    """
    scale = float((points**2).sum(1).max())
    chosen, weights = [int((points**2).sum(1).argmin())], np.ones(1)
    x = weights @ points[chosen]
    for _ in range(50 * points.shape[0]):
        new = int((points @ x).argmin())
        if x @ x <= 1e-16 * scale:
            return np.zeros_like(x)
        if x @ x - points[new] @ x <= 1e-14 * scale or new in chosen:
            return x
        chosen, weights = _shrink(points, [*chosen, new], np.append(weights, 0.0))
        x = weights @ points[chosen]
    return x


def _shrink(points: np.ndarray, chosen: list[int], weights: np.ndarray) -> tuple[list[int], np.ndarray]:
    """Moves to the point nearest to the origin in the span of the chosen ones; drops those that would go negative."""
    while True:
        n, P = len(chosen), points[chosen]
        system = np.block([[np.zeros((1, 1)), np.ones((1, n))], [np.ones((n, 1)), P @ P.T]])
        goal = np.linalg.lstsq(system, np.eye(n + 1)[0], rcond=None)[0][1:]
        if (goal > 1e-12).all():
            return chosen, goal
        falling = (goal <= 1e-12) & (weights > goal)
        reach = float((weights[falling] / (weights[falling] - goal[falling])).min())
        weights = (1 - reach) * weights + reach * goal
        keep = weights > 1e-12
        chosen, weights = [c for c, k in zip(chosen, keep, strict=True) if k], weights[keep] / weights[keep].sum()
