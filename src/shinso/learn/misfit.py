"""Where a state_dict does not fit a network: every name in it, in a sentence that can be read.

Names of which a whole layer is meant are written as the layer, and those that differ in numbers alone as one:
`layer{1-4}.0.conv1.*`.
"""

import difflib
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from torch import Tensor

MOST = 16
"""groups of names in a sentence"""


def misfit(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str:
    """What is missing, what is too much and what has another shape, or "" when `theirs` fits the network `ours`."""
    missing = [name for name in ours if name not in theirs]
    extra = [name for name in theirs if name not in ours]
    wrong = [name for name in ours if name in theirs and ours[name].shape != theirs[name].shape]
    said = []
    if missing:
        listed = grouped(missing, ours)
        words = [label + _closest(names[0], ours, theirs, extra) for label, names in listed.items()]
        said.append(f"{_names(len(missing))} missing in it: {_cut(words)}")
    if extra:
        said.append(f"{_names(len(extra))} not known here: {_cut(list(grouped(extra, theirs)))}")
    if wrong:
        layers = [name for name in ours if ours[name].dim()]  # counters have one shape in every network
        words = [f"{label}: {_size(theirs[names[0]])}, not {_size(ours[names[0]])}"
                 for label, names in grouped(wrong, layers).items()]
        said.append(f"{_names(len(wrong))} of another shape, the first of each: {_cut(words)}")
    return "; ".join(said)


def grouped(names: Collection[str], known: Iterable[str]) -> dict[str, list[str]]:
    """`names` under labels as few as possible: layers of which all `known` names are meant, numbers in braces."""
    meant, spared = set(names), {prefix for name in known if name not in set(names) for prefix in _prefixes(name)}
    layers: dict[str, list[str]] = {}
    for name in names:
        whole = next((prefix for prefix in _prefixes(name) if prefix not in spared), None)
        layers.setdefault(name if whole is None else f"{whole}.*", []).append(name)
    layers = {members[0] if len(members) == 1 else label: members for label, members in layers.items()}
    alike: dict[str, list[str]] = {}
    for label in layers:
        alike.setdefault(re.sub(r"\d+", "#", label), []).append(label)
    merged: dict[str, list[str]] = {}
    for labels in alike.values():
        for part in _products(labels):
            merged[_braced(part)] = [name for label in part for name in layers[label]]
    assert meant == {name for members in merged.values() for name in members}  # noqa: S101 - nothing is left unsaid
    return merged


def _prefixes(name: str) -> list[str]:
    """From the outermost module to the innermost."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _numbers(label: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", label))


def _products(labels: list[str], place: int = 0) -> Iterator[list[str]]:
    """Parts of the labels whose numbers are all combinations of those that occur at each place."""
    there = {_numbers(label) for label in labels}
    if there == set(itertools.product(*map(set, zip(*there, strict=True)))):
        yield labels
        return
    for number in sorted({numbers[place] for numbers in there}):
        yield from _products([label for label in labels if _numbers(label)[place] == number], place + 1)


def _braced(labels: Collection[str]) -> str:
    columns = [sorted(set(column)) for column in zip(*map(_numbers, labels), strict=True)]
    texts = iter([str(column[0]) if len(column) == 1 else "{" + _runs(column) + "}" for column in columns])
    return re.sub(r"\d+", lambda _: next(texts), next(iter(labels)))


def _runs(numbers: list[int]) -> str:
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ",".join(map(str, numbers))


def _closest(name: str, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], extra: list[str]) -> str:
    """The extra name that could be meant: the most similar of the same shape, or one that is nearly the same."""
    same = [other for other in extra if theirs[other].shape == ours[name].shape]
    found = difflib.get_close_matches(name, same, 1, 0.4) or difflib.get_close_matches(name, extra, 1, 0.8)
    return f" (there: {found[0]}?)" if found else ""


def _names(count: int) -> str:
    return f"{count} name is" if count == 1 else f"{count} names are"


def _cut(words: list[str]) -> str:
    more = f" and {len(words) - MOST} groups more" if len(words) > MOST else ""
    return ", ".join(words[:MOST]) + more


def _size(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "a number"
