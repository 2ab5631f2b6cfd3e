r"""Natural gradient (Amari 1998): the steepest descent where distance is how much the model's distribution changes.

    F = E_x E_y [ s s^T ],   s = d log p(y | x, w) / dw,   y drawn from the model                        (1)
    KL( p_w | p_{w+d} ) = d^T F d / 2 + ...                                                              (2)
    w = w - lr (F + damping)^-1 g                                                                        (3)

With outputs z of Jacobian J = dz/dw for one example, (1) is E_x [ J^T M J ], without any draw:

    M = 1 (gaussian: z is the mean, variance 1),   M = diag(p) - p p^T (categorical: p = softmax z),
    M = diag(p (1 - p)) (bernoulli: p = sigmoid z for every output)                                      (4)

The surprise: how the weights are written no longer matters. Under w = T v the direction (3) is the same motion of the
model, where the gradient's is another one. F is exact here, n^2 numbers from all outputs: for small nets; for larger
ones see kfac.py. With the drawn y replaced by the data's own, (1) is the *empirical* Fisher: another matrix.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.seed import generator
from shinso.optim._checks import check_rate
from shinso.optim._walk import weights as vector
from shinso.optim._whole import AbstractWhole, Landscape, jacobian, solved

Likelihood = Literal["gaussian", "categorical", "bernoulli"]


def fisher(output: Tensor, weights: Sequence[Tensor], likelihood: Likelihood) -> Tensor:
    """(n, n): the exact Fisher information (1) of outputs z (batch, outputs) that carry a graph to the n weights."""
    j, z = _jacobian(output, weights), output.detach()
    if likelihood == "categorical":
        p = z.softmax(1)[:, :, None]
        bent = p * (j - (p * j).sum(1, keepdim=True))  # (4)
    elif likelihood == "bernoulli":
        bent = (z.sigmoid() * (-z).sigmoid())[:, :, None] * j
    elif likelihood == "gaussian":
        bent = j
    else:
        raise ValueError(f"Invalid likelihood: {likelihood}")
    return torch.einsum("bcn,bcm->nm", j, bent) / len(z)


def empirical_fisher(output: Tensor, target: Tensor, weights: Sequence[Tensor], likelihood: Likelihood) -> Tensor:
    """(n, n): (1) with the data's own y, classes (batch,) if categorical, else of the shape of z. Not the Fisher."""
    j, z = _jacobian(output, weights), output.detach()
    means = {"gaussian": lambda: z, "categorical": lambda: z.softmax(1), "bernoulli": lambda: z.sigmoid()}
    if likelihood not in means:
        raise ValueError(f"Invalid likelihood: {likelihood}")
    seen = nn.functional.one_hot(target, z.shape[1]).to(z) if likelihood == "categorical" else target
    scores = torch.einsum("bcn,bc->bn", j, seen - means[likelihood]())
    return scores.T @ scores / len(z)


def _jacobian(output: Tensor, weights: Sequence[Tensor]) -> Tensor:
    if output.dim() != 2:
        raise ValueError(f"Invalid output: its shape must be (batch, outputs), not {tuple(output.shape)}")
    return jacobian(output.reshape(-1), weights).reshape(*output.shape, -1)


@final
class NaturalGradient(AbstractWhole):
    """Natural gradient descent. One parameter group.

    `fisher` is called once a step, with gradients enabled, and gives F (n, n) for all weights laid end to end in their
    order: `NaturalGradient(ws, fisher=lambda: fisher(model(x), ws, "categorical"))`. Without it the weights themselves
    count as the mean of a unit Gaussian, whose F is 1: gradient descent. The loss is the mean over the examples of
    -log p: cross_entropy, or half the squared error summed over the outputs (torch's mse_loss is 2 / outputs of it).
    """

    most_weights = 20_000

    def __init__(self, params: Any, lr: float = 1.0, *, fisher: Callable[[], Tensor] | None = None,
                 damping: float = 1e-3, maximize: bool = False):
        """With damping 0, directions that do not change the model (eigenvalues 0) are not moved along."""
        check_rate(lr)
        if not 0.0 <= damping:
            raise ValueError(f"Invalid damping value: {damping}")
        if fisher is not None and not callable(fisher):
            raise ValueError(f"Invalid fisher: {fisher}")
        self._fisher = fisher  # not in the group, which is saved
        super().__init__(params, {"lr": lr, "damping": damping, "maximize": maximize})

    def advance(self, land: Landscape, group: dict[str, Any], state: dict[str, Any]) -> None:
        _, g = land.ask()
        if self._fisher is not None:
            with torch.enable_grad():
                f = self._fisher().detach()
            if f.shape != (len(g), len(g)):
                raise RuntimeError(f"fisher() must give a matrix of {len(g)} rows and columns, not {tuple(f.shape)}")
            g = solved(f, g, group["damping"])  # (3)
        land.go(land.place() - float(group["lr"]) * g)


