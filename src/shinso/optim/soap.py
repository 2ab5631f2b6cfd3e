r"""SOAP, "Shampoo with Adam in the preconditioner's eigenbasis" (Vyas et al. 2024, arXiv:2409.11321).

    G' = Q_L^T G Q_R,   M' = b1 M' + (1 - b1) G',   V = b2 V + (1 - b2) G'^2                             (1)
    W = (1 - lr wd) W - lr Q_L N' Q_R^T,   N' = Mhat' / (sqrt(Vhat) + eps)                               (2)
    L = b2 L + (1 - b2) G G^T,   R = b2 R + (1 - b2) G^T G                                               (3)
    every f steps:   Q_L = QR(L Q_L),   Q_R = QR(R Q_R)                                                  (4)

Algorithm 3 of the paper: Shampoo is Adafactor in the eigenbasis of L and R, and in that basis one may as well run Adam.
(4) is one step of orthogonal iteration, far cheaper than finding eigenvectors anew. The surprise: Adam's path depends
on the axes that a weight happens to be written in, SOAP's does not: W -> U W V rotates the whole path (5).

    G -> U G V:   Q_L -> U Q_L,   Q_R -> V^T Q_R,   G' -> G'                                             (5)

The first gradient only finds the bases: in a basis of its own it is diagonal, and (2) would turn the rounding errors
beside the diagonal into steps of full length. The columns of Q are kept in order of their eigenvalues, V with them. M
is kept in the basis as M' and turned when the basis turns, which saves a quarter of the products.
"""

from collections.abc import Callable
from typing import Any, cast, final

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.seed import generator
from shinso.optim._checks import check_rate
from shinso.optim._lean import AbstractStep
from shinso.optim._walk import walk

SIDES = ("left", "right")


