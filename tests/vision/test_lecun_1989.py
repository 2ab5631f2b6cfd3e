"""The network of 1989: counted, written out, and trained on digits of 16x16."""

from dataclasses import replace

import torch
from torch.nn import functional as F

from shinso.core.seed import drawing_from
from shinso.data.examples import open_data, to_float
from shinso.vision import lecun_1989
from shinso.vision._cost import connections, trained
from shinso.vision.lecun_1989 import Retina, Unshared, ZipCode


def test_each_layer_has_the_papers_counts():
    network = ZipCode()
    sizes = {name: trained(layer) for name, layer in network.named_children() if trained(layer)}
    assert sizes == {"H1": 1_068, "H2": 2_592, "H3": 5_790, "output": 310}
    assert connections(network, (1, 16, 16)) == {"H1": 19_968, "H2": 38_592, "H3": 5_790, "output": 310}
    assert network.H1.bias.numel() == 768 and network.H2.bias.numel() == 192


def test_a_layer_is_the_sum_written_out():
    with drawing_from(0, "weights"):
        layer, x = Unshared(lecun_1989.TABLE, 12, 4).double(), torch.randn(2, 12, 8, 8, dtype=torch.float64)
        torch.nn.init.normal_(layer.bias)
    found, weights = layer(x), layer.weight.detach().view(12, 8, 5, 5)
    wide = torch.full((2, 12, 12, 12), -1.0, dtype=torch.float64)
    wide[:, :, 2:10, 2:10] = x
    for k, row in enumerate(lecun_1989.TABLE):
        for down in range(4):
            for right in range(4):
                seen = wide[:, list(row), 2 * down : 2 * down + 5, 2 * right : 2 * right + 5]
                sums = (seen * weights[k]).sum((1, 2, 3)) + layer.bias[k, down, right]
                torch.testing.assert_close(found[:, k, down, right], sums)


def test_the_retina_shows_digits_from_minus_one_to_one_and_without_their_frame():
    data = open_data("digits")
    x = to_float(data.train.pick(torch.arange(50)), data.about)
    seen = Retina(data.about)(x)
    assert seen.shape == (50, 1, 16, 16)
    assert -1.001 <= seen.min() < -0.99 and 0.9 < seen.max() <= 1.001
    whole = F.interpolate(data.train.pick(torch.arange(50))[:, :, 4:24, 4:24] / 127.5 - 1, (16, 16), mode="bilinear",
                          antialias=True)
    torch.testing.assert_close(seen, whole, atol=1e-5, rtol=0)
    touched = (seen > 0).flatten(2).any(1)
    assert touched.view(50, 16, 16)[:, [0, -1]].any(2).any(1).float().mean() > 0.5, "digits reach an edge"


def test_colours_become_grey():
    about = replace(open_data("digits").about, shape=(3, 32, 32), mean=(0.5,) * 3, std=(0.25,) * 3, form="picture")
    assert Retina(about)(torch.zeros(1, 3, 32, 32)).abs().max() == 0


def test_the_error_is_squared_with_targets_of_minus_one_and_one():
    model, x, y = ZipCode(), torch.randn(4, 1, 16, 16), torch.tensor([3, 1, 4, 1])
    targets = torch.full((4, 10), -1.0)
    targets[torch.arange(4), y] = 1.0
    found = lecun_1989.squared_error(model, (x, y), torch.Generator())["loss"]
    torch.testing.assert_close(found, ((model(x) - targets) ** 2).mean() / 2)
    each = lecun_1989.measure(model, (x, y), torch.Generator())
    torch.testing.assert_close(each["loss"].mean(), found)
    assert torch.equal(each["accuracy"], (model(x).argmax(1) == y).float())


def test_a_hundred_digits_are_learned_by_heart():
    data = open_data("digits")
    x, y = to_float(data.train.pick(torch.arange(100)), data.about), data.train.targets[:100]
    with drawing_from(0, "weights"):
        model = ZipCode(retina=Retina(data.about))
    rule = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        rule.zero_grad()
        lecun_1989.squared_error(model, (x, y), torch.Generator())["loss"].backward()
        rule.step()
    assert (model(x).argmax(1) == y).all()
