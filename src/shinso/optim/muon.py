r"""Muon, momentum orthogonalised by Newton-Schulz (Jordan et al. 2024; Bernstein and Newhouse 2024, arXiv:2409.20325).

    b = mu b + (1 - mu) G,   X = (1 - mu) G + mu b,   X = X / |X|_F                                      (1)
    X = a X + b (X X^T) X + c (X X^T)^2 X,   five times, with (a, b, c) = (3.4445, -4.7750, 2.0315)      (2)
    W = (1 - lr wd) W - lr s X,   s = 0.2 sqrt(max(rows, columns))                                       (3)

for weights of two and more dimensions (a convolution's kernel is a matrix of its output channels); AdamW for all
others. (2) moves every singular value x by x -> a x + b x^3 + c x^5 and leaves the singular vectors, so X nears
U V^T of the singular value decomposition: what descends fastest among all steps of spectral norm 1,

    min_{|D|_2 <= 1} <G, D> = -|G|_*,   D = -U V^T                                                       (4)

The surprise: these a, b, c converge to nothing. They are chosen for a steep start (a = 3.4445) and leave each singular
value wandering between 0.6818 and 1.1344 for ever; a value that has just arrived may be as high as 1.2024.
With M = a + b G + c G^2, (2) can also be done to G = X X^T alone, G = M G M, and X is multiplied by the product of the
M at the end: three times fewer operations for a matrix that is four times as wide as high.
"""

from collections.abc import Callable
from typing import Any, cast, final

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from shinso.core.card import Card, Check, about, at_most, exactly
from shinso.core.seed import generator
from shinso.optim._checks import check_rate
from shinso.optim._lean import AbstractLean
from shinso.optim._walk import walk

Coefficients = tuple[float, float, float]
QUINTIC: Coefficients = (3.4445, -4.7750, 2.0315)
CUBIC: Coefficients = (1.5, -0.5, 0.0)
"""converges to U V^T, in 30 steps or so"""
_torch = cast(Any, torch)  # the foreach calls have no public name


def schulz(X: Tensor, coefficients: Coefficients = QUINTIC, steps: int = 5) -> Tensor:
    """(2) of matrices (..., rows, columns) whose singular values are at most 1."""
    a, b, c = coefficients
    if X.size(-2) > X.size(-1):
        return schulz(X.mT, coefficients, steps).mT
    if X.size(-1) >= 2 * X.size(-2) and steps > 1 and a ** (2 * steps) * torch.finfo(X.dtype).eps < 0.05:
        return _of_gram(X, coefficients, steps)  # its rounding errors grow by a^2 in every step
    product = torch.addmm if X.dim() == 2 else torch.baddbmm
    for _ in range(steps):
        gram = X @ X.mT
        X = product(X, product(gram, gram, gram, beta=b, alpha=c), X, beta=a)  # (2)
    return X


def _of_gram(X: Tensor, coefficients: Coefficients, steps: int) -> Tensor:
    a, b, c = coefficients
    gram, whole = X @ X.mT, None
    product = torch.addmm if X.dim() == 2 else torch.baddbmm
    for i in range(steps):
        M = product(gram, gram, gram, beta=b, alpha=c)
        M.diagonal(dim1=-2, dim2=-1).add_(a)
        whole = M if whole is None else M @ whole
        if i + 1 < steps:
            gram = M @ gram @ M
    return X if whole is None else whole @ X


def orthogonalised(X: Tensor, coefficients: Coefficients = QUINTIC, steps: int = 5, eps: float = 1e-7) -> Tensor:
    """Matrices (..., rows, columns) divided by their Frobenius norm, then (2)."""
    return schulz(X / X.norm(dim=(-2, -1), keepdim=True).clamp_min(eps), coefficients, steps)


