r"""SMORMS3, "squared mean over root mean squared cubed" (Funk 2015): a memory as long as the gradient is steady.

    r = 1 / (mem + 1),   m = (1 - r) m + r g,   n = (1 - r) n + r g^2,   mem = 1 at first                (1)
    x = m^2 / (n + eps),   w = w - g min(lr, x) / (sqrt(n) + eps)                                        (2)
    mem = 1 + mem (1 - x)                                                                                (3)

x lies between 0 and 1 and says how much of the gradient is signal: 1 if it never changes, about 1/mem if it is noise.
A steady gradient shortens the memory (3), noise lengthens it, and then min(lr, x) falls by itself: the surprise is a
rate that needs no schedule where the noise has taken over. Under a constant gradient m = c g and n = c g^2 with
c = 1/2, 7/10, 403/490, ... (4), and every step is -lr sign(g) / sqrt(c): the first one is sqrt(2) lr.

The method was published on a web page alone (sifter.org/~simon/journal/20150420.html); Chainer's optimizers.SMORMS3
is what people ran.
"""

from itertools import pairwise
from typing import Any, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, about, at_most
from shinso.core.seed import generator
from shinso.kernels.elementwise import minimum, sqrt
from shinso.optim._checks import check_rate
from shinso.optim._elementwise import AbstractElementwise, Group
from shinso.optim._walk import along, walk, weights


@final
class SMORMS3(AbstractElementwise):
    """Funk's SMORMS3; lr is the largest rate that an entry can have."""

    STATE = ("memory", "grad_avg", "square_avg")
    SCALARS = ()

    def __init__(self, params: Any, lr: float | Tensor = 1e-3, *, eps: float = 1e-16, weight_decay: float = 0.0,
                 maximize: bool = False):
        check_rate(lr)
        if not 0.0 < eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {"lr": lr, "eps": eps, "weight_decay": weight_decay, "maximize": maximize})

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1), (2) and (3)"""
        memory, m, n = s
        lr, eps, one = h
        r = one / (memory + one)
        m = m + r * (g - m)
        n = n + r * (g * g - n)
        x = m * m / (n + eps)
        return w - g * minimum(x, lr) / (sqrt(n) + eps), (one + memory * (one - x), m, n)

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        return group["lr"], group["eps"], 1.0

    def initial(self, group: Group) -> tuple[float, ...]:
        return 1.0, 0.0, 0.0


def the_first_step_is_root_two_times_the_rate() -> Check:
    """The first step is -sqrt(2) lr sign(g) for 200 gradients between 1e-2 and 1e6, to 1e-12 of itself.

    Source: equations (1) and (2) from memory 1, where x = 1/2
    """
    g = torch.logspace(-2, 6, 200, dtype=torch.float64) * torch.tensor([1.0, -1.0]).repeat(100)
    step = walk(SMORMS3([weights([0.0] * 200)]), lambda _: g, 1)[1]
    return at_most(float((step / (-(2**0.5) * 1e-3 * g.sign()) - 1).abs().max()), 1e-12)


def three_steps_have_their_closed_form() -> Check:
    """Under a constant gradient the steps are lr / sqrt(c) with c = 1/2, 7/10, 403/490, to 1e-15.

    Source: equation (4)
    """
    path = [0.0, *along(SMORMS3([weights([0.0])]), [-0.7] * 3)]
    expected = [1e-3 / c**0.5 for c in (1 / 2, 7 / 10, 403 / 490)]
    return at_most(max(abs(b - a - e) for (a, b), e in zip(pairwise(path), expected, strict=True)), 1e-15)


def a_steady_gradient_is_followed_at_the_rate() -> Check:
    """After 200 equal gradients the step divided by lr is 1, to 1e-12: x has become 1 and the memory 1.

    Source: equations (1) to (3), fixed point c = 1
    """
    path = along(SMORMS3([weights([0.0])]), [2.5] * 200)
    return about((path[-2] - path[-1]) / 1e-3, 1.0, 1e-12)


def noise_lowers_the_rate_by_itself() -> Check:
    """1000 entries under pure noise: the mean step between steps 900 and 1000 is at most 0.3 lr.

    Source: Funk 2015; under noise x is about 1/mem and mem grows by nearly 1 a step
    """
    draw = generator(0, "noise")
    path = walk(SMORMS3([weights([0.0] * 1000)], lr=0.1), lambda w: torch.randn(w.shape, generator=draw).to(w), 1000)
    return at_most(float(path[900:].diff(dim=0).abs().mean()) / 0.1, 0.3)


def a_memory_from_zero_would_divide_by_less() -> Check:
    """The trap: with memory 0 at the first step r = 1, x = 1, and the first step is lr instead of sqrt(2) lr.

    Source: equations (1) and (2); Chainer's code begins with 1
    """
    optimiser = SMORMS3([weights([0.0])])
    (w,) = optimiser.param_groups[0]["params"]
    optimiser.state[w] = {"memory": torch.zeros_like(w), "grad_avg": torch.zeros_like(w),
                          "square_avg": torch.zeros_like(w)}
    return about(along(optimiser, [-3.0])[0], 1e-3, 1e-15)


CARD = Card(
    name="SMORMS3",
    name_ja="SMORMS3",
    paper="Funk 2015, sifter.org/~simon/journal/20150420.html",
    equations=(
        r"r = 1/(M+1),\quad m = (1-r)\,m + r\,g,\quad n = (1-r)\,n + r\,g^2,\quad M_0 = 1",
        r"x = m^2/(n+\varepsilon),\quad w = w - g\,\min(\eta, x)/(\sqrt{n}+\varepsilon)",
        r"M = 1 + M\,(1-x)",
        r"m = c\,g,\quad n = c\,g^2,\quad c = \frac{1}{2},\ \frac{7}{10},\ \frac{403}{490},\ \ldots",
    ),
    summary="Each entry remembers longer the noisier its gradient is, and lowers its rate when only noise is left.",
    summary_ja="成分ごとに勾配の雑音に応じて記憶の長さを変え、雑音だけになると学習率をひとりでに下げる。",
    topics=("optim.smorms3",),
    facts=(the_first_step_is_root_two_times_the_rate, three_steps_have_their_closed_form,
           a_steady_gradient_is_followed_at_the_rate, noise_lowers_the_rate_by_itself,
           a_memory_from_zero_would_divide_by_less),
    notes=("The memory begins with 1; from 0 the first step is that of a sign method, lr.",
           "There is no paper: the source is a web page, and Chainer's code is the reference."),
    notes_ja=("記憶の初期値は 1 である。0 から始めると最初の一歩は符号だけの手法と同じ lr になる。",
              "論文はない。出典はウェブページで、Chainer のコードが基準である。"),
)
