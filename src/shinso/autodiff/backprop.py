r"""Back-propagation written out: three layers, every derivative as a sum over paths, and then the same sum cheaply.

    u_l = W_l h_{l-1},  h_l = h(u_l),  h_0 = x,  y = h_3,  e = t - y,  E = 1/2 sum_k e_k^2                (1)

A weight moves E along every path from it to the error. For one weight of each layer, with j and k running over the
units behind it,

    dE/dw3_11 = -e_1 h'(u3_1) h2_1                                                                       (2)
    dE/dw2_11 = sum_k -e_k h'(u3_k) w3_k1 h'(u2_1) h1_1                                                  (3)
    dE/dw1_11 = sum_k sum_j -e_k h'(u3_k) w3_kj h'(u2_j) w2_j1 h'(u1_1) x_1                              (4)

The surprise is that the paths need not be walked one by one: what all paths behind a unit have in common is one
number, its delta,

    d_3 = -e h'(u_3),   d_l = h'(u_l) W_{l+1}^T d_{l+1},   dE/dW_l = d_l h_{l-1}^T                       (5)

and descent goes against the gradient, W <- W - alpha dE/dW  (6). The same in general: for f = f3 o f2 o f1

    df/dx = J3(f2(f1(x))) J2(f1(x)) J1(x)                                                                (7)

in this order and at these points. One layer f = h(Wx), u = Wx has

    df_i/dW_kj = [i = k] h'(u_i) x_j,   df_i/dx_j = h'(u_i) W_ij                                         (8)

and the second is a matrix: the index i stays. Rumelhart, Hinton, Williams 1986; Linnainmaa 1970; Amari 1967.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shinso.autodiff.numerical import central_difference
from shinso.core.card import Card, Check, about, at_least, at_most, exactly

Array = NDArray[Any]


def sigmoid(u: Array) -> Array:
    """h of (1); complex numbers pass, for the complex step."""
    return 1 / (1 + np.exp(-u))


def sigmoid_slope(u: Array) -> Array:
    """h'."""
    return sigmoid(u) * (1 - sigmoid(u))


@dataclass(frozen=True)
class ThreeLayers:
    """The net of (1): three weight matrices, no biases, the sigmoid after each."""

    W1: Array
    W2: Array
    W3: Array

    @property
    def weights(self) -> tuple[Array, Array, Array]:
        return self.W1, self.W2, self.W3

    def units(self, x: Array) -> tuple[list[Array], list[Array]]:
        """u_1, u_2, u_3 and h_0, h_1, h_2, h_3 of (1) for one example x."""
        u, h = [], [x]
        for W in self.weights:
            u.append(W @ h[-1])
            h.append(sigmoid(u[-1]))
        return u, h

    def error(self, x: Array, t: Array) -> Any:
        """E of (1)."""
        e = t - self.units(x)[1][-1]
        return 0.5 * np.sum(e * e)

    def gradients(self, x: Array, t: Array) -> list[Array]:
        """dE/dW_1, dE/dW_2, dE/dW_3 by the deltas of (5)."""
        u, h = self.units(x)
        delta = -(t - h[3]) * sigmoid_slope(u[2])
        found = [np.outer(delta, h[2])]
        for layer in (1, 0):
            delta = sigmoid_slope(u[layer]) * (self.weights[layer + 1].T @ delta)
            found.insert(0, np.outer(delta, h[layer]))
        return found

    def gradients_by_paths(self, x: Array, t: Array) -> list[Array]:
        """The same by (2), (3), (4): one sum over all paths for each weight, nothing shared."""
        u, h = self.units(x)
        slopes, back = [sigmoid_slope(each) for each in u], -(t - h[3])
        third = np.array([[back[k] * slopes[2][k] * h[2][j] for j in _of(h[2])] for k in _of(back)])
        second = np.array([[sum(back[k] * slopes[2][k] * self.W3[k, j] for k in _of(back)) * slopes[1][j] * h[1][i]
                            for i in _of(h[1])] for j in _of(h[2])])  # fmt: skip
        first = np.array([[sum(back[k] * slopes[2][k] * self.W3[k, j] * slopes[1][j] * self.W2[j, i]
                               for k in _of(back) for j in _of(h[2])) * slopes[0][i] * x[p]
                           for p in _of(x)] for i in _of(h[1])])  # fmt: skip
        return [first, second, third]

    def moved(self, gradients: Sequence[Array], alpha: float) -> "ThreeLayers":
        """After one update by (6)."""
        return ThreeLayers(*(W - alpha * g for W, g in zip(self.weights, gradients, strict=True)))


