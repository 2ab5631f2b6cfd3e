r"""AdaGrad with dual averaging (Xiao 2010; Duchi, Hazan and Singer 2011): weights from the sums of gradients alone.

    G = G + g,   S = S + g^2,   S = 0.1 at first                                                         (1)
    w = -lr sign(G) max(|G| - l1 t, 0) / (l2 t lr + sqrt(S))                                             (2)

Equation (3) of Duchi, Hazan and Singer with the diagonal sqrt(S): w is the exact minimum over u of

    G u + t (l1 |u| + l2/2 u^2) + sqrt(S)/(2 lr) u^2                                                     (3)

The penalties grow with t as the gradients' sum does, so a weight is exactly zero while its mean gradient is at most l1.
The surprise is in what (2) does not hold: the weight. The first step forgets where it was, which ruins a network that
was initialised at random; `centred=True` is the same around the start w0, w = w0 + (2) (4), with the penalties on the
distance from it.
"""

from typing import Any, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.seed import generator
from shinso.kernels.elementwise import Rule, absolute, maximum, sign, sqrt
from shinso.optim._checks import check_penalties, check_rate
from shinso.optim._elementwise import AbstractElementwise, Group
from shinso.optim._walk import walk, weights


@final
class AdagradDA(AbstractElementwise):
    """Dual averaging; the gradient is that of the loss without l1 and l2."""

    STATE = ("gradient_sum", "square_sum")

    def __init__(self, params: Any, lr: float | Tensor = 1e-2, *, l1: float = 0.0, l2: float = 0.0,
                 initial_accumulator_value: float = 0.1, centred: bool = False, maximize: bool = False):
        check_rate(lr)
        check_penalties(l1, l2)
        if not 0.0 < initial_accumulator_value:
            raise ValueError(f"Invalid initial_accumulator_value value: {initial_accumulator_value}")
        super().__init__(params, {"lr": lr, "l1": l1, "l2": l2, "maximize": maximize, "centred": centred,
                                  "initial_accumulator_value": initial_accumulator_value})

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1) and (2)"""
        lr, threshold, shrink, zero, _ = h
        G, S = s[0] + g, s[1] + g * g
        return -lr * sign(G) * maximum(absolute(G) - threshold, zero) / (shrink + sqrt(S)), (G, S)

    @staticmethod
    def centred_rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1) and (4)"""
        lr, threshold, shrink, zero, first = h
        G, S, start = s[0] + g, s[1] + g * g, s[2] + first * w
        return start - lr * sign(G) * maximum(absolute(G) - threshold, zero) / (shrink + sqrt(S)), (G, S, start)

    def chosen(self, group: Group) -> tuple[Rule, tuple[str, ...]]:
        if group["centred"]:
            return AdagradDA.centred_rule, (*self.STATE, "start")
        return AdagradDA.rule, self.STATE

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        lr = group["lr"]
        return lr, group["l1"] * step, group["l2"] * step * lr, 0.0, 1.0 if step == 1 else 0.0

    def initial(self, group: Group) -> tuple[float, ...]:
        return (0.0, group["initial_accumulator_value"], 0.0)[: 2 + group["centred"]]


def the_sums_are_enough() -> Check:
    """After 200 steps of 50 weights, (2) from the sums of all gradients is the weight to 1e-12.

    Source: equation (2)
    """
    g, path = _noisy()
    G, S = g.sum(0), 0.1 + g.square().sum(0)
    expected = -0.5 * G.sign() * (G.abs() - 0.02 * 200).clamp_min(0) / (0.01 * 200 * 0.5 + S.sqrt())
    return at_most(float((path[-1] - expected).abs().max()), 1e-12)


def a_weight_is_zero_while_its_mean_gradient_is_small() -> Check:
    """At every one of 200 steps w = 0 exactly where the mean gradient is at most l1 = 0.02: 0 exceptions.

    Source: Xiao 2010: the regularised dual averaging of l1
    """
    g, path = _noisy()
    small = g.cumsum(0).abs() <= 0.02 * torch.arange(1, 201, dtype=g.dtype)[:, None]
    return exactly(float(((path[1:] == 0) != small).sum()) + (not bool(small.any())), 0)


