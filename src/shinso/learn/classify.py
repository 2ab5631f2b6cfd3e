"""Classification as a Task: cross entropy, accuracy, a confusion matrix, and answers for a user's own files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from shinso.core.errors import UserError
from shinso.data.batches import sweep
from shinso.data.examples import Dataset, Description, to_float
from shinso.learn import looking
from shinso.learn.mistaken import draw_confusion, draw_mistakes
from shinso.learn.supervised import Batch, Task
from shinso.metrics.confusion import confusion


def cross_entropy(model: nn.Module, batch: Batch, noise: Generator) -> dict[str, Tensor]:
    """Mean of -log softmax(model(x))_y over the batch."""
    inputs, targets = batch
    return {"loss": F.cross_entropy(model(inputs), targets)}


def hits(model: nn.Module, batch: Batch, noise: Generator) -> dict[str, Tensor]:
    """Cross entropy and 0/1 accuracy of each example."""
    inputs, targets = batch
    logits = model(inputs).float()
    loss = F.cross_entropy(logits, targets, reduction="none")
    return {"loss": loss, "accuracy": (logits.argmax(1) == targets).float()}


def predict(model: nn.Module, about: Description, files: Sequence[Path]) -> list[tuple[str, float]]:
    """The likeliest class of each image file and its probability."""
    return [ranking[0] for ranking in rank(model, about, files, 1)]


@torch.no_grad()
def rank(model: nn.Module, about: Description, files: Sequence[Path], count: int) -> list[list[tuple[str, float]]]:
    """The `count` likeliest classes of each image file with their probabilities, the likeliest first."""
    if about.form == "points":
        raise UserError(about.name, "a network trained on points reads no pictures", "train on images to predict files")
    from shinso.data.prepare import prepare

    model.eval()
    answers = []
    for file in files:
        inputs = to_float(prepare(file, about)[None].to(next(model.parameters()).device), about)
        shares, best = model(inputs).float().softmax(1)[0].topk(min(count, len(about.classes)))
        answers.append([(about.classes[i], share) for i, share in zip(best.tolist(), shares.tolist(), strict=True)])
    return answers


def pictures(model: nn.Module, data: Dataset) -> dict[str, np.ndarray]:
    """What the network confuses and, where it has maps, what is inside of it."""
    return {**confusions(model, data), **looking.inside(model, data)}


@torch.no_grad()
def confusions(model: nn.Module, data: Dataset) -> dict[str, np.ndarray]:
    """The confusion matrix of the test split and, for images, the mistakes with the most confidence in them."""
    if not len(data.test):
        return {}
    model.eval()
    device = next(model.parameters()).device
    logits = torch.cat([model(inputs).float().cpu() for inputs, _ in sweep(data.test, data.about, 500, str(device))])
    targets = data.test.targets.cpu()
    model.train()
    probability, predicted = logits.softmax(1).max(1)
    shown = {"confusion": draw_confusion(confusion(predicted, targets, len(data.about.classes)), data.about.classes)}
    wrong = (predicted != targets).nonzero().flatten()
    if len(data.about.shape) == 3 and len(wrong):
        worst = wrong[probability[wrong].argsort(descending=True)][:24]
        inputs = torch.stack([data.test[int(i)][0] for i in worst])
        answers = (targets[worst], predicted[worst])
        shown["mistakes"] = draw_mistakes(inputs, *([data.about.classes[i] for i in kind.tolist()] for kind in answers))
    return shown


CLASSIFY = Task(objective=cross_entropy, measure=hits, pictures=pictures, files=looking.files, predict=predict,
                rank=rank)
