import torch

from minamo.randomness import drawing_from, stream


def test_a_block_draws_from_its_generator_and_puts_the_global_state_back():
    before = torch.get_rng_state()
    with drawing_from(stream(0, "a")):
        first = torch.randn(5)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, torch.randn(5, generator=stream(0, "a")))


def test_a_generator_goes_on_where_the_last_block_left_it():
    generator = stream(0, "a")
    with drawing_from(generator):
        first = torch.randn(5)
    with drawing_from(generator):
        second = torch.randn(5)
    both = torch.randn(10, generator=stream(0, "b"))
    assert not torch.equal(first, second)
    assert not torch.equal(first, both[:5])


def test_an_error_inside_still_restores_the_global_state():
    before = torch.get_rng_state()
    try:
        with drawing_from(stream(0, "a")):
            torch.randn(5)
            raise ValueError
    except ValueError:
        pass
    assert torch.equal(torch.get_rng_state(), before)


def test_streams_differ_by_seed_and_by_name():
    draws = [torch.randn(4, generator=g) for g in (stream(0, "a"), stream(0, "b"), stream(1, "a"), stream(0, "a", 1))]
    for i, one in enumerate(draws):
        assert not any(torch.equal(one, other) for other in draws[:i])