@final
class Muon(AbstractLean, torch.optim.Muon):  # pyright: ignore[reportIncompatibleMethodOverride] - zero_grad(*)
    """torch.optim.Muon for a whole model: `Muon(model.parameters())`. One rate serves both halves by its default s.

    A group may say `use_muon`: False gives its weights to AdamW (embeddings, the last layer), True insists on Muon;
    unsaid, weights of two and more dimensions are Muon's. Further entries of a group: `betas` and `adamw_eps` of
    AdamW, `eps` in (1), `maximize`, and `ns_bfloat16`, whether (2) is done in that type, as torch does it
    always: unsaid, where it is faster, which is on CUDA and for large matrices on a CPU that has its instructions.
    """

    def __init__(self, params: Any, lr: float | Tensor = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95, *,
                 nesterov: bool = True, ns_coefficients: Coefficients = QUINTIC, ns_steps: int = 5,
                 adjust_lr_fn: str | None = "match_rms_adamw"):
        """`adjust_lr_fn` None or "original" is torch's default s = sqrt(max(1, rows / columns))."""
        check_rate(lr)
        if not 0.0 <= weight_decay:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if not 0.0 <= momentum:
            raise ValueError(f"Invalid momentum value: {momentum}")
        if len(ns_coefficients) != 3:
            raise ValueError(f"Invalid ns_coefficients: {ns_coefficients}")
        if not 0 <= ns_steps < 100:
            raise ValueError(f"Invalid ns_steps value: {ns_steps}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        torch.optim.Optimizer.__init__(self, params, {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": ns_coefficients, "eps": 1e-7, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn,
            "ns_bfloat16": None, "use_muon": None, "betas": (0.9, 0.95), "adamw_eps": 1e-8, "maximize": False})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        for w in self.param_groups[-1]["params"]:
            if self.param_groups[-1].get("use_muon") and w.dim() < 2:
                raise ValueError(f"Invalid use_muon: a weight of shape {tuple(w.shape)} is no matrix")

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)  # a state of torch's Muon says nothing of our entries

    def step(  # pyright: ignore[reportIncompatibleMethodOverride] - torch's has overloads
            self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every weight that has a gradient; returns what the closure returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                halves: tuple[list[Tensor], list[Tensor]] = ([], [])
                for w in group["params"]:
                    if w.grad is not None:
                        if w.is_complex():
                            raise RuntimeError("Muon does not support complex parameters")
                        if w.grad.is_sparse:
                            raise RuntimeError("Muon does not support sparse gradients")
                        flag = group["use_muon"]
                        halves[not (w.dim() > 1 and w.numel() if flag is None else flag)].append(w)
                if halves[0]:
                    self._turn(group, halves[0])
                if halves[1]:
                    self._adamw(group, halves[1])
        return loss

    def _turn(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        """(1) to (3)"""
        grads, mu, lr = _gradients(group, weights), group["momentum"], float(group["lr"])
        for w in weights:
            if "momentum_buffer" not in self.state[w]:
                self.state[w]["momentum_buffer"] = torch.zeros_like(w.detach())
        averages = [self.state[w]["momentum_buffer"] for w in weights]
        _torch._foreach_lerp_(averages, grads, 1 - mu)
        moves = _torch._foreach_lerp(grads, averages, mu) if group["nesterov"] else averages  # (1)
        _torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
        alike: dict[Any, list[int]] = {}
        for i, w in enumerate(weights):
            alike.setdefault((len(w), w.numel(), w.dtype, w.device), []).append(i)
        for (rows, size, dtype, device), places in alike.items():
            small = group["ns_bfloat16"]
            if small is None:
                small = dtype != torch.float64 and _short_is_faster(device, min(rows, size // rows))
            found = [moves[i].reshape(rows, -1).to(torch.bfloat16 if small else dtype) for i in places]
            if len(found) > 1 and (device.type != "cpu" or size <= _SMALL):
                turned = orthogonalised(torch.stack(found), *_schulz(group)).unbind()
            else:
                turned = [orthogonalised(X, *_schulz(group)) for X in found]
            scale = -lr * _scale(group["adjust_lr_fn"], rows, size // rows)
            for i, X in zip(places, turned, strict=True):
                weights[i].add_(X.reshape(weights[i].shape), alpha=scale)  # (3)

    def _adamw(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        for w in weights:
            if "exp_avg" not in self.state[w]:
                self.state[w] = {"step": torch.zeros((), dtype=torch.float32),
                                 "exp_avg": torch.zeros_like(w.detach()), "exp_avg_sq": torch.zeros_like(w.detach())}
        states = [self.state[w] for w in weights]
        beta1, beta2 = group["betas"]
        adamw(weights, _gradients(group, weights), [s["exp_avg"] for s in states], [s["exp_avg_sq"] for s in states],
              [], [s["step"] for s in states], foreach=True, amsgrad=False, beta1=beta1, beta2=beta2, lr=group["lr"],
              weight_decay=group["weight_decay"], eps=group["adamw_eps"], maximize=False)


_SMALL = 48 * 48
"""entries up to which many matrices at once are faster than one after the other on a CPU"""


def _short_is_faster(device: torch.device, side: int) -> bool:
    """Whether products of bfloat16 are faster than those of float32; measured on a CPU with avx512_bf16: from 160."""
    if device.type == "cpu":
        return side >= 160 and getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
    return device.type == "cuda"


def _gradients(group: dict[str, Any], weights: list[Tensor]) -> list[Tensor]:
    grads = [cast(Tensor, w.grad).detach() for w in weights]
    return list(_torch._foreach_neg(grads)) if group["maximize"] else grads


def _schulz(group: dict[str, Any]) -> tuple[Coefficients, int, float]:
    return group["ns_coefficients"], group["ns_steps"], group["eps"]


def _scale(kind: str | None, rows: int, columns: int) -> float:
    """s of (3)"""
    return 0.2 * max(rows, columns) ** 0.5 if kind == "match_rms_adamw" else max(1.0, rows / columns) ** 0.5


def _matrix(rows: int, columns: int, name: str = "matrix") -> Tensor:
    return torch.randn(rows, columns, generator=generator(0, name), dtype=torch.float64)


def _step(G: Tensor, coefficients: Coefficients = QUINTIC, steps: int = 5) -> Tensor:
    """X of (3) for the gradient G: what the optimiser subtracts from a weight at rate 1."""
    optimiser = Muon([torch.zeros_like(G).requires_grad_()], lr=1.0, weight_decay=0.0, ns_coefficients=coefficients,
                     ns_steps=steps, adjust_lr_fn="original")
    return -walk(optimiser, lambda w: G, 1)[1] / _scale(None, *G.shape)


def five_steps_lift_every_singular_value() -> Check:
    """Of 100,000 singular values from 0.0016 to 1, none is further than 1e-9 outside of 0.6818 to 1.2024 afterwards.

    Source: equation (2): local minimum and maximum of the quintic, at x^2 = (-3b +- sqrt(9b^2 - 20ac)) / 10c
    """
    low, high = _extremes()
    found = schulz(torch.linspace(0.0016, 1, 100_000, dtype=torch.float64)[:, None, None])
    return at_most(float(torch.maximum(low - found, found - high).max()), 1e-9)


def they_wander_in_an_interval_for_ever() -> Check:
    """After 60 steps the 100,000 lie between the local minimum m = 0.6818 and f(m) = 1.1344, to 1e-9, not at 1.

    Source: equation (2): f maps [m, f(m)] onto itself
    """
    low, _ = _extremes()
    high = float(schulz(torch.tensor([[low]], dtype=torch.float64), steps=1))
    found = schulz(torch.linspace(0.0016, 1, 100_000, dtype=torch.float64)[:, None, None], steps=60)
    return at_most(float(torch.maximum(low - found, found - high).max()), 1e-9)


def no_singular_value_comes_to_rest() -> Check:
    """The standard deviation of those 100,000 values after 60 steps is still 0.15, within 0.05.

    Source: equation (2): the slope at the fixed point 0.868 is -1.58, steeper than 1
    """
    return about(float(schulz(torch.linspace(0.0016, 1, 100_000, dtype=torch.float64)[:, None, None], steps=60).std()),
                 0.15, 0.05)


def _extremes() -> tuple[float, float]:
    a, b, c = QUINTIC
    root = (9 * b * b - 20 * a * c) ** 0.5
    places = [((-3 * b + sign * root) / (10 * c)) ** 0.5 for sign in (1, -1)]
    low, high = (a * x + b * x**3 + c * x**5 for x in places)
    return low, high


def the_cubic_ends_at_the_orthogonal_factor() -> Check:
    """With a, b, c = 1.5, -0.5, 0 and 60 steps the step of a 20 x 30 gradient is U V^T, to 1e-12.

    Source: Bernstein and Newhouse 2024; the singular value decomposition of torch.linalg
    """
    G = _matrix(20, 30)
    U, _, V = torch.linalg.svd(G, full_matrices=False)
    return at_most(float((_step(G, CUBIC, 60) - U @ V).abs().max()), 1e-12)


def nothing_descends_faster_in_the_spectral_norm() -> Check:
    """That step D has <G, D> equal to the nuclear norm of G, to 1e-12 of it: the largest of all with |D|_2 = 1.

    Source: equation (4), duality of the spectral and the nuclear norm
    """
    G = _matrix(20, 30)
    return about(float((G * _step(G, CUBIC, 60)).sum() / torch.linalg.matrix_norm(G, "nuc")), 1.0, 1e-12)


def a_thousand_other_directions_descend_less() -> Check:
    """Of 1000 random D with |D|_2 = 1 the best has at most half of that inner product.

    Source: equation (4)
    """
    G = _matrix(20, 30)
    D = torch.randn(1000, 20, 30, generator=generator(0, "directions"), dtype=torch.float64)
    D /= torch.linalg.matrix_norm(D, 2)[:, None, None]
    return at_most(float((D * G).sum((1, 2)).max() / torch.linalg.matrix_norm(G, "nuc")), 0.5)


def the_scale_of_the_gradient_says_nothing() -> Check:
    """A loss multiplied by 2^40 gives the same 50 steps bit for bit: the difference is 0.

    Source: equation (1), division by the norm
    """
    target = _matrix(6, 9, "target")
    paths = [walk(Muon([_matrix(6, 9).requires_grad_()], lr=0.01), lambda w, c=c: c * (w - target), 50)
             for c in (1.0, 2.0**40)]
    return exactly(float((paths[0] - paths[1]).abs().max()), 0.0)


def an_orthogonal_gradient_keeps_its_direction() -> Check:
    """The step of an orthogonal 16 x 16 gradient Q is Q times one number, f applied five times to 1/4; to 1e-13.

    Source: equations (1) and (2): all singular values of Q / |Q|_F are 1 / sqrt(16)
    """
    Q = torch.linalg.qr(_matrix(16, 16))[0]
    factor = float(schulz(torch.tensor([[0.25]], dtype=torch.float64)))
    return at_most(float((_step(Q) - factor * Q).abs().max()), 1e-13)


CARD = Card(
    name="Muon",
    name_ja="Muon",
    paper="Jordan et al. 2024, Muon, kellerjordan.github.io/posts/muon; Bernstein and Newhouse 2024, arXiv:2409.20325",
    equations=(
        r"b = \mu b + (1-\mu)\,G,\quad X = (1-\mu)\,G + \mu b,\quad X = X/\|X\|_F",
        r"X = aX + b\,(XX^T)X + c\,(XX^T)^2X",
        r"W = (1-\eta\lambda)\,W - \eta\,s\,X,\quad s = 0.2\sqrt{\max(m, n)}",
        r"\min_{\|D\|_2 \leq 1} \langle G, D\rangle = -\|G\|_*,\quad D = -UV^T",
    ),
    summary="Makes every step of a weight matrix nearly orthogonal, by five matrix products; AdamW does the others.",
    summary_ja="行列の重みの更新を、行列の積を五回重ねてほぼ直交行列にする。それ以外の重みは AdamW が受けもつ。",
    topics=(),
    facts=(five_steps_lift_every_singular_value, they_wander_in_an_interval_for_ever, no_singular_value_comes_to_rest,
           the_cubic_ends_at_the_orthogonal_factor, nothing_descends_faster_in_the_spectral_norm,
           a_thousand_other_directions_descend_less, the_scale_of_the_gradient_says_nothing,
           an_orthogonal_gradient_keeps_its_direction),
    notes=("That the singular values end between 0.68 and 1.13 is true after many steps; after five one that has just "
           "arrived can be 1.20, and one that began below 0.0015 is still under way.",
           "By dimensions alone an embedding and the last layer are matrices: give them to AdamW with use_muon=False.",
           "The default s differs from torch's, so that one rate, tuned for AdamW, serves both halves."),
    notes_ja=("特異値が 0.68 から 1.13 に収まるのは何度も反復した後の話。五回では、着いたばかりの値は 1.20 にもなり、"
              "0.0015 より小さかった値はまだ途中にある。",
              "次元だけで見ると埋め込みと最終層も行列になる。use_muon=False として AdamW に任せる。",
              "s の既定値は torch と異なる。AdamW 向けに調整した一つの学習率を両方に使うためである。"),
)
