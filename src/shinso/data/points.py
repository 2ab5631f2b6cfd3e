"""What the toy data sets share: drawing points, splitting them, and putting both features on one scale."""

from collections.abc import Callable

from torch import Generator, Tensor

from shinso.core.errors import UserError
from shinso.core.seed import generator
from shinso.data.examples import Dataset, Description, Examples
from shinso.data.splits import stratified

Draw = Callable[[int, Generator], tuple[Tensor, Tensor]]
"""(number of points, generator) -> points float32 (n, 2), classes int64 (n,)"""


def points(name: str, classes: tuple[str, ...], argument: str, draw: Draw) -> Dataset:
    """60 % for training, 20 % each for validation and testing, always the same; features of the training part have
    mean 0 and standard deviation 1."""
    n = _number(name, argument)
    inputs, targets = draw(n, generator(0, f"data/{name}"))
    parts = stratified(targets, (0.6, 0.2, 0.2), seed=0)
    seen = inputs[parts[0]]
    inputs = (inputs - seen.mean(0)) / seen.std(0, correction=0)
    train, validation, test = (Examples(inputs[part], targets[part]) for part in parts)
    about = Description(name=f"{name}:{n}" if argument else name, classes=classes, shape=(2,), mean=(0.0, 0.0),
                        std=(1.0, 1.0), form="points")
    return Dataset(about=about, train=train, validation=validation, test=test)


def _number(name: str, argument: str) -> int:
    if not argument:
        return 600
    if not (argument.isascii() and argument.isdigit() and 10 <= int(argument[:9]) <= 10_000_000):
        raise UserError(f"data '{name}:{argument}'", f"'{argument}' is no number of points", f"write {name}:600")
    return int(argument)
