"""W8: one step of every optimiser that torch has too, one thread, float32, with gradients that stay (no backward pass).

161 tensors of ResNet-50 (25.6 million entries), and 1,000 tensors of 64 entries. `flat` is ours after .flatten().
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from shinso.optim.adadelta import Adadelta
from shinso.optim.adagrad import Adagrad
from shinso.optim.adam import Adam
from shinso.optim.adamax import Adamax
from shinso.optim.adamw import AdamW
from shinso.optim.nadam import NAdam
from shinso.optim.rmsprop import RMSprop
from shinso.optim.rprop import Rprop
from shinso.optim.sgd import SGD

METHODS = [
    ("SGD", SGD, {}), ("SGD momentum", SGD, {"momentum": 0.9}),
    ("SGD nesterov", SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-4}),
    ("Adagrad", Adagrad, {}), ("Adadelta", Adadelta, {}), ("RMSprop", RMSprop, {}),
    ("RMSprop centred", RMSprop, {"centered": True, "momentum": 0.9}), ("Rprop", Rprop, {}), ("Adam", Adam, {}),
    ("Adam amsgrad", Adam, {"amsgrad": True}), ("AdamW", AdamW, {}), ("AdaMax", Adamax, {}), ("NAdam", NAdam, {}),
]  # fmt: skip
FORMS = {"for-loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def resnet50() -> list[tuple[int, ...]]:
    """161 shapes: a 7x7 stem, 3 + 4 + 6 + 3 bottlenecks, each with its normalisations, and the last layer."""
    shapes: list[tuple[int, ...]] = []

    def convolution(out: int, into: int, size: int) -> None:
        shapes.extend([(out, into, size, size), (out,), (out,)])

    convolution(64, 3, 7)
    into = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            convolution(width, into, 1)
            convolution(width, width, 3)
            convolution(4 * width, width, 1)
            if block == 0:
                convolution(4 * width, into, 1)
            into = 4 * width
    return [*shapes, (1000, 2048), (1000,)]


SETS = {"161 tensors of ResNet-50": resnet50(), "1,000 tensors of 64": [(64,)] * 1000}


def report(rounds: int, seconds: float) -> list[str]:
    torch.set_num_threads(1)
    assert len(resnet50()) == 161
    lines = []
    for title, shapes in SETS.items():
        lines += [f"{title}: milliseconds a step, and torch's best by ours, the median over rounds", "",
                  "| method | for-loop | foreach | fused | ours | flat | ratio | flat ratio |", "|---|" + "--:|" * 7]
        found = {name: raced(shapes, kind, options, rounds, seconds) for name, kind, options in METHODS}
        for name, times in found.items():
            cells = [f"{1e3 * statistics.median(times[form]):.2f}" if form in times else "-"
                     for form in (*FORMS, "ours", "flat")]
            lines.append(f"| {name} | {' | '.join(cells)} | {ratio(times, 'ours'):.2f} | {ratio(times, 'flat'):.2f} |")
        lines += ["", *gates(title, found), ""]
    return lines


def gates(title: str, found: dict[str, dict[str, list[float]]]) -> list[str]:
    """What is promised of the better of our two forms: never slower than torch's best, and 1.15 times in the mean."""
    each = {name: max(ratio(times, "ours"), ratio(times, "flat")) for name, times in found.items()}
    mean, slowest = statistics.geometric_mean(each.values()), min(each, key=each.__getitem__)
    lines = [f"- geometric mean {mean:.2f}, {'holds' if mean >= 1.15 else 'FAILS'} (>= 1.15)",
             f"- least {each[slowest]:.2f} ({slowest}), {'holds' if each[slowest] >= 1 else 'FAILS'} (>= 1.0)"]
    if "64" in title:
        slow = min(statistics.median(times["for-loop"]) / statistics.median(times["flat"]) for times in found.values())
        lines.append(f"- for-loop to flat at least {slow:.1f}, {'holds' if slow >= 3 else 'FAILS'} (>= 3)")
    return lines


def ratio(times: dict[str, list[float]], form: str) -> float:
    """Median over rounds of torch's best in that round by ours."""
    best = [min(row) for row in zip(*(times[name] for name in FORMS if name in times), strict=True)]
    return statistics.median(b / t for b, t in zip(best, times[form], strict=True))


def raced(shapes: list[tuple[int, ...]], kind: type, options: dict, rounds: int, seconds: float) -> dict:
    """Seconds a step of every form, one number for each round, the forms in turn within a round."""
    steps: dict[str, Callable[[], object]] = {}
    for form, choice in FORMS.items():
        try:
            steps[form] = prepared(shapes, lambda w, c=choice: kind.TWIN(w, **options, **c)).step
        except TypeError:  # no fused form
            continue
    steps["ours"] = prepared(shapes, lambda w: kind(w, **options)).step
    steps["flat"] = prepared(shapes, lambda w: kind(w, **options).flatten()).step
    times: dict[str, list[float]] = {form: [] for form in steps}
    for step in steps.values():
        step()
    for i in range(rounds):
        for form in list(steps)[i % len(steps) :] + list(steps)[: i % len(steps)]:
            times[form].append(pace(steps[form], seconds / 4))
    return times


def prepared(shapes: list[tuple[int, ...]], make: Callable[[list[nn.Parameter]], torch.optim.Optimizer]):
    draw = torch.Generator().manual_seed(0)
    weights = [nn.Parameter(torch.randn(shape, generator=draw)) for shape in shapes]
    for w in weights:
        w.grad = torch.randn(w.shape, generator=draw)
    optimiser = make(weights)
    for w in weights:  # flat gradients were copied
        assert w.grad is not None
    return optimiser


def pace(step: Callable[[], object], seconds: float) -> float:
    """Seconds a call, the least of three parts of the time."""
    step()
    least = float("inf")
    for _ in range(3):
        count, begin = 0, time.perf_counter()
        while count == 0 or time.perf_counter() - begin < seconds / 3:
            step()
            count += 1
        least = min(least, (time.perf_counter() - begin) / count)
    return least
