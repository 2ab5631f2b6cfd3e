"""What a data set holds and what may spoil training on it: for people who check their data first."""

from shinso.data.examples import Dataset

FEW, SKEWED = 10, 10


def class_counts(data: Dataset) -> dict[str, list[int]]:
    """Examples of each class, in the order of the classes, for train, validation and test."""
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    classes = len(data.about.classes)
    return {name: split.targets.bincount(minlength=classes).tolist() for name, split in splits.items()}


def concerns(data: Dataset) -> list[str]:
    """Sentences about empty parts, missing or rare classes, a skewed training part, and inputs that are all alike."""
    counts, classes = class_counts(data), data.about.classes
    found = [f"the {name} part is empty" for name, numbers in counts.items() if not sum(numbers)]
    found += [f"no example of '{title}' in {name}" for name, numbers in counts.items() if sum(numbers)
              for title, count in zip(classes, numbers, strict=True) if count == 0]
    train = counts["train"]
    few = [title for title, count in zip(classes, train, strict=True) if count < FEW]
    if few and sum(train):
        found.append(f"fewer than {FEW} training examples in {', '.join(few[:5])}{' ...' if len(few) > 5 else ''}")
    if min(train) and max(train) > SKEWED * min(train):
        found.append(f"the largest class has {max(train) / min(train):.0f} times the examples of the smallest")
    if max(data.about.std) < 0.02:
        found.append("the inputs hardly differ from each other")
    return found
