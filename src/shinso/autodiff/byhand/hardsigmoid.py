r"""Hard sigmoid: a ramp instead of a curve.

    f(x) = min(1, max(0, (x + 3) / 6))                        (1)
    f'(x) = 1/6 if -3 < x < 3, else 0                         (2)

No exponential is needed: it was made for small processors. It leaves 0 at -3 and reaches 1 at 3; there (2) takes 0.
Two functions carry this name: Keras before version 3 had 0.2 x + 0.5, which is 0 already at -2.5.

Courbariaux, Bengio, David 2015 (a ramp as a cheap sigmoid); Howard et al. 2019 (with this slope).
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, about, exactly


@final
class Hardsigmoid:
    """Elementwise, any shape."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return np.clip(x + 3, 0, 6) / 6  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return np.where(np.abs(self.x) < 3, grad / 6, 0)  # (2)


def example(rng: np.random.Generator) -> tuple[Hardsigmoid, tuple[np.ndarray]]:
    """A layer and inputs below, on and above the ramp."""
    return Hardsigmoid(), (rng.uniform(-1, 1, (3, 5, 2)) * 1.4 + np.array([-4.5, -1.5, 1.5, 4.5, 0])[:, None],)


def the_ramp() -> Check:
    """At -4, -3, 0, 3 and 4 the values are 0, 0, 0.5, 1 and 1.

    Source: equation (1)
    """
    return exactly(float(np.abs(Hardsigmoid().forward(np.array([-4.0, -3, 0, 3, 4])) - [0, 0, 0.5, 1, 1]).max()), 0)


def not_the_one_of_keras() -> Check:
    """0.2 x + 0.5, clipped to [0, 1], is another function: the two differ by up to 1/12, at x = 2.5.

    Source: Keras 2, hard_sigmoid; 5.5/6 - 1
    """
    x = np.linspace(-4, 4, 8001)
    other = np.clip(0.2 * x + 0.5, 0, 1)
    return about(float(np.abs(Hardsigmoid().forward(x) - other).max()), 1 / 12, 1e-12)


CARD = Card(
    name="Hard sigmoid",
    name_ja="Hardsigmoid(区分線形シグモイド)",
    paper="Courbariaux, Bengio, David 2015, BinaryConnect, arXiv:1511.00363; Howard et al. 2019, arXiv:1905.02244",
    equations=(r"f(x) = \min(1, \max(0, \frac{x + 3}{6}))",
               r"f'(x) = \frac{1}{6} \ \mathrm{if}\ -3 < x < 3,\ \mathrm{else}\ 0"),
    summary="A ramp from 0 at -3 to 1 at 3: a sigmoid without an exponential.",
    summary_ja="-3 の 0 から 3 の 1 まで上る直線。指数関数を使わないシグモイドである。",
    topics=("nn.hardsigmoid",),
    facts=(the_ramp, not_the_one_of_keras),
    notes=("Keras before version 3 calls 0.2 x + 0.5 by the same name; weights do not carry over.",
           "torch's slope is 1/6 rounded to float32 even for float64 inputs; here it is 1/6 in the input's type."),
    notes_ja=("Keras 3 より前は 0.2 x + 0.5 を同じ名前で呼ぶ。重みはそのまま移せない。",
              "torch の傾きは float64 の入力でも float32 に丸めた 1/6 である。ここでは入力の型での 1/6 とする。"),
)