@final
class SOAP(AbstractStep, torch.optim.Optimizer):  # pyright: ignore[reportIncompatibleMethodOverride] - zero_grad(*)
    """SOAP with decoupled weight decay. Weights of more than two dimensions are matrices of their first dimension.

    A side longer than `max_dimension` keeps its axes; a weight with no side left, a vector above all, is AdamW's.
    """

    def __init__(self, params: Any, lr: float | Tensor = 3e-3, betas: tuple[float, float] = (0.95, 0.95),
                 eps: float = 1e-8, weight_decay: float = 0.01, *, precondition_frequency: int = 10,
                 max_dimension: int = 10_000, maximize: bool = False):
        check_rate(lr)
        for i, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if not 1 <= precondition_frequency:
            raise ValueError(f"Invalid precondition_frequency value: {precondition_frequency}")
        if not 0 <= max_dimension:
            raise ValueError(f"Invalid max_dimension value: {max_dimension}")
        self._stacks: dict[Any, _Stack] = {}
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                                  "precondition_frequency": precondition_frequency, "max_dimension": max_dimension,
                                  "maximize": maximize})

    def _update(self) -> None:
        for group in self.param_groups:
            alike: dict[Any, list[Tensor]] = {}
            for w in group["params"]:
                if w.grad is None or not w.numel():
                    continue
                if w.grad.is_sparse or w.is_complex():
                    raise RuntimeError("SOAP does not support sparse gradients, nor complex parameters")
                rows, columns = _shape(w)
                kind = (rows, columns, w.dtype, w.device, float(self.state[w].get("step", -1)))
                turned = w.dim() > 1 and min(rows, columns) <= group["max_dimension"]
                alike.setdefault(kind if turned else None, []).append(w)
            for kind, weights in alike.items():
                if kind is None:
                    self._adamw(group, weights)
                else:
                    self._soap(group, weights, first=kind[-1] < 0)

    def _soap(self, group: dict[str, Any], weights: list[Tensor], *, first: bool) -> None:
        shape = _shape(weights[0])
        G = torch.stack([cast(Tensor, w.grad).reshape(shape) for w in weights])
        G = -G if group["maximize"] else G
        sides = [name for name, length in zip(SIDES, shape, strict=True) if length <= group["max_dimension"]]
        if first:
            self._begin(group, weights, sides, G)
            return
        stack = self._stacked(weights)
        t = int(stack["step"][0]) + 1
        stack["step"] += 1
        lr, (b1, b2) = float(group["lr"]), group["betas"]
        QL, QR = stack.get("basis_left"), stack.get("basis_right")
        turned = _into(G, QL, QR)
        M = stack["exp_avg"].lerp_(turned, 1 - b1)
        V = stack["exp_avg_sq"].mul_(b2).addcmul_(turned, turned, value=1 - b2)  # (1)
        N = M / V.sqrt().div_((1 - b2**t) ** 0.5).add_(group["eps"])
        N = _out_of(N, QL, QR).mul_(-lr / (1 - b1**t))
        for w, move in zip(weights, N.unbind(), strict=True):
            w.mul_(1 - lr * group["weight_decay"]).add_(move.reshape(w.shape))  # (2)
        for name in sides:
            gram = (G, G.mT) if name == "left" else (G.mT, G)
            stack[f"gram_{name}"].baddbmm_(*gram, beta=b2, alpha=1 - b2)  # (3)
        if t % group["precondition_frequency"] == 0:
            for name in sides:
                _refresh(stack, name)  # (4)

    def _begin(self, group: dict[str, Any], weights: list[Tensor], sides: list[str], G: Tensor) -> None:
        """The bases of the first gradients; no weight moves."""
        stack = {"step": torch.zeros(len(weights)), "exp_avg": torch.zeros_like(G), "exp_avg_sq": torch.zeros_like(G)}
        for name in sides:
            gram = (1 - group["betas"][1]) * (G @ G.mT if name == "left" else G.mT @ G)
            stack[f"gram_{name}"] = gram
            stack[f"basis_{name}"] = torch.linalg.eigh(gram)[1].flip(-1).contiguous()
        self._keep(weights, stack)

    def _stacked(self, weights: list[Tensor]) -> dict[str, Tensor]:
        """The states of these weights, one on top of the other in memory, as they were kept or from a loaded state."""
        states = [self.state[w] for w in weights]
        found = self._stacks.get(tuple(map(id, weights)))
        if found is not None and all(state.get(name) is view for name, views in found.views.items()
                                     for state, view in zip(states, views, strict=True)):
            return found.whole
        return self._keep(weights, {name: torch.stack([state[name] for state in states]) for name in states[0]})

    def _keep(self, weights: list[Tensor], whole: dict[str, Tensor]) -> dict[str, Tensor]:
        stack = _Stack(whole)
        self._stacks[tuple(map(id, weights))] = stack
        for i, w in enumerate(weights):
            self.state[w] = {name: views[i] for name, views in stack.views.items()}
        return whole

    def _adamw(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        for w in weights:
            if "step" not in self.state[w]:
                self.state[w] = {"step": torch.zeros(()), "exp_avg": torch.zeros_like(w.detach()),
                                 "exp_avg_sq": torch.zeros_like(w.detach())}
        states, (b1, b2) = [self.state[w] for w in weights], group["betas"]
        adamw(weights, [cast(Tensor, w.grad) for w in weights], [s["exp_avg"] for s in states],
              [s["exp_avg_sq"] for s in states], [], [s["step"] for s in states], foreach=True, amsgrad=False,
              beta1=b1, beta2=b2, lr=group["lr"], weight_decay=group["weight_decay"], eps=group["eps"],
              maximize=group["maximize"])

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._stacks = {}


class _Stack:
    """States of weights of one shape in one tensor each, and the part of every weight as a view of it."""

    def __init__(self, whole: dict[str, Tensor]):
        self.whole = whole
        self.views = {name: list(tensor.unbind()) for name, tensor in whole.items()}


def _shape(w: Tensor) -> tuple[int, int]:
    """Rows and columns of the matrix that a weight is."""
    return (len(w), w.numel() // max(1, len(w))) if w.dim() else (1, 1)


def _into(X: Tensor, QL: Tensor | None, QR: Tensor | None) -> Tensor:
    X = X if QL is None else QL.mT @ X
    return X if QR is None else X @ QR


def _out_of(X: Tensor, QL: Tensor | None, QR: Tensor | None) -> Tensor:
    X = X if QL is None else QL @ X
    return X if QR is None else X @ QR.mT


def _refresh(stack: dict[str, Tensor], name: str) -> None:
    """(4) for one side, V in the new order and M' in the new basis."""
    Q, M, V, axis = stack[f"basis_{name}"], stack["exp_avg"], stack["exp_avg_sq"], -2 if name == "left" else -1
    S = stack[f"gram_{name}"] @ Q
    order = (Q * S).sum(-2).argsort(dim=-1, descending=True, stable=True)
    new = torch.linalg.qr(S.take_along_dim(order[:, None], -1))[0]
    V.copy_(V.take_along_dim(order[:, :, None] if axis == -2 else order[:, None], axis))
    turn = new.mT @ Q
    M.copy_(turn @ M if axis == -2 else M @ turn.mT)
    Q.copy_(new)


def _orthogonal(n: int, name: str, count: int = 1) -> Tensor:
    return torch.linalg.qr(torch.randn(count, n, n, generator=generator(0, name), dtype=torch.float64))[0]


_CURVATURE = torch.logspace(0, -3, 8, dtype=torch.float64)[:, None] * torch.logspace(0, -3, 8, dtype=torch.float64)
"""of sum_ij C_ij Z_ij^2 / 2, condition number 10^6"""


def _steps(kind: Callable[..., torch.optim.Optimizer], *, rotated: bool) -> int:
    """Steps until 20 noisy problems have a hundredth of their height; the weights are W with Z = U W V."""
    draw, eye = generator(1, "noise"), torch.eye(8, dtype=torch.float64).expand(20, 8, 8)
    U, V = (_orthogonal(8, name, 20) if rotated else eye for name in "UV")
    start = U.mT @ torch.randn(20, 8, 8, generator=generator(0, "start"), dtype=torch.float64) @ V.mT
    weights, first = [w.clone().requires_grad_() for w in start], None
    optimiser = kind(weights)
    for t in range(400):
        Z = U @ torch.stack([w.detach() for w in weights]) @ V
        height = float((_CURVATURE * Z * Z).sum())
        first = height if first is None else first
        if height < 0.01 * first:
            return t
        noise = 0.1 * _CURVATURE.sqrt() * torch.randn(20, 8, 8, generator=draw, dtype=torch.float64)
        for w, g in zip(weights, (U.mT @ (_CURVATURE * Z + noise) @ V.mT).unbind(), strict=True):
            w.grad = g
        optimiser.step()
    return 400


def _soap(weights: list[Tensor]) -> SOAP:
    return SOAP(weights, lr=0.0316, weight_decay=0.0)


def _adam(weights: list[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.Adam(weights, lr=0.0316, betas=(0.95, 0.95))


def rotated_it_needs_fewer_steps_than_adam() -> Check:
    """On 20 rotated quadratics of condition number 10^6 with noise, SOAP needs at most 0.6 of Adam's steps.

    Source: Vyas et al. 2024; steps to a hundredth of the height, at 0.0316, of 0.01, 0.0316, 0.1, 0.316 best for both
    """
    return at_most(_steps(_soap, rotated=True) / _steps(_adam, rotated=True), 0.6)


def along_its_axes_it_needs_as_many() -> Check:
    """Not rotated, it needs as many steps as rotated, within 2 percent.

    Source: equation (5)
    """
    return about(_steps(_soap, rotated=False) / _steps(_soap, rotated=True), 1.0, 0.02)


def along_its_axes_adam_needs_fewer() -> Check:
    """The other side: not rotated, SOAP needs at least 1.1 times as many steps as Adam, to which the axes are given.

    Source: (1) has the bases to find, and finds them from noisy gradients
    """
    return at_least(_steps(_soap, rotated=False) / _steps(_adam, rotated=False), 1.1)


def _apart(kind: Callable[[list[Tensor]], torch.optim.Optimizer]) -> float:
    """The largest difference over 60 steps between the path of a problem and the turned path of the turned problem."""
    U, V = _orthogonal(8, "U")[0], _orthogonal(8, "V")[0]
    start = torch.randn(8, 8, generator=generator(0, "start"), dtype=torch.float64)
    noise = torch.randn(60, 8, 8, generator=generator(0, "noises"), dtype=torch.float64)
    paths = []
    for left, right in ((torch.eye(8).double(), torch.eye(8).double()), (U, V)):
        given = iter(noise)
        optimiser = kind([(left @ start @ right).requires_grad_()])
        path = walk(optimiser, lambda w, a=left, b=right, given=given: (
            a @ (_CURVATURE * (a.T @ w @ b.T) + next(given)) @ b), 60)
        paths.append(left.T @ path @ right.T)
    return float((paths[0] - paths[1]).abs().max())


def a_rotated_problem_has_the_rotated_path() -> Check:
    """For W -> U W V, 60 noisy steps with bases refreshed every fifth are rotated likewise, to 1e-8.

    Source: equation (5)
    """
    return at_most(_apart(lambda w: SOAP(w, lr=0.1, precondition_frequency=5)), 1e-8)


def adams_path_is_another() -> Check:
    """Adam's two paths part by at least 0.1.

    Source: division entry by entry depends on the axes
    """
    return at_least(_apart(lambda w: torch.optim.Adam(w, lr=0.1, betas=(0.95, 0.95))), 0.1)


def with_its_axes_kept_it_is_adamw() -> Check:
    """With max_dimension = 0 no basis is turned, and 60 steps are those of torch's AdamW, to 1e-12.

    Source: equations (1) and (2) with Q = 1
    """
    start = torch.randn(8, 8, generator=generator(0, "start"), dtype=torch.float64)
    paths = [walk(kind([start.clone().requires_grad_()]), lambda w: _CURVATURE * w, 60) for kind in (
        lambda w: SOAP(w, lr=0.1, max_dimension=0),
        lambda w: torch.optim.AdamW(w, lr=0.1, betas=(0.95, 0.95), weight_decay=0.01))]
    return at_most(float((paths[0] - paths[1]).abs().max()), 1e-12)


CARD = Card(
    name="SOAP",
    name_ja="SOAP (Shampoo の固有基底での Adam)",
    paper="Vyas et al. 2024, SOAP: improving and stabilizing Shampoo using Adam, arXiv:2409.11321",
    equations=(
        r"G' = Q_L^T G Q_R,\quad M' = \beta_1 M' + (1-\beta_1)\,G',\quad V = \beta_2 V + (1-\beta_2)\,G' \odot G'",
        r"W = (1-\eta\lambda)\,W - \eta\,Q_L N' Q_R^T,\quad N' = \hat M'/(\sqrt{\hat V} + \epsilon)",
        r"L = \beta_2 L + (1-\beta_2)\,GG^T,\quad R = \beta_2 R + (1-\beta_2)\,G^TG",
        r"Q_L = \mathrm{QR}(L Q_L),\quad Q_R = \mathrm{QR}(R Q_R)",
        r"G \to UGV:\quad Q_L \to UQ_L,\quad Q_R \to V^TQ_R,\quad G' \to G'",
    ),
    summary="Adam in the slowly turning eigenbasis of Shampoo, so that the axes of a weight matrix do not matter.",
    summary_ja="Shampoo の固有基底をゆっくり更新し、その中で Adam を動かす。重み行列の座標軸の取り方によらない。",
    topics=(),
    facts=(rotated_it_needs_fewer_steps_than_adam, along_its_axes_it_needs_as_many, along_its_axes_adam_needs_fewer,
           a_rotated_problem_has_the_rotated_path, adams_path_is_another, with_its_axes_kept_it_is_adamw),
    notes=("The paper's Algorithm 3 has eps inside the root and no bias correction; here both are as in torch's AdamW.",
           "A first step in the basis of the very same gradient divides rounding errors by rounding errors.",
           "(5) is exact where the first gradient has full rank, up to one dimension: where its null space is larger, "
           "the first bases there are as the eigenvalue routine gives them, until the next gradients fill it."),
    notes_ja=("論文の Algorithm 3 は eps を根の中に置き、バイアス補正を書かない。ここでは torch の AdamW に合わせる。",
              "最初の勾配自身の基底で一歩目を進むと、丸め誤差を丸め誤差で割ることになる。",
              "(5) が厳密なのは、最初の勾配の零空間が高々一次元のときである。それより大きいと、次の勾配で埋まるまで、"
              "そこでの最初の基底は固有値計算の結果任せになる。"),
)
