r"""All parameters of a network as one vector, and back.

    theta = (vec P_1, vec P_2, ..., vec P_K)                        (1)
    P_k = unvec(theta[o_k : o_k + |P_k|]),   o_k = |P_1| + ... + |P_{k-1}|      (2)

in the order in which the parameters are defined, each in the order of memory. What is linear in the parameters can be
done on the vector: workers that train apart send theirs, and the mean of the vectors is the network of the means. The
surprise is how little it takes: an optimiser needs no more than this to treat any network as one point in space.

Collobert, Kavukcuoglu, Farabet 2011 (Torch7's getParameters); torch.nn.utils.parameters_to_vector.
"""

from collections.abc import Mapping

import numpy as np

from shinso.autodiff.byhand._shapes import fits
from shinso.core.card import Card, Check, exactly


def to_vector(params: Mapping[str, np.ndarray]) -> np.ndarray:
    """(number of all entries,), a new array; empty for no parameters."""
    parts = [array.ravel() for array in params.values()]
    return np.concatenate(parts) if parts else np.empty(0)  # (1)


def from_vector(vector: np.ndarray, like: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """New arrays of the names and shapes of `like`; a vector of another length is refused."""
    fits("parameter vector", "the vector", vector.shape, (sum(array.size for array in like.values()),))
    found, start = {}, 0
    for name, array in like.items():
        found[name] = vector[start:start + array.size].reshape(array.shape).copy()  # (2)
        start += array.size
    return found


def write(vector: np.ndarray, params: Mapping[str, np.ndarray]) -> None:
    """Puts the vector into the parameters' own arrays, which every layer that has them sees."""
    for name, array in from_vector(vector, params).items():
        params[name][...] = array


def _network(seed: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed).normal
    return {"0.weight": draw(size=(3, 4)), "0.bias": draw(size=4), "2.weight": draw(size=(4, 2)),
            "scale": np.array(draw()), "none": np.empty((0, 3))}


def a_round_trip_changes_no_bit() -> Check:
    """All 25 numbers, with -0.0 and nan among them, come back bit for bit, whatever their arrays' shapes.

    Source: equations (1) and (2)
    """
    params = _network(0)
    params["0.bias"][:2] = -0.0, np.nan
    back = from_vector(to_vector(params), params)
    same = [name for name in params if params[name].tobytes() == back[name].tobytes()
            and params[name].shape == back[name].shape]
    return exactly(sum(back[name].size for name in same), 25)


def the_order_is_that_of_definition() -> Check:
    """The weight defined first fills entries 0 to 11, its bias 12 to 15: 16 of 16 at their places.

    Source: torch.nn.utils.parameters_to_vector
    """
    params = _network(1)
    vector = to_vector(params)
    right = (vector[:12].reshape(3, 4) == params["0.weight"]).sum() + (vector[12:16] == params["0.bias"]).sum()
    return exactly(float(right), 16)


def the_mean_of_vectors_is_the_network_of_means() -> Check:
    """Averaging 4 workers' vectors and writing the result back is averaging each of their parameters, exactly.

    Source: (1) is linear
    """
    workers = [_network(seed) for seed in range(4)]
    target = _network(9)
    write(np.mean([to_vector(w) for w in workers], 0), target)
    means = {name: np.mean([w[name] for w in workers], 0) for name in target}
    return exactly(max(float(np.abs(target[n] - means[n]).max(initial=0)) for n in target), 0)


CARD = Card(
    name="Parameters as one vector",
    name_ja="パラメータの一次元化 (parameters_to_vector)",
    paper="Collobert, Kavukcuoglu, Farabet 2011, Torch7: A Matlab-like environment for machine learning",
    equations=(
        r"\theta = (\mathrm{vec}\, P_1, \mathrm{vec}\, P_2, \ldots, \mathrm{vec}\, P_K)",
        r"P_k = \mathrm{unvec}(\theta_{o_k : o_k + |P_k|}),\quad o_k = \sum_{j<k} |P_j|",
    ),
    summary=("All parameters of a network as one vector in the order of their definition, and back without a "
             "changed bit."),
    summary_ja="ネットワークの全パラメータを定義順に一本のベクトルにし、一ビットも変えずに戻す。",
    topics=("nn.parameter-vector",),
    facts=(
        a_round_trip_changes_no_bit,
        the_order_is_that_of_definition,
        the_mean_of_vectors_is_the_network_of_means,
    ),
)
