r"""One-hot vectors: a class as a vector of zeros with a single one.

    e(k)_j = 1 if j = k else 0,   j = 0 ... K - 1             (1)
    argmax_j e(k)_j = k,   sum_j e(k)_j = 1                   (2)

The vectors of different classes are all equally far apart (the square root of 2): nothing says that class 3 is nearer
to 4 than to 9, which the bare numbers would say. The surprise is the price: a text of 10^6 words over 10^5 of them
would be 10^11 numbers, all but 10^6 of them zero. `Embedding` therefore takes the numbers of the words.

Bridle 1990 (1-of-K targets for probabilities).
"""

import numpy as np

from shinso.autodiff.byhand._shapes import within
from shinso.core.card import Card, Check, about, exactly
from shinso.core.errors import UserError


def one_hot(classes: np.ndarray, num_classes: int, dtype: type = np.float64) -> np.ndarray:
    """Integers (...) from 0 to num_classes - 1 -> (..., num_classes); others are refused."""
    within("one-hot", classes, num_classes)
    rows = np.zeros((*classes.shape, num_classes), dtype)
    np.put_along_axis(rows, classes[..., None], 1, -1)  # (1)
    return rows


def argmax_inverts_it() -> Check:
    """argmax gives all 1000 of 1000 random classes back, and every row sums to 1.

    Source: equation (2)
    """
    classes = np.random.default_rng(0).integers(0, 10, 1000)
    rows = one_hot(classes, 10)
    return exactly(float((rows.argmax(1) == classes).sum()) * bool((rows.sum(1) == 1).all()), 1000)


def all_are_equally_far_apart() -> Check:
    """The 45 distances between ten classes are all the square root of 2 to 1e-15.

    Source: ||e(i) - e(j)||^2 = 1 + 1
    """
    rows = one_hot(np.arange(10), 10)
    distances = [float(np.linalg.norm(rows[i] - rows[j])) for i in range(10) for j in range(i)]
    return about(max(distances, key=lambda d: abs(d - 2**0.5)) if len(distances) == 45 else 0, 2**0.5, 1e-15)


def a_class_out_of_range_is_refused() -> Check:
    """-1 and 10 among ten classes are refused, 2 of 2; indexing the identity matrix would take -1 for class 9.

    Source: NumPy counts negative indices from the end
    """
    refused = 0
    for bad in (-1, 10):
        try:
            one_hot(np.array([bad]), 10)
        except UserError:
            refused += 1
    return exactly(refused * (np.eye(10)[-1].argmax() == 9), 2)


CARD = Card(
    name="One-hot vector",
    name_ja="One-hot ベクトル (1-of-K 表現)",
    paper=("Bridle 1990, Training stochastic model recognition algorithms as networks can lead to maximum mutual "
           "information"),
    equations=(
        r"e(k)_j = [j = k],\quad j = 0, \ldots, K-1",
        r"\mathrm{argmax}_j\, e(k)_j = k,\quad \sum_j e(k)_j = 1",
    ),
    summary="A class as a vector of zeros with a single one, all classes equally far apart.",
    summary_ja="クラスを、一つだけ 1 で残りが 0 のベクトルで表す。どのクラスどうしも等距離になる。",
    topics=("nn.one-hot",),
    facts=(argmax_inverts_it, all_are_equally_far_apart, a_class_out_of_range_is_refused),
    notes=('The third document spells it "one-hot dector"; the vector is meant.',),
    notes_ja=("第三の資料には「one-hot dector」とあるが、vector の誤記である。",),
)
