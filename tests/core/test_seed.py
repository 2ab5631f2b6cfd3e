"""Streams of random numbers stay apart from each other and from the global ones."""

import torch

from shinso.core.seed import drawing_from, drawing_with, generator, put_back


def test_a_saved_stream_goes_on_where_it_was_and_a_foreign_one_leaves_it():
    stream = generator(0, "noise")
    state = stream.get_state()
    expected = torch.rand(3, generator=stream)
    put_back(stream, state)
    assert torch.equal(torch.rand(3, generator=stream), expected)
    after = stream.get_state()
    put_back(stream, torch.zeros(16, dtype=torch.uint8))
    assert torch.equal(stream.get_state(), after)


def test_initialisers_draw_from_the_named_stream_and_the_global_one_stays():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with drawing_from(0, "weights"):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(inside, torch.rand(3, generator=generator(0, "weights")))


def test_layers_without_a_generator_draw_from_the_stream_that_is_lent_to_them():
    stream, same = generator(0, "noise"), generator(0, "noise")
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    for _ in range(2):  # the second time it goes on where it was
        with drawing_with(stream):
            inside = torch.rand(5)
        assert torch.equal(inside, torch.rand(5, generator=same))
    assert torch.equal(torch.rand(3), expected)
