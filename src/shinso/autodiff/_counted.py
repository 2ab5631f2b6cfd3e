"""Arrays that count the arithmetic done with them: operations, not seconds."""

from typing import Any, ClassVar

import numpy as np


class Counted(np.ndarray):
    """An ndarray; each result entry of an elementwise operation counts one, of a product of matrices two per factor."""

    work: ClassVar[int] = 0

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: tuple = (), axis: Any = 0,
                        keepdims: bool = False) -> Any:
        """Count, compute on the plain arrays, and give a result that counts on."""
        plain = [x.view(np.ndarray) if isinstance(x, Counted) else x for x in inputs]
        if method == "reduce":
            Counted.work += np.size(plain[0])
            return np.asarray(ufunc.reduce(plain[0], axis=axis, keepdims=keepdims)).view(Counted)
        result = np.asarray(ufunc(*plain))
        Counted.work += 2 * result.size * np.shape(plain[0])[-1] if ufunc is np.matmul else result.size
        if out:
            out[0].view(np.ndarray)[...] = result
            return out[0]
        return result.view(Counted)


def counted(array: np.ndarray) -> Counted:
    """The same values, counting."""
    return np.asarray(array).view(Counted)