def one_step_is_least_squares() -> Check:
    """Linear regression with Gaussian noise, 50 examples of 6 inputs: one step of size 1 is the answer, to 1e-10.

    Source: Amari 1998: F is X^T X / n, the Hessian
    """
    x, y = _regression(noise=0.5)
    w = vector(torch.ones(6))
    _step(w, lambda w: 0.5 * (x @ w - y).square().mean(), lambda w: fisher((x @ w)[:, None], [w], "gaussian"))
    return at_most(float((w.detach() - torch.linalg.solve(x.T @ x, x.T @ y)).norm()), 1e-10)


def the_way_of_writing_does_not_matter() -> Check:
    """Logistic regression written as w = T v, T of condition number 100: the steps in w and in v agree to 1e-10.

    Source: Amari 1998; F becomes T^T F T
    """
    draw, (x, y) = generator(0, "basis"), _regression(noise=0.0)
    twist = torch.linalg.qr(torch.randn(6, 6, generator=draw, dtype=torch.float64))[0]
    twist = twist * torch.logspace(-1, 1, 6, dtype=torch.float64)
    start, x, y = torch.randn(6, generator=draw, dtype=torch.float64), x / x.norm(dim=0), (y > 0).double()
    ends = []
    for basis in (torch.eye(6, dtype=torch.float64), twist):
        v = vector(torch.linalg.solve(basis, start))
        _step(v, lambda v, t=basis: nn.functional.binary_cross_entropy_with_logits(x @ t @ v, y),
              lambda v, t=basis: fisher((x @ t @ v)[:, None], [v], "bernoulli"))
        ends.append(basis @ v.detach() - start)
    return at_most(float((ends[0] - ends[1]).norm() / ends[0].norm()), 1e-10)


def it_is_the_variance_of_the_score() -> Check:
    """The matrix from (4) is (1) with every class counted by its probability: largest difference 1e-14.

    Source: equation (1), summed by hand over 3 classes and 40 examples
    """
    x, w = _inputs(), vector(torch.linspace(-1, 1, 9))
    logs, total = (x @ w.view(3, 3)).log_softmax(1), torch.zeros(9, 9, dtype=torch.float64)
    for one in logs.reshape(-1):
        score = torch.autograd.grad(one, w, retain_graph=True)[0]
        total += one.detach().exp() * torch.outer(score, score)
    return at_most(float((total / len(x) - fisher(x @ w.view(3, 3), [w], "categorical")).abs().max()), 1e-14)


def it_measures_the_change_of_the_distribution() -> Check:
    """For a random d of length 0.001 the divergence KL(p_w | p_{w+d}) is d^T F d / 2, to 1 percent.

    Source: equation (2)
    """
    x, w = _inputs(), vector(torch.linspace(-1, 1, 9))
    d = torch.randn(9, generator=generator(2, "direction"), dtype=torch.float64)
    d *= 1e-3 / d.norm()
    before, after = ((x @ (w.detach() + e).view(3, 3)).log_softmax(1) for e in (0 * d, d))
    divergence = float((before.exp() * (before - after)).sum(1).mean())
    return about(divergence / float(d @ fisher(x @ w.view(3, 3), [w], "categorical") @ d / 2), 1.0, 0.01)


