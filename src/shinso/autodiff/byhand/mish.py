r"""Mish: x times the tanh of its softplus.

    f(x) = x tanh(u),  u = log(1 + exp(x))                    (1)
    f'(x) = tanh(u) + x s(x) (1 - tanh(u)^2),  s = du/dx      (2)

Close to the swish, with a somewhat deeper dip; s is the sigmoid. Written with powers of exp(x), as one often sees it,
it overflows; the softplus does not.

Misra 2019.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand.softplus import Softplus
from shinso.core.card import Card, Check, about, at_most


@final
class Mish:
    """Elementwise, any shape."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x, self.softplus = x, Softplus()
        self.tanh = np.tanh(self.softplus.forward(x))
        return x * self.tanh  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        inner = self.softplus.backward(1 - self.tanh**2)
        return grad * (self.tanh + self.x * inner)  # (2)


def example(rng: np.random.Generator) -> tuple[Mish, tuple[np.ndarray]]:
    """A layer and a handful of inputs, most of them negative."""
    return Mish(), (rng.normal(-1, 2, (17,)),)


def the_lowest_point() -> Check:
    """On a grid of step 1e-6 the smallest value is -0.3088434130 to 1e-10, at -1.1924312 to 1e-6.

    Source: Misra 2019, section 2
    """
    x = np.arange(-1.193, -1.192, 1e-6)
    y = Mish().forward(x)
    return about(float(y.min()) if abs(x[y.argmin()] + 1.1924312) <= 1e-6 else np.inf, -0.3088434130, 1e-10)


def the_rational_form() -> Check:
    """With e = exp(x), x (e^2 + 2e) / (e^2 + 2e + 2) is the same to 1e-14 on [-30, 30], and nan at 400.

    Source: tanh(log v) = (v^2 - 1) / (v^2 + 1) with v = 1 + e
    """
    x = np.append(np.linspace(-30, 30, 601), 400)
    with np.errstate(over="ignore", invalid="ignore"):
        n = np.exp(x) * (np.exp(x) + 2)
        off = np.abs(Mish().forward(x) - x * n / (n + 2))
    return at_most(float(off[:-1].max()) if np.isnan(off[-1]) else np.inf, 1e-14)


CARD = Card(
    name="Mish",
    name_ja="Mish",
    paper="Misra 2019, Mish: a self regularized non-monotonic activation function, arXiv:1908.08681",
    equations=(r"f(x) = x \tanh(u),\quad u = \log(1 + e^x)",
               r"f'(x) = \tanh(u) + x\,\sigma(x)(1 - \tanh^2(u))"),
    summary="x times the tanh of its softplus: smooth, and -0.31 at its lowest.",
    summary_ja="x にそのソフトプラスの tanh を掛ける。なめらかで、最小値は約 -0.31 である。",
    topics=("nn.mish",),
    facts=(the_lowest_point, the_rational_form),
    twin="torch.nn.functional.mish",
)
