r"""Newton's method (Newton, Raphson; convergence: Kantorovich 1948): the minimum of the second-order model.

    w = w - lr H^-1 g,   H the matrix of second derivatives                                              (1)
    e_{t+1} / e_t^2 -> |f'''| / (2 f'')   in one dimension                                               (2)

Near a minimum the number of right digits doubles at every step (2), whatever the scale of each direction. The surprise
is the other side of it: (1) looks for any place where the gradient is 0, be it a minimum or a saddle. What helps:

    w = w - lr (H + damping)^-1 g         (Levenberg 1944, Marquardt 1963)                               (3)
    w = w - lr (|H| + damping)^-1 g       with |H| of the absolute eigenvalues (saddle_free)             (4)

(4) is of Dauphin et al. 2014, arXiv:1406.2572. The whole H is formed, n backward passes and n^2 numbers: for small
problems. The larger ones are those of conjugate_gradient.py and hessian_free.py.
"""

from typing import Any, Literal, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, about, at_most
from shinso.core.seed import generator
from shinso.optim._checks import check_rate
from shinso.optim._line_search import Found, armijo
from shinso.optim._walk import weights
from shinso.optim._whole import AbstractWhole, Landscape, descent, solved


@final
class Newton(AbstractWhole):
    """Newton's method; the closure calls loss.backward(create_graph=True). One parameter group."""

    curvature = True
    most_weights = 20_000

    def __init__(self, params: Any, lr: float = 1.0, *, damping: float = 0.0, saddle_free: bool = False,
                 line_search: Literal["armijo"] | None = None, maximize: bool = False):
        """With line_search="armijo" lr is halved until the loss falls enough; a direction that climbs is turned round.

        Directions without curvature (an eigenvalue of 0 up to rounding) are not moved along.
        """
        check_rate(lr)
        if not 0.0 <= damping:
            raise ValueError(f"Invalid damping value: {damping}")
        if line_search not in (None, "armijo"):
            raise ValueError(f"Invalid line_search: {line_search}")
        super().__init__(params, {"lr": lr, "damping": damping, "saddle_free": saddle_free,
                                  "line_search": line_search, "maximize": maximize})

    def advance(self, land: Landscape, group: dict[str, Any], state: dict[str, Any]) -> None:
        loss, g = land.ask()
        d = -solved(land.hessian(), g, group["damping"], absolute=group["saddle_free"])  # (1), (3), (4)
        if group["line_search"] is None:
            land.go(land.place() + float(group["lr"]) * d)
        elif bool(g.any()):
            armijo(land, -d if g.dot(d) > 0 else d, Found(float(group["lr"]), loss, g))


def one_step_solves_a_quadratic() -> Check:
    """In 8 dimensions at condition number 100 one step from a random place ends within 1e-12 of the minimum.

    Source: equation (1), whose model is the function itself
    """
    draw = generator(0, "newton")
    basis = torch.linalg.qr(torch.randn(8, 8, generator=draw, dtype=torch.float64))[0]
    a, answer = basis @ torch.diag(torch.logspace(0, 2, 8).double()) @ basis.T, torch.arange(8.0).double()
    w = weights(torch.randn(8, generator=draw).double())
    path = descent(Newton([w]), lambda w: 0.5 * (w - answer) @ a @ (w - answer), 1)
    return at_most(float((path[-1] - answer).norm()), 1e-12)


def the_error_is_squared() -> Check:
    """On e^x - x the ratio e_{t+1} / e_t^2 of the errors tends to 1/2; at the fourth step from 0.5 to 1e-5.

    Source: equation (2); Kantorovich 1948
    """
    path = descent(Newton([weights([0.5])]), lambda w: (w.exp() - w).sum(), 4)[:, 0]
    return about(float(path[4] / path[3] ** 2), 0.5, 1e-5)


def the_plain_step_goes_to_the_saddle() -> Check:
    """The trap: on x^2 - y^2 + y^4/4 from (1, 0.1), where y goes downhill, it ends within 1e-12 of the saddle at 0.

    Source: equation (1): it looks for a gradient of 0, of whatever kind
    """
    return at_most(float(descent(Newton([weights([1.0, 0.1])]), _saddle, 8)[-1].norm()), 1e-12)


def absolute_curvature_leaves_it() -> Check:
    """With saddle_free the same start ends in a minimum, y = sqrt 2 and f = -1, to 1e-12.

    Source: Dauphin et al. 2014, equation (4)
    """
    end = descent(Newton([weights([1.0, 0.1])], saddle_free=True), _saddle, 20)[-1]
    return about(float(_saddle(end)), -1.0, 1e-12)


def damping_above_the_downward_curvature_leaves_it() -> Check:
    """With damping 3, more than the downward curvature of 2, the same start ends at f = -1, to 1e-9.

    Source: Levenberg 1944; Marquardt 1963: H + damping is then positive definite
    """
    end = descent(Newton([weights([1.0, 0.1])], damping=3.0), _saddle, 60)[-1]
    return about(float(_saddle(end)), -1.0, 1e-9)


def _saddle(w: Tensor) -> Tensor:
    return w[0] ** 2 - w[1] ** 2 + w[1] ** 4 / 4


CARD = Card(
    name="Newton's method",
    name_ja="ニュートン法",
    paper="Kantorovich 1948; saddle-free: Dauphin et al. 2014, arXiv:1406.2572",
    equations=(
        r"w = w - \eta\, H^{-1} g,\quad H = \nabla^2 f",
        r"e_{t+1} / e_t^2 \to |f'''| / (2 f'')",
        r"w = w - \eta\, (H + \lambda I)^{-1} g",
        r"w = w - \eta\, (|H| + \lambda I)^{-1} g",
    ),
    summary="Jumps to the stationary point of the second-order model; the right digits double at every step.",
    summary_ja="二次近似の停留点へ移る。正しい桁数は一歩ごとに倍になる。",
    topics=("optim.newton",),
    facts=(one_step_solves_a_quadratic, the_error_is_squared, the_plain_step_goes_to_the_saddle,
           absolute_curvature_leaves_it, damping_above_the_downward_curvature_leaves_it),
    notes=("The plain step goes to a saddle as readily as to a minimum; there damping or saddle_free is needed.",
           "It is not told by the documents that the whole Hessian is formed: n^2 numbers for n weights."),
    notes_ja=("そのままの一歩は極小点と同じように鞍点へも向かう。凸でないときは damping か saddle_free が要る。",
              "資料には書かれていないが、ヘッセ行列全体を作る。重みが n 個なら n^2 個の数である。"),
)
