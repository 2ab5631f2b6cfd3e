"""Weights from elsewhere: found whatever wraps them, fitted or refused with every name, never run."""

import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.learn import foreign_weights
from shinso.learn.foreign_weights import freeze, heads, load_weights, pixels, read_weights
from shinso.learn.misfit import grouped, misfit
from shinso.learn.recognise import Recognition, recognise

SMALL = Recognition(epochs=1, batch_size=50, augment=False, lr=0.1)


class Net(nn.Module):
    """A convolution with its normalisation, two blocks, an answer."""

    def __init__(self, classes=10, channels=3, width=4, aux=False):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 3, bias=False), nn.BatchNorm2d(width)
        self.layer1 = nn.Sequential(*(nn.Sequential(nn.Conv2d(width, width, 1), nn.BatchNorm2d(width))
                                      for _ in range(2)))
        if aux:
            self.aux1 = nn.Sequential(nn.Linear(width, 6), nn.Linear(6, classes))
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        return self.fc(self.layer1(self.bn1(self.conv1(x)).relu()).mean((2, 3)))


def lived(net):
    """With statistics other than 0 and 1."""
    torch.manual_seed(1)
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point():
                value.uniform_(0.5, 1.5)
    return net


def filled(net, state, path="x"):
    return load_weights(net, foreign_weights.Foreign(dict(state), {}), path)


@pytest.mark.parametrize("wrap", [
    lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": {"state_dict": s}},
    lambda s: {f"module.{n}": v for n, v in s.items()}, lambda s: {"state_dict_ema": s, "state_dict": {}}])
@pytest.mark.parametrize("suffix", ["pth", "pt"])
def test_whatever_wraps_a_state_it_is_found(wrap, suffix, tmp_path):
    theirs, ours = lived(Net()), Net()
    torch.save(wrap(dict(theirs.state_dict())), tmp_path / f"net.{suffix}")
    assert filled(ours, read_weights(tmp_path / f"net.{suffix}").state) == []
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(ours.eval()(x), theirs.eval()(x))


def test_safetensors_with_what_its_writer_told(tmp_path):
    save_file(lived(Net()).state_dict(), tmp_path / "net.safetensors", metadata={"mean": "[0.1]", "std": "[0.2]"})
    foreign = read_weights(tmp_path / "net.safetensors")
    assert filled(Net(), foreign.state) == [] and pixels(Net(), foreign, 1) == ((0.1,), (0.2,))


class Hostile:
    def __reduce__(self):
        return open, ("ran", "w")


def test_a_hostile_file_is_refused_and_nothing_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"fc.weight": Hostile()}, "net.pth")
    with pytest.raises(UserError, match=r"it holds io\.open, which could run code, and is not read"):
        read_weights(tmp_path / "net.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04" + bytes(99), bytes(64)])
def test_damaged_files_are_one_line(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    for path in (tmp_path / name, tmp_path / "absent.pth", tmp_path):
        with pytest.raises(UserError) as caught:
            read_weights(path)
        assert "\n" not in caught.value.line() and len(caught.value.line()) < 400


@pytest.mark.parametrize("tree", [{"epoch": 3}, [1, 2], torch.ones(3), {}])
def test_a_file_without_names_says_so(tree, tmp_path):
    torch.save(tree, tmp_path / "net.pth")
    with pytest.raises(UserError, match="no tensors with names"):
        read_weights(tmp_path / "net.pth")


def test_only_the_head_begins_anew_for_other_classes():
    theirs, ours = lived(Net(1000)), Net(7)
    before = ours.fc.weight.clone()
    assert filled(ours, theirs.state_dict()) == ["fc begins anew, for 7 classes instead of 1000"]
    assert torch.equal(ours.fc.weight, before) and torch.equal(ours.conv1.weight, theirs.conv1.weight)
    trunk = {name: value for name, value in theirs.state_dict().items() if not name.startswith("fc")}
    assert filled(Net(7), trunk) == ["fc begins anew, for 7 classes, because the file has none"]


def test_auxiliary_heads_begin_anew_or_are_left_out():
    theirs = lived(Net(1000, aux=True)).state_dict()
    assert heads(Net(aux=True)) == ["aux1.1", "fc"]
    assert len(filled(Net(7, aux=True), theirs)) == 2
    assert filled(Net(1000), theirs) == ["aux1 left out"]


def test_grey_pictures_are_answered_like_three_equal_channels():
    theirs, ours = lived(Net()), Net(channels=1)
    (note,) = filled(ours, theirs.state_dict())
    assert "conv1.weight" in note
    x = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x.expand(-1, 3, -1, -1)))


def test_old_and_foreign_names_are_translated(monkeypatch):
    theirs, ours = lived(Net()), Net()
    timm = {name.replace("fc.", "head.").replace("conv1", "stem"): value for name, value in theirs.state_dict().items()}

    def from_timm(state):
        return {name.replace("head.", "fc.").replace("stem", "conv1"): value for name, value in state.items()}

    with pytest.raises(UserError):
        filled(ours, timm)
    monkeypatch.setattr(sys.modules[Net.__module__], "from_timm", from_timm, raising=False)
    for state in (timm, theirs.state_dict()):
        assert filled(ours, state) == [] and torch.equal(ours.fc.weight, theirs.fc.weight)
    counted = {name: value for name, value in theirs.state_dict().items() if "num_batches" not in name}
    assert filled(ours, counted) == []
    assert foreign_weights.OLD_NAMES.sub(r"\1\2", "x.denselayer12.norm.1.weight") == "x.denselayer12.norm1.weight"


