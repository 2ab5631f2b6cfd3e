"""Dropout: masks from the program's own stream, and what an ensemble is worth."""

import torch
from oracles import records

from shinso.basics import dropout_ensemble as dropout
from shinso.core.record import plain
from shinso.core.seed import generator


def test_masks_keep_the_mean_and_evaluation_has_none():
    torch.manual_seed(0)
    net = dropout.Thinned((6, 50, 3), 0.4).double()
    x = torch.randn(1, 6, dtype=torch.float64)
    many = net.thinned(x.expand(20_000, 6), generator(0, "masks")).detach()
    error = 4 * many.std(0) / len(many) ** 0.5
    assert ((many.mean(0) - net(x)[0].detach()).abs() <= error).all(), "the last layer is linear in the masks"
    assert torch.equal(net(x), net(x))


def test_p_of_zero_is_the_plain_network():
    torch.manual_seed(0)
    net = dropout.Thinned((6, 20, 20, 3), 0.0)
    x = torch.randn(5, 6)
    assert torch.equal(net.thinned(x, generator(0, "masks")), net(x))


def test_few_examples_are_shared_out_over_the_classes():
    program = dropout.build(dropout.Setup(examples=100))
    assert len(program.data.train) == 100
    assert program.data.train.targets.bincount(minlength=10).sub(10).abs().max() <= 1
    assert len(dropout.build(dropout.Setup(examples=10**6)).data.train) == 1258


def test_the_training_loss_pays_and_unseen_digits_gain():
    found = []
    for p in (0.0, 0.5):
        program = dropout.build(dropout.Setup(p=p))
        rows = records(program)
        found.append((sum(row["loss"] for row in rows[-60:]) / 60, plain(program.evaluate("test"))["loss"]))
    (seen_without, unseen_without), (seen, unseen) = found
    assert seen > 3 * seen_without
    assert unseen < unseen_without


def test_the_average_of_many_comes_close_to_the_one_pass():
    program = dropout.build(dropout.Setup(epochs=40))
    records(program)
    net, draw, test = program.model, generator(1, "many"), program.data.test
    inputs = dropout.torch.cat([x for x, _ in dropout.sweep(test, program.data.about, 500)])
    with torch.no_grad():
        logits = torch.stack([net.thinned(inputs, draw) for _ in range(50)])
        far = (logits[0].softmax(1) - net(inputs).softmax(1)).abs().mean()
        near = (dropout.geometric_mean(logits) - net(inputs).softmax(1)).abs().mean()
    assert near < far / 3