def layer_jacobians(W: Array, x: Array, slope: Callable[[Array], Array] = sigmoid_slope) -> tuple[Array, Array]:
    """(8) for f = h(Wx): df_i/dW_kj of shape (i, k, j) and df_i/dx_j of shape (i, j)."""
    s = slope(W @ x)
    return np.einsum("i,ik,j->ikj", s, np.eye(len(s)), x), s[:, None] * W


def composition_jacobian(layers: Sequence[Array], x: Array) -> tuple[Array, list[Array]]:
    """(7) for layers f_l(x) = h(W_l x): the Jacobian of the whole, and those of the layers, the first layer first."""
    whole, factors = np.eye(len(x)), []
    for W in layers:
        factors.append(layer_jacobians(W, x)[1])
        whole, x = factors[-1] @ whole, sigmoid(W @ x)
    return whole, factors


def _of(values: Array) -> range:
    return range(len(values))


def _net(seed: int = 0, widths: tuple[int, ...] = (4, 5, 3, 2)) -> tuple[ThreeLayers, Array, Array]:
    """A random net of these widths, an input and a teacher."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0, 1, (n, m)) for m, n in pairwise(widths)]
    return ThreeLayers(*weights), rng.normal(0, 1, widths[0]), rng.uniform(0.2, 0.8, widths[-1])


def every_weight_agrees_with_central_differences() -> Check:
    """Every weight's derivative by (2), (3), (4) equals central differences to 1e-8.

    Source: a 4-5-3-2 net with random weights
    """
    net, x, t = _net()
    worst = 0.0
    for name, found in zip(("W1", "W2", "W3"), net.gradients_by_paths(x, t), strict=True):
        measured = central_difference(lambda W, name=name: replace(net, **{name: W}).error(x, t), getattr(net, name))
        worst = max(worst, float(np.abs(found - measured).max()))
    return at_most(worst, 1e-8)


def deltas_are_the_sums_over_paths() -> Check:
    """The deltas of (5) give the sums over paths (2), (3), (4), to 1e-15.

    Source: the distributive law
    """
    net, x, t = _net()
    pairs = zip(net.gradients(x, t), net.gradients_by_paths(x, t), strict=True)
    return at_most(max(float(np.abs(a - b).max()) for a, b in pairs), 1e-15)


def _error_after(steps: int, sign: float, factor: float) -> float:
    """E after some steps W + sign alpha factor dE/dW over E before; (6) is sign -1, factor 1."""
    net, x, t = _net()
    before = net.error(x, t)
    for _ in range(steps):
        net = net.moved(net.gradients(x, t), -sign * factor * 0.5)
    return float(net.error(x, t) / before)


def descent_goes_against_the_gradient() -> Check:
    """50 steps of (6) with alpha = 0.5 leave less than a tenth of the error.

    Source: equation (6)
    """
    return at_most(_error_after(50, -1.0, 1.0), 0.1)


def slip_a_the_plus_sign_climbs() -> Check:
    """With the slides' "+ alpha" and the right gradient 50 steps make the error at least three times as large.

    Source: slip (a) of the slides
    """
    return at_least(_error_after(50, 1.0, 1.0), 3.0)


def slip_b_the_wrong_weight_gets_the_sign_wrong() -> Check:
    """Differentiating by w11 of layer 2 for that of layer 1, as the slides do, gets the sign wrong in half of the nets.

    Source: slip (b) of the slides, over 400 random nets
    """
    wrong = 0
    for seed in range(400):
        net, x, t = _net(seed)
        first, second, _ = net.gradients(x, t)
        wrong += bool(first[0, 0] * second[0, 0] < 0)
    return about(wrong / 400, 0.5, 0.1)


def slip_c_is_minus_one_half_of_the_derivative() -> Check:
    """The slides' e dy/dw for d(e^2)/dw is -1/2 of what is measured, which is -2 e dy/dw.

    Source: slip (c) of the slides, with e = teacher - y and one output
    """
    net, x, t = _net(widths=(4, 5, 3, 1))
    u, h = net.units(x)
    slides = (t - h[3]) * sigmoid_slope(u[2]) * h[2]  # e dy/dw for the weights of layer 3
    measured = central_difference(lambda W: 2 * replace(net, W3=W).error(x, t), net.W3)[0]
    return about(float(np.dot(slides, measured) / np.dot(measured, measured)), -0.5, 1e-8)


def slips_a_and_c_together_descend() -> Check:
    """Slips (a) and (c) cancel: "+ alpha" times -1/2 of the derivative of e^2 leaves less than a tenth of the error.

    Source: d(e^2)/dw = 2 dE/dw, so the two together are exactly (6)
    """
    return at_most(_error_after(50, 1.0, -0.5 * 2), 0.1)


def slip_c_alone_climbs() -> Check:
    """Slip (c) with the right sign of the update makes the error at least three times as large in 50 steps.

    Source: copying only one of two slips that cancel
    """
    return at_least(_error_after(50, -1.0, -0.5 * 2), 3.0)


def slip_d_a_sum_in_place_of_a_product() -> Check:
    """A plus between dy/du and du/dw, as on slide 4/4, is off by over 4 times the derivative in 400 of 400 nets.

    Source: slip (d) of the slides; (s + h) / (s h) - 1 = 1/h + 1/s - 1 with s = h'(u) <= 1/4 and h < 1
    """
    off = []
    for seed in range(400):
        net, x, _ = _net(seed)
        u, h = net.units(x)
        product, total = sigmoid_slope(u[2])[0] * h[2][0], sigmoid_slope(u[2])[0] + h[2][0]
        off.append(abs(total - product) / product)
    return exactly(sum(each > 4 for each in off), 400)


def the_jacobian_is_the_product() -> Check:
    """For three layers of widths 5, 4, 3, 2 the product (7) equals the whole Jacobian by the complex step, to 1e-12.

    Source: equation (7)
    """
    layers, x = _layers((5, 4, 3, 2))
    product, _ = composition_jacobian(layers, x)

    def whole(x: Array) -> Array:
        for W in layers:
            x = sigmoid(W @ x)
        return x

    measured = np.stack([np.imag(whole(x + 1e-30j * unit)) / 1e-30 for unit in np.eye(5)], axis=1)
    return at_most(float(np.abs(product - measured).max()), 1e-12)


def only_one_order_fits() -> Check:
    """Of the six orders of the three Jacobians exactly one can be multiplied when all widths differ.

    Source: shapes (2, 3), (3, 4), (4, 5)
    """
    layers, x = _layers((5, 4, 3, 2))
    _, factors = composition_jacobian(layers, x)
    return exactly(sum(all(a.shape[1] == b.shape[0] for a, b in pairwise(order))
                       for order in permutations(factors)), 1)  # fmt: skip


def equal_widths_hide_the_wrong_order() -> Check:
    """With all widths 4 the wrong order J1 J2 J3 multiplies without complaint and is wrong by more than a tenth.

    Source: relative to the right product; matrices do not commute
    """
    layers, x = _layers((4, 4, 4, 4))
    product, (one, two, three) = composition_jacobian(layers, x)
    return at_least(float(np.linalg.norm(one @ two @ three - product) / np.linalg.norm(product)), 0.1)


def the_documents_points_give_another_derivative() -> Check:
    """df3/dW3 taken at f2(f3(x)), as the document writes, is off by more than a hundredth of the one at f2(f1(x)).

    Source: the document beside (7); all widths 4, for with others f3(x) does not exist
    """
    (W1, W2, W3), x = _layers((4, 4, 4, 4))
    right, _ = layer_jacobians(W3, sigmoid(W2 @ sigmoid(W1 @ x)))
    document, _ = layer_jacobians(W3, sigmoid(W2 @ sigmoid(W3 @ x)))
    return at_least(float(np.linalg.norm(document - right) / np.linalg.norm(right)), 0.01)


def both_layer_jacobians_keep_their_index() -> Check:
    """Both derivatives of (8) equal the complex step entry by entry, by weight and by input, to 1e-14.

    Source: equation (8)
    """
    (W,), x = _layers((4, 3))
    by_weight, by_input = layer_jacobians(W, x)
    h, worst = 1e-30, 0.0
    for k, j in np.ndindex(W.shape):
        moved = W.astype(complex)
        moved[k, j] += 1j * h
        worst = max(worst, float(np.abs(np.imag(sigmoid(moved @ x)) / h - by_weight[:, k, j]).max()))
    for j in range(4):
        turned = sigmoid(W @ (x + 1j * h * np.eye(4)[j]))
        worst = max(worst, float(np.abs(np.imag(turned) / h - by_input[:, j]).max()))
    return at_most(worst, 1e-14)


def the_documents_sum_is_the_gradient_of_the_sum() -> Check:
    """Summed over i as in the document, df/dx_j has 4 numbers in place of 12: the gradient of the sum of the outputs.

    Source: the document's second formula beside (8); entries lost by the sum
    """
    (W,), x = _layers((4, 3))
    document = W.T @ sigmoid_slope(W @ x)
    gradient = central_difference(lambda x: np.sum(sigmoid(W @ x)), x)
    same = float(np.abs(document - gradient).max()) < 1e-8
    return exactly(layer_jacobians(W, x)[1].size - document.size if same else -1, 8)


def _layers(widths: tuple[int, ...]) -> tuple[list[Array], Array]:
    rng = np.random.default_rng(1)
    return [rng.normal(0, 1, (n, m)) for m, n in pairwise(widths)], rng.normal(0, 1, widths[0])


CARD = Card(
    name="Back-propagation",
    name_ja="誤差逆伝播法",
    paper="Rumelhart, Hinton, Williams 1986, Nature 323; Linnainmaa 1970; Amari 1967",
    equations=(
        r"u_l = W_l h_{l-1},\quad h_l = h(u_l),\quad e = t - h_3,\quad E = \tfrac12 \sum_k e_k^2",
        r"\frac{\partial E}{\partial w^3_{11}} = -e_1 h'(u^3_1) h^2_1",
        r"\frac{\partial E}{\partial w^2_{11}} = \sum_k -e_k h'(u^3_k) w^3_{k1} h'(u^2_1) h^1_1",
        r"\frac{\partial E}{\partial w^1_{11}} = \sum_k \sum_j -e_k h'(u^3_k) w^3_{kj} h'(u^2_j)"
        r" w^2_{j1} h'(u^1_1) x_1",
        r"\delta_3 = -e\, h'(u_3),\quad \delta_l = h'(u_l) W_{l+1}^T \delta_{l+1},"
        r"\quad \partial E/\partial W_l = \delta_l h_{l-1}^T",
        r"W \leftarrow W - \alpha\, \partial E/\partial W",
        r"\frac{\partial f}{\partial x} = J_3(f_2(f_1(x)))\, J_2(f_1(x))\, J_1(x)",
        r"\frac{\partial f_i}{\partial W_{kj}} = \delta_{ik} h'(u_i) x_j,"
        r"\quad \frac{\partial f_i}{\partial x_j} = h'(u_i) W_{ij}",
    ),
    summary="Each weight's share of the error, summed over all paths behind it and shared from layer to layer.",
    summary_ja="各重みが誤差に及ぼす影響を、その先のすべての経路の和として求め、層から層へ使い回す。",
    topics=("autodiff.backprop", "autodiff.chain-rule", "autodiff.layer-jacobians"),
    facts=(
        every_weight_agrees_with_central_differences,
        deltas_are_the_sums_over_paths,
        descent_goes_against_the_gradient,
        slip_a_the_plus_sign_climbs,
        slip_b_the_wrong_weight_gets_the_sign_wrong,
        slip_c_is_minus_one_half_of_the_derivative,
        slips_a_and_c_together_descend,
        slip_c_alone_climbs,
        slip_d_a_sum_in_place_of_a_product,
        the_jacobian_is_the_product,
        only_one_order_fits,
        equal_widths_hide_the_wrong_order,
        the_documents_points_give_another_derivative,
        both_layer_jacobians_keep_their_index,
        the_documents_sum_is_the_gradient_of_the_sum,
    ),
    notes=(
        "(a) The slides update with + alpha; descent needs - alpha.",
        "(b) The slides' rule for w11 of layer 1 differentiates by w11 of layer 2.",
        "(c) The slides give d(e^2)/dw = e dy/dw; with e = teacher - y it is -2 e dy/dw. (a) and (c) cancel, so copying"
        " only one of them climbs.",
        "(d) Slide 4/4 prints a plus between the two factors where slide 3/4 prints a product, and drops a"
        " partial sign.",
        "The document takes df3/dW3 at (f2 o f3)(x) and df2/dW2 at f3(x); right are f2(f1(x)) and f1(x).",
        "The document's derivative of a layer by its input sums over the outputs i: that is the gradient of their sum,"
        " not the Jacobian.",
    ),
    notes_ja=(
        "(a) スライドの更新式は + alpha だが、降下には - alpha が必要である。",
        "(b) スライドでは、第1層の w11 の式が第2層の w11 で微分している。",
        "(c) スライドは d(e^2)/dw = e dy/dw とするが、e = 教師 - y なら -2 e dy/dw である。"
        "(a) と (c) は打ち消し合うので、一方だけを写すと誤差は増える。",
        "(d) スライド 4/4 では、3/4 で積である二つの因子の間が和になり、偏微分の記号も一つ抜けている。",
        "資料は df3/dW3 を (f2 o f3)(x) で、df2/dW2 を f3(x) で取る。正しくは f2(f1(x)) と f1(x) である。",
        "資料の、層の入力による微分は出力 i について和を取っている。これは出力の和の勾配で、ヤコビ行列ではない。",
    ),
)
