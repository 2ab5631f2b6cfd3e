"""Batches: permutations by (seed, epoch), exact resume anywhere, augmentation keyed by index, both kinds of split."""

import pytest
import torch
from PIL import Image

from shinso.core.errors import UserError
from shinso.data.augment import FlipCrop, Handwriting, ShiftScaleRotate
from shinso.data.batches import Batches, sweep
from shinso.data.examples import Description, Examples, open_data, to_bytes, to_float
from shinso.data.loader import Files

N = 53
ABOUT = Description(name="t", classes=("a", "b"), shape=(1, 8, 8), mean=(0.5,), std=(1.0,), form="picture")


def resident() -> Examples:
    pixels = torch.randint(0, 256, (N, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Examples(pixels, torch.arange(N))


@pytest.fixture
def on_disk(tmp_path) -> Files:
    split = resident()
    paths = []
    for i in range(N):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(split.inputs[i, 0].numpy()).save(paths[-1])
    return Files(paths, split.targets, (1, 8, 8))


def test_each_epoch_is_a_permutation_and_seeds_differ():
    orders = {}
    for seed in (0, 1):
        batches = Batches(resident(), ABOUT, 10, seed=seed)
        assert batches.per_epoch == 6
        for epoch in range(3):
            seen = torch.cat([batches.next()[1] for _ in range(batches.per_epoch)])
            assert seen.sort().values.tolist() == list(range(N))
            orders[seed, epoch] = tuple(seen.tolist())
    assert len(set(orders.values())) == 6
    again = Batches(resident(), ABOUT, 10, seed=1)
    assert tuple(torch.cat([again.next()[1] for _ in range(6)]).tolist()) == orders[1, 0]


def test_the_sweep_keeps_its_order(on_disk):
    for split in (resident(), on_disk):
        inputs, targets = zip(*sweep(split, ABOUT, 10), strict=True)
        assert torch.cat(targets).tolist() == list(range(N))
        assert torch.equal(torch.cat(inputs), to_float(resident().inputs, ABOUT))


@pytest.mark.parametrize("kind", ["resident", "disk"])
def test_resume_is_exact_at_every_position(kind, on_disk):
    split = resident() if kind == "resident" else on_disk
    augment = ShiftScaleRotate(seed=3)
    whole = Batches(split, ABOUT, 10, seed=5, augment=augment)
    rows, states = [], []
    for _ in range(14):
        states.append(whole.state())
        rows.append(whole.next())
    for at in range(14):
        resumed = Batches(split, ABOUT, 10, seed=99, augment=augment)
        resumed.next()
        resumed.restore(states[at])
        for inputs, targets in rows[at:]:
            x, y = resumed.next()
            assert torch.equal(x, inputs)
            assert torch.equal(y, targets)


def test_a_split_on_disk_gives_the_same_batches_as_one_in_memory(on_disk):
    ours, theirs = Batches(on_disk, ABOUT, 7, seed=2), Batches(resident(), ABOUT, 7, seed=2)
    for _ in range(20):
        a, b = ours.next(), theirs.next()
        # resident pixels come through a kernel that equals the plain path to rounding
        assert torch.allclose(a[0], b[0], rtol=0, atol=2e-6)
        assert torch.equal(a[1], b[1])


def test_a_file_that_vanishes_during_training_is_named(on_disk):
    batches = Batches(on_disk, ABOUT, 7, seed=2)
    victim = on_disk.paths[int(batches.order[50])]
    victim.unlink()
    with pytest.raises(UserError, match=victim.name):
        for _ in range(8):
            batches.next()


def test_a_split_on_disk_has_no_inputs_at_once(on_disk):
    with pytest.raises(UserError, match="do not fit into memory"):
        _ = on_disk.inputs
    assert torch.equal(on_disk[3][0], resident().inputs[3])


@pytest.mark.parametrize("augment", [ShiftScaleRotate(seed=0), Handwriting(seed=0), FlipCrop(seed=0)])
def test_augmentation_depends_on_seed_epoch_and_index_alone(augment):
    pixels = torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8)
    index = torch.arange(100, 140)
    whole = augment(pixels, index, 4)
    assert whole.dtype == torch.uint8
    assert whole.shape == pixels.shape
    shuffled = torch.randperm(40)
    assert torch.equal(augment(pixels[shuffled], index[shuffled], 4), whole[shuffled])
    assert all(torch.equal(augment(pixels[i : i + 1], index[i : i + 1], 4)[0], whole[i]) for i in range(40))
    assert not torch.equal(augment(pixels, index, 5), whole)
    assert not torch.equal(type(augment)(seed=1)(pixels, index, 4), whole)
    same = pixels[:1].expand(40, -1, -1, -1)
    changed = augment(same, index, 4)
    assert len({row.numpy().tobytes() for row in changed}) > 30


def test_no_change_is_asked_for_and_none_happens():
    pixels = torch.randint(0, 256, (9, 2, 14, 10), dtype=torch.uint8)
    still = ShiftScaleRotate(seed=0, shift=0, scale=0, rotate=0, shear=0)
    assert torch.equal(still(pixels, torch.arange(9), 0), pixels)
    assert torch.equal(FlipCrop(seed=0, border=0, flip=False)(pixels, torch.arange(9), 0), pixels)


def test_a_shift_moves_a_dot_by_as_many_pixels():
    pixels = torch.zeros(200, 1, 21, 21)
    pixels[:, :, 10, 10] = 1.0
    moved = ShiftScaleRotate(seed=0, shift=3, scale=0, rotate=0, shear=0)(pixels, torch.arange(200), 0)
    axis = torch.arange(21.0) - 10
    offset = torch.stack([(moved[:, 0].sum(1) * axis).sum(1), (moved[:, 0].sum(2) * axis).sum(1)], 1)
    assert torch.allclose(moved.sum((1, 2, 3)), torch.ones(200), atol=1e-4)
    assert 2.5 < offset.abs().max() <= 3.001
    assert offset.mean().abs() < 0.3


def test_flips_happen_half_of_the_time_and_crops_reach_every_place():
    pixels = torch.arange(16.0).view(1, 1, 4, 4).expand(900, -1, -1, -1) + 1
    changed = FlipCrop(seed=0, border=1)(pixels, torch.arange(900), 0)
    kinds = {tuple(row.flatten().tolist()) for row in changed}
    assert len(kinds) == 18
    flipped = FlipCrop(seed=0, border=0)(pixels, torch.arange(900), 0)
    share = (flipped[:, 0, 0, 0] != 1).double().mean()
    assert abs(share - 0.5) < 4 * 0.5 / 30


def test_to_float_is_totensor_and_normalise_and_has_an_inverse():
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    scaled = to_float(every, ABOUT)
    assert scaled.min() == -0.5
    assert scaled.max() == 0.5
    assert torch.equal(to_bytes(scaled, ABOUT), every)
    about = open_data("digits").about
    assert torch.equal(to_bytes(to_float(every, about), about), every)


def test_another_hand_without_bend_pen_and_move_writes_the_same():
    pixels = open_data("digits").train.inputs[:20]
    still = Handwriting(seed=0, bend=0, pen=0, move=ShiftScaleRotate(seed=0, shift=0, scale=0, rotate=0, shear=0))
    assert torch.equal(still(pixels, torch.arange(20), 0), pixels)


def test_the_pen_makes_strokes_thicker_and_thinner():
    pixels = open_data("digits").train.inputs[:200]
    fixed = ShiftScaleRotate(seed=0, shift=0, scale=0, rotate=0, shear=0)
    written = Handwriting(seed=0, bend=0, move=fixed)(pixels, torch.arange(200), 0)
    change = written.float().mean((1, 2, 3)) / pixels.float().mean((1, 2, 3))
    assert (change > 1.1).sum() > 50 and (change < 0.9).sum() > 50
