r"""k-fold cross-validation: every example is held out once (Stone 1974, Geisser 1975).

    {0, ..., n-1} = F_1 + ... + F_k,   | |F_i| - |F_j| | <= 1                          (1)
    CV = 1/n sum_i sum_{j in F_i} loss(y_j, fit without F_i at x_j)                    (2)
    leave-one-out for least squares:  CV = 1/n sum_j (e_j / (1 - h_jj))^2,   H = X (X^T X)^{-1} X^T     (3)

The folds are scikit-learn's. Whatever is learned from the data belongs inside the fold, the preprocessing, too.
The surprise: for least squares (3) gives all n fits of leave-one-out from one fit, with its residuals e and leverages
h_jj.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.errors import UserError
from shinso.maths.inputs import count, numbers

Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(inputs to learn from, their targets, inputs to answer) -> answers"""


def folds(n: int, k: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(1): k pairs of index arrays (to learn from, held out), shuffled by `seed`; 2 <= k <= n."""
    from sklearn.model_selection import KFold

    if not 2 <= count("kfold", "k", k) <= count("kfold", "n", n):
        raise UserError("kfold", f"{n} examples have no {k} folds", f"give k from 2 to {n}")
    yield from KFold(k, shuffle=True, random_state=seed).split(np.arange(n))


def held_out(fit: Fit, x: ArrayLike, y: ArrayLike, k: int, seed: int) -> np.ndarray:
    """Answers (n,) of (2): each by the fit that has not seen its example."""
    x, y = _examples(x, y)
    answers = np.zeros_like(y)
    for learn, hold in folds(len(x), k, seed):
        answers[hold] = fit(x[learn], y[learn], x[hold])
    return answers


def least_squares(x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """A Fit: linear regression with an intercept."""
    weights = np.linalg.lstsq(_with_one(x), y, rcond=None)[0]
    return _with_one(asked) @ weights


def leave_one_out_errors(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """(3): y_j minus the answer of the fit without example j, from a single fit; inputs (n, d), targets (n,)."""
    x, y = _examples(x, y)
    Q, R = np.linalg.qr(_with_one(x))
    if Q.shape[0] <= Q.shape[1] or np.abs(np.diag(R)).min() < 1e-12 * np.abs(np.diag(R)).max():
        raise UserError("kfold", "the inputs are dependent or too few for a fit", "give more examples than columns")
    leverage = (Q**2).sum(1)
    if leverage.max() > 1 - 1e-12:
        raise UserError("kfold", f"without example {int(leverage.argmax())} there is no fit", "leave it in the data")
    return (y - Q @ (Q.T @ y)) / (1 - leverage)


def _examples(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = numbers("kfold", "x", x, 2), numbers("kfold", "y", y, 1)
    if len(a) != len(b):
        raise UserError("kfold", f"inputs {a.shape} and targets {b.shape} are no pairs", "give (n, d) and (n,)")
    return a, b


def _with_one(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.ones((len(x), 1))], 1)


def each_is_held_out_once() -> Check:
    """For n from 2 to 40 and every k each index is held out exactly once and never learned from then: the misses.

    Source: equation (1)
    """
    misses = 0
    for n in range(2, 41, 3):
        for k in range(2, n + 1):
            parts = list(folds(n, k, seed=0))
            misses += not np.array_equal(np.sort(np.concatenate([h for _, h in parts])), np.arange(n))
            misses += sum(len(np.intersect1d(learn, hold)) or len(learn) + len(hold) != n for learn, hold in parts)
    return exactly(misses, 0)


def sizes_differ_by_one_at_most() -> Check:
    """Fold sizes differ by at most 1, for n from 2 to 40 and every k.

    Source: equation (1)
    """
    sizes = [[len(hold) for _, hold in folds(n, k, 0)] for n in range(2, 41, 3) for k in range(2, n + 1)]
    return at_most(max(max(s) - min(s) for s in sizes), 1)


def the_seed_decides() -> Check:
    """The same seed gives the same 5 folds, another seed none of them: equal ones less shared ones.

    Source: the generator behind the shuffle
    """
    first, again, other = ([tuple(hold) for _, hold in folds(50, 5, seed)] for seed in (1, 1, 2))
    return exactly(sum(a == b for a, b in zip(first, again, strict=True)) - len(set(first) & set(other)), 5)


def leave_one_out_is_one_fit() -> Check:
    """With k = n the held-out errors of linear regression equal the residuals over 1 - h_jj, to 1e-10.

    Source: Allen 1974 (PRESS); equation (3), by the Sherman-Morrison formula
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 4))
    y = x @ rng.normal(size=4) + rng.normal(size=30)
    return at_most(float(np.abs(y - held_out(least_squares, x, y, 30, 0) - leave_one_out_errors(x, y)).max()), 1e-10)


def choosing_outside_the_fold_deceives() -> Check:
    """Pure noise: columns chosen on all the data seem to explain over a third more than those chosen in each fold.

    Source: Hastie, Tibshirani, Friedman 2009, section 7.10.2
    """
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(50, 400)), rng.normal(size=50)

    def chosen(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.abs((a - a.mean(0)).T @ (b - b.mean()) / a.std(0)).argsort()[-5:]

    def inside(a: np.ndarray, b: np.ndarray, asked: np.ndarray) -> np.ndarray:
        columns = chosen(a, b)
        return least_squares(a[:, columns], b, asked[:, columns])

    outside = held_out(least_squares, x[:, chosen(x, y)], y, 5, 0)
    honest = held_out(inside, x, y, 5, 0)
    excess = ((y - honest) ** 2).sum() - ((y - outside) ** 2).sum()
    return at_least(float(excess / ((y - y.mean()) ** 2).sum()), 1 / 3)


CARD = Card(
    name="k-fold cross-validation",
    name_ja="k-分割交差検証法",
    paper="Stone 1974, doi:10.1111/j.2517-6161.1974.tb00994.x; Geisser 1975; Allen 1974",
    equations=(r"\{1, \ldots, n\} = F_1 \cup \cdots \cup F_k,\quad \left| |F_i| - |F_j| \right| \leq 1",
               r"\mathrm{CV} = \frac{1}{n} \sum_i \sum_{j \in F_i} \ell(y_j, \hat f_{-F_i}(x_j))",
               r"\mathrm{CV} = \frac{1}{n} \sum_j \left(\frac{e_j}{1 - h_{jj}}\right)^2,\quad H = X (X^T X)^{-1} X^T"),
    summary="Every example is held out once; for least squares leaving one out costs a single fit.",
    summary_ja="どの例も一度ずつ取り置く検証法。最小二乗法の一個抜きは、一回の当てはめで済む。",
    topics=("metrics.kfold",),
    facts=(each_is_held_out_once, sizes_differ_by_one_at_most, the_seed_decides, leave_one_out_is_one_fit,
           choosing_outside_the_fold_deceives),
    notes=("Preprocessing and the choice of columns belong inside the fold; outside they have seen what is held out.",),
    notes_ja=("前処理や特徴の選択は分割の内側で行う。外側で行うと、取り置いた例を見てしまっている。",),
)