def test_every_name_that_does_not_fit_is_told_and_nothing_changes():
    ours, state = Net(), lived(Net(width=5)).state_dict()
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    state["head.weight"], state["head.bias"] = state.pop("fc.weight")[:, :4], state.pop("fc.bias")
    with pytest.raises(UserError) as caught:
        filled(ours, state)
    line = caught.value.line()
    for told in ("fc.* (there: head.weight?)", "2 names are missing", "head.*", "conv1.weight: 5x3x3x3, not 4x3x3x3",
                 "layer1.*: 5x5x1x1, not 4x4x1x1"):
        assert told in line
    assert len(line) < 500
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


def test_numbers_that_are_none_are_refused():
    state = lived(Net()).state_dict()
    state["conv1.weight"][0, 0, 0, 0] = float("nan")
    with pytest.raises(UserError, match=r"conv1\.weight holds numbers that are not finite"):
        filled(Net(), state)


def test_groups_name_all_and_only_what_is_meant():
    known = [f"a.{i}.{part}.{leaf}" for i in range(4) for part in ("x", "y") for leaf in ("weight", "bias")]
    assert list(grouped(known, known)) == ["a.*"]
    some = [name for name in known if name[2] in "012" and ".x." in name]
    assert list(grouped(some, known)) == ["a.{0-2}.x.*"]
    gap = [f"a.0.{part}.bias" for part in "xy"] + ["a.3.x.bias"]
    assert grouped(gap, known) == {"a.{0,3}.x.bias": ["a.0.x.bias", "a.3.x.bias"], "a.0.y.bias": ["a.0.y.bias"]}
    ragged = ["a.0.x.bias", "a.1.x.bias", "a.1.y.bias", "a.2.y.bias", "a.3.y.bias"]
    assert list(grouped(ragged, known)) == ["a.{0,1}.x.bias", "a.{1-3}.y.bias"]
    deep = [f"layer{i}.{j}.w" for i, count in ((1, 3), (2, 4), (3, 6)) for j in range(2, count)]
    assert list(grouped(deep, [*deep, "layer1.0.w", "layer2.0.w", "layer3.0.w"])) == [
        "layer1.2.w", "layer2.{2,3}.w", "layer3.{2-5}.w"]
    many = {f"{'abcdefghijklmnopqrstuvwxyz'[i]}.{j}": torch.ones(1) for i in range(26) for j in (0, 5)}
    assert len(misfit(many, {name: value for name, value in many.items() if name.endswith("5")})) < 700


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file(lived(Net(3)).state_dict(), path)
    return path


def network(about):
    return Net(len(about.classes), about.shape[0])


def test_a_program_begins_with_the_file_and_its_pixels(file):
    with pytest.warns(UserWarning, match="fc begins anew"):
        program = recognise(replace(SMALL, weights=str(file)), Place(), network)
    assert torch.equal(program.model.get_parameter("conv1.weight"), lived(Net(3)).conv1.weight.sum(1, keepdim=True))
    assert program.data.about.mean == pytest.approx((sum(foreign_weights.PIXELS[0]) / 3,))


def test_frozen_layers_and_their_statistics_stay_while_the_head_learns(file):
    with pytest.warns(UserWarning):
        program = recognise(replace(SMALL, weights=str(file), freeze=True, ema=0.9, lr=1e-5), Place(), network)
    before = {name: value.clone() for name, value in program.model.state_dict().items()}
    losses = []
    for i in range(20):
        losses.append(float(program.step(i)["loss"]))
        if i == 10:
            program.evaluate("validation")
    moved = {name for name, value in program.model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"fc.weight", "fc.bias"} and losses[-1] < losses[0]
    assert not program.model.get_submodule("bn1").training and program.model.training
    assert sum(len(group["params"]) for group in program.optimiser.param_groups) == 2


def test_freezing_nothing_is_refused():
    with pytest.raises(UserError, match="--weights"):
        recognise(replace(SMALL, freeze=True), Place(), network)


def test_without_data_no_file_is_needed(file, tmp_path):
    from shinso.data.examples import save_description

    with pytest.warns(UserWarning):
        program = recognise(replace(SMALL, weights=str(file), freeze=True), Place(), network)
    save_description(program.data.about, tmp_path / "data.json")
    file.unlink()
    described = replace(SMALL, weights=str(file), freeze=True, data=f"described:{tmp_path / 'data.json'}")
    again = recognise(described, Place(), network)
    again.restore(program.state())
    assert again.data.about == program.data.about


def test_a_frozen_layer_is_copied_with_its_stillness():
    from copy import deepcopy

    net = Net()
    freeze(net)
    copy = deepcopy(net).train()
    assert not copy.bn1.training and copy.fc.training
    copy.bn1.train().weight.data.zero_()
    assert bool(net.bn1.weight.all())
