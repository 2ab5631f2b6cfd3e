r"""Rprop: only the sign of the gradient counts (Riedmiller and Braun 1993; the variant of Igel and Huesken 2000).

    d = clip(d etaplus if g g' > 0, d etaminus if g g' < 0, else d),   g = 0 if g g' < 0                 (1)
    w = w - sign(g) d,   g' = g                                                                          (2)
"""

from typing import Any, final

import torch

from shinso.core.card import Card, Check, about, at_most, exactly
from shinso.kernels.elementwise import maximum, minimum, sign, where
from shinso.optim._elementwise import AbstractTwin, Group
from shinso.optim._walk import along, walk, weights


@final
class Rprop(AbstractTwin, torch.optim.Rprop):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Drop-in for torch.optim.Rprop; for gradients of the whole data, not of batches."""

    TWIN = torch.optim.Rprop
    STATE = ("prev", "step_size")

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1) and (2)"""
        before, size = s
        shrink, grow, least, most, zero = h
        agreement = g * before
        size = where(agreement > zero, size * grow, where(agreement < zero, size * shrink, size))
        size = minimum(maximum(size, least), most)
        g = where(agreement < zero, zero, g)  # (1)
        return w - sign(g) * size, (g, size)  # (2)

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        return *group["etas"], *group["step_sizes"], 0.0

    def initial(self, group: Group) -> tuple[float, ...]:
        return 0.0, float(group["lr"])


def the_first_step_is_the_rate() -> Check:
    """Under gradients 1e-9, -3 and 4e6 the first step is lr against the sign: the largest difference from it.

    Source: Riedmiller and Braun 1993, section 3
    """
    scales = torch.tensor([1e-9, -3.0, 4e6], dtype=torch.float64)
    step = walk(Rprop([weights([0.0, 0.0, 0.0])], lr=0.01), lambda w: scales, 1)[1]
    return at_most(float((step + 0.01 * scales.sign()).abs().max()), 1e-17)


def agreement_grows_the_step() -> Check:
    """Under a constant gradient step t is lr 1.2^(t - 1): the tenth by the first is 1.2^9 to 1e-12.

    Source: equation (1)
    """
    path = [0.0, *along(Rprop([weights([0.0])], lr=0.01), [1.0] * 10)]
    return about((path[10] - path[9]) / (path[1] - path[0]), 1.2**9, 1e-12)


def it_never_exceeds_fifty() -> Check:
    """After 100 steps of agreement the step is exactly 50, the largest allowed.

    Source: Riedmiller and Braun 1993, section 3
    """
    optimiser = Rprop([weights([0.0])], lr=0.01)
    along(optimiser, [1.0] * 100)
    return exactly(float(next(iter(optimiser.state.values()))["step_size"]), 50)


def a_change_of_sign_halves_and_waits() -> Check:
    """After gradients 1, -1 the weight has not moved again, and the third step, under -1, is lr / 2 to 1e-17.

    Source: equations (1) and (2)
    """
    first, second, third = along(Rprop([weights([0.0])], lr=0.01), [1.0, -1.0, -1.0])
    assert first == second  # noqa: S101 - the other half of the claim
    return about(third - second, 0.005, 1e-17)


CARD = Card(
    name="Rprop",
    name_ja="Rprop",
    paper="Riedmiller and Braun 1993, A direct adaptive method for faster backpropagation learning, "
          "doi:10.1109/ICNN.1993.298623",
    equations=(
        r"d = \mathrm{clip}(d\,\eta_+ \ (g g' > 0),\ d\,\eta_- \ (g g' < 0)),\quad g = 0 \ (g g' < 0)",
        r"w = w - \mathrm{sign}(g)\,d,\quad g' = g",
    ),
    summary="Every weight has a step of its own that grows while its gradient keeps its sign, whatever its size.",
    summary_ja="重みごとに歩幅を持ち、勾配の符号が続く間は伸ばし、変われば縮める。勾配の大きさは見ない。",
    topics=("optim.rprop",),
    facts=(the_first_step_is_the_rate, agreement_grows_the_step, it_never_exceeds_fifty,
           a_change_of_sign_halves_and_waits),
    notes=("It needs the gradient of the whole data: with batches the sign is mostly noise.",
           "Four variants share the name; this one, as torch's, forgets the gradient after a change of sign."),
    notes_ja=("データ全体の勾配が要る。ミニバッチでは符号がほとんど雑音になる。",
              "同じ名の変種が四つある。これは torch と同じく、符号が変わった後の勾配を忘れるものである。"),
)