def the_first_step_forgets_the_start() -> Check:
    """The trap: from 1000 normal weights and from zeros, the weights after one step are the same; difference 0.

    Source: equation (2) does not hold w
    """
    start = torch.randn(1000, generator=generator(0, "start"), dtype=torch.float64)
    g = torch.linspace(-1, 1, 1000, dtype=torch.float64)
    ends = [walk(AdagradDA([weights(w)]), lambda w: g, 1)[1] for w in (start, 0 * start)]
    return exactly(float((ends[0] - ends[1]).abs().max()), 0.0)


def centred_it_starts_from_the_start() -> Check:
    """Centred, a gradient of zero leaves 1000 normal weights where they were for 10 steps; difference 0.

    Source: equation (4)
    """
    start = torch.randn(1000, generator=generator(0, "start"), dtype=torch.float64)
    path = walk(AdagradDA([weights(start)], centred=True), torch.zeros_like, 10)
    return exactly(float((path - start).abs().max()), 0.0)


def a_quadratic_is_left_for_its_minimum() -> Check:
    """On 1/2 (w1 - 1)^2 + 50 (w2 + 2)^2, of condition number 100, 3000 steps end within 1e-3 of (1, -2).

    Source: the common claim of every method of the course
    """
    pull, at = weights([1.0, 100.0]).detach(), weights([1.0, -2.0]).detach()
    path = walk(AdagradDA([weights([0.0, 0.0])], lr=1.0), lambda w: pull * (w - at), 3000)
    return at_most(float((path[-1] - at).abs().max()), 1e-3)


def _noisy() -> tuple[Tensor, Tensor]:
    """(200, 50) gradients and (201, 50) weights with lr = 0.5, l1 = 0.02, l2 = 0.01."""
    draw, given = generator(0, "noise"), []

    def gradient(w: Tensor) -> Tensor:
        given.append(0.1 * (w - torch.linspace(-1, 1, 50).to(w)) + 0.3 * torch.randn(50, generator=draw).to(w))
        return given[-1]

    path = walk(AdagradDA([weights([0.0] * 50)], lr=0.5, l1=0.02, l2=0.01), gradient, 200)
    return torch.stack(given), path


CARD = Card(
    name="AdaGrad with dual averaging",
    name_ja="AdaGrad + DualAveraging (AdaGradDA)",
    paper="Xiao 2010, Journal of Machine Learning Research 11; Duchi, Hazan and Singer 2011, the same 12",
    equations=(
        r"G = G + g,\quad S = S + g^2,\quad S_0 = 0.1",
        r"w = -\eta\,\mathrm{sign}(G)\,\max(|G| - \lambda_1 t, 0)\,/\,(\lambda_2 t\,\eta + \sqrt{S})",
        r"w = \mathrm{arg\,min}_u\ G u + t\,(\lambda_1|u| + \frac{\lambda_2}{2}u^2) + \frac{\sqrt{S}}{2\eta}u^2",
        r"w = w_0 - \eta\,\mathrm{sign}(G)\,\max(|G| - \lambda_1 t, 0)\,/\,(\lambda_2 t\,\eta + \sqrt{S})",
    ),
    summary="Weights are made from the sums of all gradients and of their squares; weak ones stay exactly zero.",
    summary_ja="勾配の和と二乗和だけから重みを作る。平均勾配の小さい重みはちょうど零のままである。",
    topics=("optim.adagrad-da",),
    facts=(the_sums_are_enough, a_weight_is_zero_while_its_mean_gradient_is_small, the_first_step_forgets_the_start,
           centred_it_starts_from_the_start, a_quadratic_is_left_for_its_minimum),
    notes=("As published, the first step forgets the initial weights: a random network needs centred=True.",
           "The step count and the 0.1 are TensorFlow's; the paper has a small multiple of the identity."),
    notes_ja=("原論文どおり、最初の一歩は初期の重みを忘れる。乱数で初期化したネットワークには centred=True が要る。",
              "ステップの数え方と 0.1 は TensorFlow のもので、論文では単位行列の小さな倍数である。"),
)