def the_empirical_fisher_is_another_matrix() -> Check:
    """The trap: at a perfect fit the empirical Fisher is 0, at most 1e-20 of the Fisher, which never sees the targets.

    Source: Kunstner, Balles and Hennig 2019, arXiv:1905.12558
    """
    x, y = _regression(noise=0.0)
    w = vector(torch.linalg.solve(x.T @ x, x.T @ y))
    output = (x @ w)[:, None]
    other = empirical_fisher(output, y[:, None], [w], "gaussian")
    return at_most(float(other.norm() / fisher(output, [w], "gaussian").norm()), 1e-20)


def its_step_is_another_one() -> Check:
    """The trap: that regression with the empirical Fisher in its place: the step ends at least 0.5 of the way off.

    Source: Kunstner, Balles and Hennig 2019, arXiv:1905.12558: its scale is that of the residuals squared
    """
    x, y = _regression(noise=0.5)
    w, answer = vector(torch.ones(6)), torch.linalg.solve(x.T @ x, x.T @ y)
    way = (w.detach() - answer).norm()
    _step(w, lambda w: 0.5 * (x @ w - y).square().mean(),
          lambda w: empirical_fisher((x @ w)[:, None], y[:, None], [w], "gaussian"))
    return at_least(float((w.detach() - answer).norm() / way), 0.5)


def _step(w: Tensor, loss: Callable[[Tensor], Tensor], matrix: Callable[[Tensor], Tensor]) -> None:
    optimiser = NaturalGradient([w], fisher=lambda: matrix(w), damping=0.0)
    loss(w).backward()
    optimiser.step()


def _regression(noise: float) -> tuple[Tensor, Tensor]:
    draw = generator(0, "regression")
    x = torch.randn(50, 6, generator=draw, dtype=torch.float64) * torch.logspace(0, 2, 6)
    return x, x @ torch.linspace(-1, 1, 6).double() + noise * torch.randn(50, generator=draw, dtype=torch.float64)


def _inputs() -> Tensor:
    return torch.randn(40, 3, generator=generator(1, "inputs"), dtype=torch.float64)


CARD = Card(
    name="Natural gradient",
    name_ja="自然勾配法",
    paper="Amari 1998, Natural gradient works efficiently in learning, doi:10.1162/089976698300017746",
    equations=(
        r"F = E_x E_y\left[ s s^T \right],\quad s = \nabla_w \log p(y \mid x, w),\quad y \sim p(\cdot \mid x, w)",
        r"\mathrm{KL}(p_w \Vert p_{w+d}) \approx d^T F\, d / 2",
        r"w = w - \eta\, (F + \lambda I)^{-1} g",
        r"F = E_x[J^T M J]:\quad M = I,\quad M = \mathrm{diag}(p) - p\, p^T,\quad M = \mathrm{diag}(p(1-p))",
    ),
    summary="Descends by distances between the model's distributions, so that how the weights are written drops out.",
    summary_ja="モデルの確率分布どうしの距離で最も急な方向に降下する。重みの表し方に左右されない。",
    topics=("optim.natural-gradient",),
    facts=(one_step_is_least_squares, the_way_of_writing_does_not_matter, it_is_the_variance_of_the_score,
           it_measures_the_change_of_the_distribution, the_empirical_fisher_is_another_matrix,
           its_step_is_another_one),
    notes=("Where F is singular, as with softmax, only the model's motion is free of how the weights are written.",
           "The empirical Fisher, with the targets of the data, is not the Fisher: both stand here by name.",
           "The Fisher is of -log p: torch's mse_loss is 2 / outputs of it, so that lr there must be outputs / 2."),
    notes_ja=("ソフトマックスのように F が特異なとき、書き方によらないのはモデルの動きだけで、重みの動きではない。",
              "データの正解を使う経験フィッシャー行列はフィッシャー行列ではない。ここには両方をその名で置く。",
              "フィッシャー行列は -log p のものである。torch の mse_loss はその 2 / 出力数 倍なので、"
              "lr は 出力数 / 2 にする。"),
)
