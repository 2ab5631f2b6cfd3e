"""What every classifier of pictures shares: its settings, its groups of weights, its parts of a batch."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load
from torch import nn

from shinso.catalogue import index
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.data.examples import to_float
from shinso.learn.recognise import Recognition, balanced, recognise, smoothed

SMALL = Recognition(epochs=1, batch_size=50, augment=False)


def network(about):
    return nn.Sequential(nn.Conv2d(about.shape[0], 4, 3), nn.GroupNorm(2, 4), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(4, len(about.classes)))


def test_parts_of_a_batch_give_the_gradient_of_the_whole():
    whole, parts = (recognise(replace(SMALL, accumulate=n), Place(), network) for n in (1, 7))
    for i in range(3):
        one, other = whole.step(i)["loss"], parts.step(i)["loss"]
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert not all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True))


def test_more_parts_than_examples_are_as_many_as_there_are():
    program = recognise(replace(SMALL, batch_size=3, accumulate=5), Place(), network)
    assert torch.isfinite(program.step(0)["loss"])


def test_vectors_do_not_decay():
    optimiser = recognise(replace(SMALL, weight_decay=0.1), Place(), network).optimiser
    decays = {w.dim() > 1: group["weight_decay"] for group in optimiser.param_groups for w in group["params"]}
    assert decays == {True: 0.1, False: 0.0}


@pytest.mark.parametrize("name", ["sgd", "adamw", "lion", "rprop"])
def test_any_method_goes_down(name):
    program = recognise(replace(SMALL, optimiser=name, lr=0.01), Place(), network)
    losses = [float(program.step(i)["loss"]) for i in range(10)]
    assert losses[-1] < losses[0]


def test_dropout_follows_from_the_seed_alone():
    def losses(stray):
        program = recognise(SMALL, Place(), lambda about: nn.Sequential(nn.Dropout(0.5), network(about)))
        torch.manual_seed(stray)
        return [float(program.step(i)["loss"]) for i in range(5)]

    assert losses(1) == losses(2)


def test_a_method_that_looks_at_the_model_is_shown_it():
    program = recognise(replace(SMALL, optimiser="kfac", lr=0.01), Place(), network)
    program.step(0)
    assert any(len(kept) > 1 for kept in program.optimiser.state.values()), "it descended like plain SGD"


def test_a_method_that_cannot_take_so_many_weights_is_one_sentence():
    with pytest.raises(UserError, match="bfgs"):
        recognise(replace(SMALL, optimiser="bfgs"), Place(), lambda about: nn.Sequential(
            nn.Flatten(), nn.Linear(784, 30), nn.Linear(30, len(about.classes))))


def test_smoothing_is_a_mixture_of_targets():
    logits, targets = torch.randn(6, 5), torch.arange(6) % 5
    mixed = 0.9 * nn.functional.one_hot(targets, 5) + 0.1 / 5
    found = smoothed(0.1, nn.Identity(), (logits, targets), torch.Generator())["loss"]
    torch.testing.assert_close(found, -(mixed * logits.log_softmax(1)).sum(1).mean())


@pytest.mark.parametrize(("change", "smallest", "told"), [
    ({}, 64, "at least 64x64"), ({"data": "xor"}, 1, "points"), ({"optimiser": "newton"}, 1, "second derivatives"),
    ({"optimiser": "adma"}, 1, "adam"), ({"lr": 0.0}, 1, "lr"), ({"label_smoothing": 2.0}, 1, "label_smoothing")])
def test_what_cannot_be_is_one_sentence(change, smallest, told):
    with pytest.raises(UserError, match=told):
        recognise(replace(SMALL, **change), Place(), network, smallest=smallest)


def test_a_setup_made_from_another_is_read_as_text(tmp_path):
    folder = tmp_path / "subject"
    folder.mkdir()
    (folder / "one.py").write_text('''
from dataclasses import dataclass
from shinso.core.card import Card
from shinso.learn.recognise import Recognition

CARD = Card(name="One")


@dataclass(frozen=True, kw_only=True)
class Setup(Recognition):
    lr: float = 0.5
    depth: int = 3
    """how deep"""


def build(setup): ...
''', encoding="utf-8")
    fields = {field.name: field for field in index.card("subject.one", tmp_path).fields}
    assert list(fields)[:2] == ["data", "epochs"] and list(fields)[-1] == "depth"
    assert fields["lr"].default == "0.5" and fields["lr"].help == "largest learning rate"
    assert fields["lr"].file.name == "recognise.py" and fields["depth"].file.name == "one.py"
    told = {field.name: field.help for field in index.card("subject.one", tmp_path).fields_in("ja")}
    assert told["lr"] == "学習率の最大値" and told["depth"] == "how deep"


def test_a_setup_may_add_fields_and_change_defaults():
    @dataclass(frozen=True, kw_only=True)
    class Setup(Recognition):
        lr: float = 0.5
        depth: int = 3

    assert Setup().lr == 0.5 and Setup().epochs == 10 and isinstance(Setup(depth=4), Recognition)


def test_balanced_shares_give_every_class_the_same_weight_in_the_loss():
    targets = torch.tensor([0] * 6 + [1] * 3 + [3])
    shares = balanced(targets, 4)
    assert shares.tolist() == pytest.approx([10 / 18, 10 / 9, 0.0, 10 / 3])
    assert float(shares[targets].mean()) == pytest.approx(1.0)
    assert balanced(targets[:0], 4).tolist() == [0.0] * 4
    logits = torch.randn(10, 4)
    each = nn.functional.cross_entropy(logits, targets, reduction="none")
    found = smoothed(0.0, nn.Identity(), (logits, targets), torch.Generator(), shares=shares)["loss"]
    torch.testing.assert_close(found, torch.stack([each[targets == c].mean() for c in (0, 1, 3)]).mean())


def skewed(folder):
    """Two kinds of pictures that overlap, 200 of one and 20 of the other, in equal parts in validation and test."""
    rng = np.random.default_rng(0)
    for part, counts in {"train": (200, 20), "validation": (10, 10), "test": (20, 20)}.items():
        for title, count, level in zip(("犬", "猫"), counts, (120, 135), strict=True):
            (folder / part / title).mkdir(parents=True)
            for i in range(count):
                pixels = rng.normal(level + rng.normal(0, 8), 20, (28, 28, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / part / title / f"{i}.png")
    return f"folder:{folder}@28"


def test_balanced_classes_find_the_rare_one(tmp_path):
    data, found = skewed(tmp_path), {}
    for choice in ("none", "balanced"):
        setup = replace(SMALL, data=data, epochs=20, batch_size=44, class_weights=choice, optimiser="adam", lr=0.05)
        program = recognise(setup, Place(), network)
        for i in range(program.total):
            program.step(i)
        found[choice] = program.evaluate("test")["accuracy"]
    assert found["none"] < found["balanced"] - 0.05


def one_file(folder, side=28):
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    Image.fromarray(pixels[:, ::-1]).save(folder / "b.png")
    return pixels, [folder / "a.png", folder / "b.png"]


def test_with_the_mirror_an_answer_does_not_know_left_from_right(tmp_path):
    data = skewed(tmp_path / "data")
    plain, both = (recognise(replace(SMALL, data=data, tta=tta), Place(), pixelwise) for tta in ("none", "mirror"))
    _, files = one_file(tmp_path)
    one, turned = (dict(ranking) for ranking in plain.rank(files, 2))
    mean, same = (dict(ranking) for ranking in both.rank(files, 2))
    assert one != pytest.approx(turned, abs=1e-3) and mean == pytest.approx(same)
    assert mean == pytest.approx({title: (one[title] + turned[title]) / 2 for title in one}, abs=1e-6)
    assert both.predict(files)[0] == both.rank(files, 1)[0][0]
    assert plain.evaluate("test") != both.evaluate("test") and both.pictures().keys() >= {"confusion"}
    assert float(plain.step(0)["loss"]) == float(both.step(0)["loss"])


def test_ten_crops_answer_by_their_mean(tmp_path):
    setup = replace(SMALL, data=skewed(tmp_path / "data"), crop=20, tta="crops")
    program = recognise(setup, Place(), pixelwise)
    pixels, files = one_file(tmp_path)
    x = to_float(torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None], program.data.about)
    parts = [x[:, :, y:y + 20, k:k + 20] for y, k in ((0, 0), (0, 8), (8, 0), (8, 8), (4, 4))]
    shares = torch.cat([program.model(view) for part in parts for view in (part, part.flip(3))]).softmax(1).mean(0)
    found, same = (dict(ranking) for ranking in program.rank(files, 2))
    assert [found[title] for title in program.data.about.classes] == pytest.approx(shares.tolist(), abs=1e-6)
    assert same == pytest.approx(found, abs=1e-6)
    middle = recognise(replace(setup, tta="none"), Place(), pixelwise)
    assert [*dict(middle.rank(files, 2)[0]).values()] == pytest.approx(
        program.model(parts[4]).softmax(1)[0].sort(descending=True)[0].tolist(), abs=1e-6)
    assert middle.evaluate("test") != program.evaluate("test")


@pytest.mark.parametrize("augment", [False, True])
def test_a_network_of_crops_learns_draws_and_is_exported_with_its_part_of_a_picture(augment, tmp_path):
    setup = replace(SMALL, data=skewed(tmp_path / "data"), crop=20, tta="crops", augment=augment, ema=0.5)
    sizes = []
    program = recognise(setup, Place(), lambda about: sizes.append(about.shape) or network(about))
    program.model[0].register_forward_hook(lambda _, x, y: sizes.append(tuple(x[0].shape[1:])))
    batch, whole = program.batches.next()[0], program.batches.split.inputs
    assert batch.shape[2:] == ((20, 20) if augment else (28, 28)) and whole.shape[2:] == (28, 28)
    program.step(0)
    program.evaluate("validation")
    assert set(sizes) == {(3, 20, 20)}
    example = program.example()["model"]
    assert example.shape[1:] == (3, 28, 28) and "0.weight" in program.networks()["model"].state_dict()
    kept = load(program.files()["inside.safetensors"])
    assert kept["pictures"].shape == (8, 3, 20, 20) == kept["guided"].shape and {"confusion", "evidence"} <= set(
        program.pictures())


def pixelwise(about):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(about.shape), len(about.classes)))


def test_writing_has_no_mirror():
    with pytest.raises(UserError, match="another sign"):
        recognise(replace(SMALL, tta="mirror"), Place(), network)
    with pytest.raises(UserError, match="another sign"):
        recognise(replace(SMALL, crop=24), Place(), network)


@pytest.mark.parametrize(("change", "smallest", "told"), [
    ({"tta": "crops"}, 1, "--crop, for example 24"), ({"crop": 28}, 1, "28 is no part of pictures of 28x28"),
    ({"crop": -2}, 1, "is no part"), ({"crop": 20}, 24, "at least 24x24")])
def test_crops_that_cannot_be_are_one_sentence(change, smallest, told, tmp_path):
    with pytest.raises(UserError, match=told):
        recognise(replace(SMALL, data=skewed(tmp_path), **change), Place(), network, smallest=smallest)
