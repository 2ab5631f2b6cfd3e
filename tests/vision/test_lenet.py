"""LeNet-5: three forms, counted, trained and asked."""

from dataclasses import replace

import pytest
import torch
from oracles import agree
from PIL import Image
from torch.nn import functional as F

from shinso.core.errors import UserError
from shinso.core.record import plain
from shinso.data.examples import Description, open_data, save_description
from shinso.engine.loop import run
from shinso.vision import lenet
from shinso.vision._cost import connections


def test_the_layers_of_1998_have_the_papers_counts():
    network = lenet.original()
    counted = connections(network, (1, 28, 28))
    assert counted == {"C1": 122_304, "S2": 5_880, "C3": 151_600, "S4": 2_000, "C5": 48_120, "F6": 10_164,
                       "output": 840}
    sizes = {name: sum(w.numel() for w in network.get_submodule(name).parameters()) for name in counted}
    assert sizes == {"C1": 156, "S2": 12, "C3": 1_516, "S4": 32, "C5": 48_120, "F6": 10_164, "output": 0}


def test_a_map_of_c3_feels_only_the_maps_of_its_row():
    layer = lenet.TableConv(lenet.C3_TABLE, 6)
    for source in range(6):
        x = torch.zeros(1, 6, 5, 5)
        x[0, source] = 1
        moved = ((layer(x) - layer(torch.zeros_like(x)))[0, :, 0, 0] != 0).nonzero().flatten().tolist()
        assert moved == [k for k, row in enumerate(lenet.C3_TABLE) if source in row]


def test_the_layers_of_1998_and_their_gradients_are_those_of_the_formulas():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, 8, 8, generator=draw, dtype=torch.float64)
    pool, codes = lenet.Subsample(6).double(), lenet.Codes().double()
    table = lenet.TableConv(lenet.C3_TABLE, 6).double()
    agree(pool, lambda x: 1.7159 * torch.tanh(x.unfold(2, 2, 2).unfold(3, 2, 2).sum((4, 5)) / 6), x, double=True)
    weights = iter(table.weight.detach())
    dense = torch.zeros(16, 6, 5, 5, dtype=torch.float64)
    for k, row in enumerate(lenet.C3_TABLE):
        for source in row:
            dense[k, source] = next(weights)
    agree(table, lambda x: F.conv2d(x, dense, table.bias.detach()), x)
    drawings = codes.codes

    def spread(x: torch.Tensor) -> torch.Tensor:
        return 2 * x @ drawings.T - x.square().sum(1, keepdim=True) - drawings.square().sum(1)

    agree(codes, spread, torch.randn(3, 84, generator=draw, dtype=torch.float64), within=1e-11, double=True)


def test_table_one_is_what_the_paper_says_of_it():
    """First every three maps in a row, round and round; then every four; three times four apart; then all."""
    around = [{frozenset((k + step) % 6 for step in range(many)) for k in range(6)} for many in (3, 4)]
    rows = [frozenset(row) for row in lenet.C3_TABLE]
    assert set(rows[:6]) == around[0] and set(rows[6:12]) == around[1]
    assert all(len(row) == 4 and row not in around[1] for row in rows[12:15]) and len(set(rows)) == 16
    assert rows[15] == frozenset(range(6))
    assert all(sum(source in row for row in rows) == 10 for source in range(6)), "the table favours none of the maps"


def layers_with_weights(network):
    return [sum(w.numel() for w in layer.parameters()) for layer in network if any(True for _ in layer.parameters())]


def test_the_layers_of_today_have_the_counts_of_the_textbooks():
    assert layers_with_weights(lenet.modern()) == [156, 2_416, 48_120, 10_164, 850]
    assert layers_with_weights(lenet.caffe()) == [520, 25_050, 400_500, 5_010]
    assert sum(layers_with_weights(lenet.caffe())) > 7 * sum(layers_with_weights(lenet.original()))


def test_the_drawings_are_twelve_rows_of_seven_and_all_different():
    codes = lenet.Codes().codes
    assert codes.shape == (10, 84) and set(codes.flatten().tolist()) == {-1.0, 1.0}
    distances = (codes[:, None] != codes).sum(2) + 84 * torch.eye(10, dtype=torch.int64)
    assert distances.min() >= 5


