r"""Quadratic forms: their gradient, their condition number, and the step that descends them best (Polyak 1963).

    f(x) = 1/2 x^T H x - b^T x,   grad f(x) = H x - b      for symmetric H             (1)
    grad (x^T A x) = (A + A^T) x                            for any A                  (2)
    kappa = L / mu,   L and mu the largest and smallest eigenvalue of H                (3)
    x <- x - s grad f(x):  best s = 2 / (L + mu), error times (kappa - 1)/(kappa + 1) per step     (4)

It diverges for s above 2 / L. The course's x_1^2 + 8 x_2^2 has H = diag(2, 16): kappa 8, best step 1/9, rate 7/9.
"""

from typing import final

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.errors import UserError
from shinso.maths.inputs import numbers


def form_gradient(A: ArrayLike, x: ArrayLike) -> np.ndarray:
    """(2): the gradient of x^T A x for A (n, n) and x (n,)."""
    A, x = numbers("matrix gradient", "A", A, 2), numbers("matrix gradient", "x", x, 1)
    if A.shape != (len(x), len(x)):
        raise UserError("matrix gradient", f"A has the shape {A.shape} and x {x.shape}", "give (n, n) and (n,)")
    return (A + A.T) @ x


@final
class Quadratic:
    """(1) with a symmetric, positive definite Hessian `H` (n, n) and `b` (n,), zero if None."""

    def __init__(self, H: ArrayLike, b: ArrayLike | None = None):
        self.H = numbers("quadratic", "H", H, 2)
        self.b = np.zeros(len(self.H)) if b is None else numbers("quadratic", "b", b, 1)
        if self.H.shape != (len(self.b), len(self.b)) or len(self.b) == 0:
            raise UserError("quadratic", f"H has the shape {self.H.shape} and b {self.b.shape}", "give (n, n) and (n,)")
        if not np.allclose(self.H, self.H.T, rtol=1e-12, atol=0):
            raise UserError("quadratic", "H is not symmetric", "give (H + H^T) / 2: the same values")
        self.curvatures = np.linalg.eigvalsh(self.H)
        if self.curvatures[0] <= 0:
            raise UserError("quadratic", f"H has the curvature {self.curvatures[0]:g}", "give a positive definite H")

    def value(self, x: np.ndarray) -> np.ndarray:
        """f at points (..., n)."""
        return 0.5 * np.einsum("...i,ij,...j", x, self.H, x) - x @ self.b

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """(1), right, at points (..., n)."""
        return x @ self.H - self.b

    @property
    def minimum(self) -> np.ndarray:
        """Where the gradient is 0."""
        return np.linalg.solve(self.H, self.b)

    @property
    def condition(self) -> float:
        """(3)."""
        return float(self.curvatures[-1] / self.curvatures[0])

    @property
    def best_step(self) -> float:
        """(4), left."""
        return float(2 / (self.curvatures[0] + self.curvatures[-1]))

    def rate(self, step: float) -> float:
        """How much of the error one step leaves at worst: max |1 - step lambda|; divergence above 1."""
        return float(np.abs(1 - step * self.curvatures).max())

    def descend(self, x: np.ndarray, step: float, steps: int) -> np.ndarray:
        """The path (steps + 1, n) of gradient descent from `x`."""
        path = [np.asarray(x, dtype=np.float64)]
        for _ in range(steps):
            path.append(path[-1] - step * self.gradient(path[-1]))
        return np.stack(path)


COURSE = Quadratic([[2, 0], [0, 16]])
"""x_1^2 + 8 x_2^2"""


def the_courses_form() -> Check:
    """x1^2 + 8 x2^2 at 1,000 points is the form with Hessian diag(2, 16), whose condition number is 8.

    Source: the course's notebook on a quadratic function
    """
    x = np.random.default_rng(0).normal(size=(1000, 2))
    off = float(np.abs(COURSE.value(x) - (x[:, 0] ** 2 + 8 * x[:, 1] ** 2)).max())
    return about(COURSE.condition + (0.0 if off < 1e-13 else np.nan), 8.0, 1e-14)


def gradients_are_the_differences() -> Check:
    """Central differences, exact for a quadratic, meet (1) and (2), A not symmetric, to 1e-9.

    Source: equations (1) and (2); rounding 1e-16 / 1e-4 times the size
    """
    rng, h = np.random.default_rng(1), 1e-4
    A, x, worst = rng.normal(size=(5, 5)), rng.normal(size=5), 0.0
    form = Quadratic(A @ A.T + np.eye(5), rng.normal(size=5))
    for i, step in enumerate(h * np.eye(5)):
        either = ((x + step) @ A @ (x + step) - (x - step) @ A @ (x - step)) / (2 * h)
        other = (form.value(x + step) - form.value(x - step)) / (2 * h)
        worst = max(worst, abs(either - form_gradient(A, x)[i]), abs(other - form.gradient(x)[i]))
    return at_most(float(worst), 1e-9)


def the_best_step_is_one_ninth() -> Check:
    """With step 1/9 the distance to the minimum shrinks by 7/9 in each of 40 steps, to 1e-12.

    Source: Polyak 1963; equation (4)
    """
    far = np.linalg.norm(COURSE.descend(np.array([1.0, 1.0]), COURSE.best_step, 40), axis=1)
    assert abs(COURSE.best_step - 1 / 9) < 1e-16  # noqa: S101 - the other half of the claim
    return at_most(float(np.abs(far[1:] / far[:-1] - 7 / 9).max()), 1e-12)


def no_other_step_is_better() -> Check:
    """Of 2,000 constant steps from 0 to 2/L none has a worst-case rate below 7/9.

    Source: equation (4)
    """
    return at_least(min(COURSE.rate(s) for s in np.linspace(0, 2 / 16, 2000)), 7 / 9 - 1e-15)


def too_long_a_step_diverges() -> Check:
    """At one percent above 2/L = 1/8 the error grows tenfold within 200 steps; one percent below it shrinks.

    Source: |1 - s L| = 1.02 and 1.02^200 = 52
    """
    start = np.array([0.0, 1.0])
    above, below = (np.abs(COURSE.descend(start, s / 8, 200)[-1]).max() for s in (1.01, 0.99))
    assert below < 0.1  # noqa: S101 - the other half of the claim
    return at_least(float(above), 10.0)


CARD = Card(
    name="Quadratic forms and conditioning",
    name_ja="二次形式の勾配と条件数",
    paper="Polyak 1963, doi:10.1016/0041-5553(63)90382-3; Nesterov 2004, Introductory Lectures on Convex Optimization",
    equations=(r"f(x) = \frac{1}{2} x^T H x - b^T x,\quad \nabla f(x) = H x - b", r"\nabla (x^T A x) = (A + A^T)\,x",
               r"\kappa = L / \mu", r"s = \frac{2}{L + \mu},\quad \|x_{k+1} - x^*\| \leq"
               r" \frac{\kappa - 1}{\kappa + 1} \|x_k - x^*\|"),
    summary="How a quadratic form's curvatures decide which step descends it, how fast, and when it flies apart.",
    summary_ja="二次関数の曲率が、勾配降下の最良の刻み幅と速さ、発散の境目を決める。",
    topics=("maths.matrix-gradient",),
    facts=(the_courses_form, gradients_are_the_differences, the_best_step_is_one_ninth, no_other_step_is_better,
           too_long_a_step_diverges),
    notes=("The notebook's comment calls a condition number of 8 large; networks reach a million and more.",),
    notes_ja=("ノートブックの注釈は条件数 8 を大きいと言うが、ネットワークの条件数は百万にもなる。",),
)
