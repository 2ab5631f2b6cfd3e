"""DenseNet: counted, compared with torchvision's, computed again without a difference."""

import re

import pytest
import torch
from oracles import same_tree
from published import computes, published
from torch.nn import functional as F

from shinso.core.errors import UserError
from shinso.learn.foreign_weights import load_weights, read_weights
from shinso.vision import densenet
from shinso.vision._cost import products, trained

slow = pytest.mark.slow


@pytest.mark.parametrize("name", ["121", pytest.param("169", marks=slow), pytest.param("201", marks=slow),
                                  pytest.param("161", marks=slow)])
def test_torchvisions_weights_give_torchvisions_answers(name, tmp_path):
    state, theirs = published(f"torchvision:densenet{name}", (2, 3, 64, 64), tmp_path)
    ours = densenet.DenseNet(densenet.IMAGENET[name])
    assert len(state) == {"121": 727, "169": 1_015, "201": 1_207, "161": 967}[name]
    ours.load_state_dict(state)
    computes(ours, theirs)


@pytest.mark.parametrize(("name", "count"), [("121", 2_834_161_664), ("169", 3_359_843_328), ("201", 4_291_365_888),
                                             ("161", 7_727_907_072)])
def test_multiplications_are_the_references(name, count):
    with torch.device("meta"):
        assert products(densenet.DenseNet(densenet.IMAGENET[name]), (3, 224, 224)) == count


@pytest.mark.parametrize(("depth", "growth", "bottleneck", "count"), [
    (40, 12, False, 1_019_722), (100, 12, False, 6_979_642), (100, 24, False, 27_249_082), (100, 12, True, 769_162),
    (250, 24, True, 15_324_406), (190, 40, True, 25_624_430),
])
def test_the_forms_for_cifar_have_the_papers_size(depth, growth, bottleneck, count):
    assert trained(densenet.on_paper(densenet.cifar(depth, growth, bottleneck=bottleneck), 10)) == count


@pytest.mark.parametrize(("depth", "bottleneck", "near"), [(41, False, 40), (41, True, 40), (4, False, 7)])
def test_a_depth_that_does_not_divide_is_refused_with_one_that_does(depth, bottleneck, near):
    with pytest.raises(UserError, match=str(near)):
        densenet.cifar(depth, 12, bottleneck=bottleneck)


def test_a_checkpoint_with_the_first_versions_names_is_read(tmp_path):
    torch.manual_seed(0)
    theirs, ours = (densenet.DenseNet(densenet.cifar(10, 4, bottleneck=True), 3, 5) for _ in range(2))
    pattern = re.compile(r"(denselayer\d\.[a-z]+)([12])")
    old = {pattern.sub(r"\1.\2", name): t for name, t in theirs.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "old.pth")
    assert not same_tree(ours.state_dict(), theirs.state_dict())
    assert load_weights(ours, read_weights(tmp_path / "old.pth"), tmp_path / "old.pth") == []
    assert same_tree(ours.state_dict(), theirs.state_dict())


def test_forgetting_changes_no_bit_of_a_training_step():
    x, y, states, grads = torch.randn(6, 1, 12, 12), torch.tensor([0, 1, 2, 0, 1, 2]), [], []
    for memory_efficient in (False, True):
        torch.manual_seed(1)
        model = densenet.DenseNet(densenet.cifar(16, 4, bottleneck=True), 1, 3, memory_efficient=memory_efficient)
        optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        for _ in range(3):
            optimiser.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimiser.step()
        grads.append({name: w.grad for name, w in model.named_parameters()})
        states.append(model.state_dict())
    assert same_tree(states[0], states[1]) and same_tree(grads[0], grads[1])
    assert states[0]["features.denseblock1.denselayer1.norm1.num_batches_tracked"] == 3


def test_pictures_too_small_are_refused(tmp_path):
    with pytest.raises(UserError, match="29x29"):
        densenet.build(densenet.Setup(network="121"))
    with pytest.raises(UserError, match="growth"):
        densenet.build(densenet.Setup(growth=0))


@pytest.mark.parametrize("size", [29, 40])
def test_the_large_networks_take_small_pictures_and_other_channels(size):
    with torch.no_grad():
        answer = densenet.DenseNet(densenet.IMAGENET["121"], 1, 7).eval()(torch.zeros(2, 1, size, size))
    assert answer.shape == (2, 7)
