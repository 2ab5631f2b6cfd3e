"""Drawn mini-batches: the right frequencies, the same stream for the same seed, and never an end."""

from itertools import islice

import torch

from shinso.core.seed import generator
from shinso.data.drawn import boolean_batches, sparse_batches, symbol_batches


def within_4_errors(hits: int, draws: int, chance: float) -> bool:
    return abs(hits - draws * chance) <= 4 * (draws * chance * (1 - chance)) ** 0.5


def test_frequencies_are_right_and_the_same_seed_gives_the_same_stream():
    first, again, other = (list(islice(symbol_batches(generator(seed, "x"), 50, 8), 200)) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) and torch.equal(m, n) for (a, m), (b, n) in zip(first, again, strict=True))
    assert not all(torch.equal(m, n) for (_, m), (_, n) in zip(first, other, strict=True))
    counts = torch.cat([chosen for _, chosen in first]).bincount(minlength=8)
    assert all(within_4_errors(int(count), 10_000, 1 / 8) for count in counts)

    bits = torch.cat(list(islice(boolean_batches(generator(0, "bits"), 100, 4), 50)))
    assert bits.shape == (5000, 4) and set(bits.unique().tolist()) == {0.0, 1.0}
    patterns = (bits.long() @ torch.tensor([8, 4, 2, 1])).bincount(minlength=16)
    assert all(within_4_errors(int(count), 5000, 1 / 16) for count in patterns), "bits are independent"

    sparse = torch.cat(list(islice(sparse_batches(generator(0, "sparse"), 100, 20, 0.1), 20)))
    assert within_4_errors(int((sparse != 0).sum()), sparse.numel(), 0.1)
    there = sparse[sparse != 0]
    assert abs(there.mean()) < 4 / len(there) ** 0.5 and abs(there.var() - 1) < 4 * (2 / len(there)) ** 0.5


def test_symbols_and_their_one_hot_rows_agree():
    rows, chosen = next(symbol_batches(generator(0, "x"), 30, 5))
    assert rows.dtype == torch.float32 and rows.shape == (30, 5)
    assert torch.equal(rows.argmax(1), chosen) and torch.equal(rows.sum(1), torch.ones(30))


def test_a_source_goes_on_where_its_generator_was_saved():
    draw = generator(0, "x")
    source = boolean_batches(draw, 3, 7)
    next(source)
    saved = draw.get_state()
    expected = next(source)
    later = generator(9, "other")
    later.set_state(saved)
    assert torch.equal(next(boolean_batches(later, 3, 7)), expected)


def test_two_sources_do_not_share_their_size():
    draw = generator(0, "x")
    large, small = boolean_batches(draw, 100, 2), boolean_batches(draw, 1, 2)
    assert [len(next(large)), len(next(small)), len(next(large))] == [100, 1, 100]
