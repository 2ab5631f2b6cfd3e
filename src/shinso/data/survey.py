"""What a data set holds, as plain values: for people who check their data before they train on it."""

from typing import Any

from shinso.data.examples import Dataset, Examples, Split, open_data

FEW, SKEWED = 10, 10


def describe_data(spec: str) -> dict[str, Any]:
    """JSON values: name, form, shape, classes, mean and std, bytes in memory, counts by split and class, warnings."""
    data = open_data(spec)
    about = data.about
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    counts = {name: _counts(split, len(about.classes)) for name, split in splits.items()}
    return {
        "name": about.name,
        "form": about.form,
        "shape": list(about.shape),
        "mean": list(about.mean),
        "std": list(about.std),
        "bytes": sum(_bytes(split) for split in splits.values()),
        "resident": all(isinstance(split, Examples) for split in splits.values()),
        "examples": {name: len(split) for name, split in splits.items()},
        "classes": {title: {name: counts[name][i] for name in splits} for i, title in enumerate(about.classes)},
        "warnings": _warnings(data, counts["train"]),
    }


def _counts(split: Split, classes: int) -> list[int]:
    return split.targets.bincount(minlength=classes).tolist()


def _bytes(split: Split) -> int:
    return split.inputs.nbytes if isinstance(split, Examples) else 0


def _warnings(data: Dataset, counts: list[int]) -> list[str]:
    """Sentences about what may spoil training."""
    found = [f"the {name} part is empty" for name in ("train", "validation", "test") if not len(getattr(data, name))]
    few = [title for title, count in zip(data.about.classes, counts, strict=True) if count < FEW]
    if few and len(data.train):
        found.append(f"fewer than {FEW} training examples in {', '.join(few[:5])}{' ...' if len(few) > 5 else ''}")
    if min(counts) and max(counts) > SKEWED * min(counts):
        found.append(f"the largest class has {max(counts) / min(counts):.0f} times the examples of the smallest")
    if max(data.about.std) < 0.02:
        found.append("the inputs hardly differ from each other")
    return found