def test_the_map_criterion_is_the_papers_formula():
    model, x, y = lenet.original().double(), torch.randn(4, 1, 28, 28, dtype=torch.float64), torch.tensor([3, 1, 4, 1])
    penalties = -model(x).float().double()
    others = torch.log(torch.exp(torch.tensor(-1.0)) + torch.exp(-penalties).sum(1))
    written = penalties.gather(1, y[:, None])[:, 0] + others
    got = lenet.discriminative(model, (x, y), torch.Generator())["loss"]
    torch.testing.assert_close(got.double(), written.mean(), atol=1e-4, rtol=1e-5)


def test_the_grey_scale_of_1998_has_paper_at_minus_a_tenth():
    program = lenet.build(replace(lenet.VARIANTS["original"], epochs=1, augment=False))
    inputs, _ = program.batches.next()
    assert inputs.min() == pytest.approx(-0.1, abs=1e-6) and inputs.max() == pytest.approx(1.175, abs=1e-6)


def test_the_network_of_1998_refuses_colours(tmp_path):
    about = Description(name="x", classes=("a", "b"), shape=(3, 32, 32), mean=(0.5,) * 3, std=(0.2,) * 3,
                        form="picture")
    save_description(about, tmp_path / "data.json")
    with pytest.raises(UserError, match="ten classes"):
        lenet.build(lenet.Setup(data=f"described:{tmp_path / 'data.json'}", form="original"))


@pytest.mark.parametrize(("form", "shape"), [("modern", (3, 32, 32)), ("modern", (1, 13, 17)), ("caffe", (3, 40, 30))])
def test_other_shapes_and_class_counts_fit(form, shape):
    network = {"modern": lenet.modern, "caffe": lenet.caffe}[form](shape, 7)
    assert network(torch.zeros(2, *shape)).shape == (2, 7)


def test_conv_pool_is_convolution_relu_and_pooling():
    layer = lenet.ConvPool(1, 6, padding=2)
    x = torch.randn(3, 1, 28, 28)
    torch.testing.assert_close(layer(x), F.max_pool2d(F.relu(F.conv2d(x, layer.weight, layer.bias, padding=2)), 2))


def test_six_passes_over_the_digits_are_enough_to_see_it_learn(tmp_path):
    program = lenet.build(replace(lenet.VARIANTS["default"], epochs=6, augment=False))
    for _ in run(program):
        pass
    assert plain(program.evaluate("test"))["accuracy"] > 0.9
    shown = program.pictures()
    inside = {"layers", "first_filters", "feature_maps", "evidence", "top_patches"}
    assert {"confusion", *inside} <= set(shown) <= {"confusion", "mistakes", *inside}
    assert all(image.dtype.name == "uint8" for image in shown.values())
    digit, label = open_data("digits").test[0]
    file = tmp_path / "数字 ✍.png"
    Image.fromarray(255 - digit[0].numpy()).resize((280, 280)).save(file)
    ((answer, probability),) = program.predict([file])
    assert answer == str(int(label)) and 0.5 < probability <= 1


@pytest.mark.slow
def test_two_thousand_digits_of_mnist_are_enough_for_95_percent_of_a_thousand_others(real_data):
    program = lenet.build(replace(lenet.VARIANTS["mnist"], epochs=20, batch_size=32))
    data = program.data
    few, asked = data.train.part(torch.arange(2_000)), data.test.part(torch.arange(1_000))
    program = type(program)(program.model, program.optimiser, program.task, replace(data, train=few, test=asked),
                            program.plan, program.place)
    for _ in run(program):
        pass
    assert plain(program.evaluate("test"))["accuracy"] >= 0.95


@pytest.mark.slow
def test_mnist_is_read_at_99_percent(real_data):
    program = lenet.build(lenet.VARIANTS["mnist"])
    for _ in run(program):
        pass
    assert plain(program.evaluate("test"))["accuracy"] >= 0.99


@pytest.mark.slow
def test_the_network_of_1998_reads_mnist_at_98_and_a_half_percent(real_data):
    program = lenet.build(replace(lenet.VARIANTS["original"], data="mnist"))
    for _ in run(program):
        pass
    assert plain(program.evaluate("test"))["accuracy"] >= 0.985
