import numpy as np
import pytest
import torch

from minamo.data import Facts, Prepare, Rows, as_dataset, gather
from minamo.data.binarize import binarize
from minamo.randomness import drawing_from, stream


@pytest.mark.parametrize("kind", ["bytes", "floats"])
def test_every_grey_value_is_its_probability(kind):
    """All 256 values, 40,000 draws each: mean within 5 standard errors, no draw at all off 0 and 1."""
    values = torch.arange(256, dtype=torch.uint8)
    stored = values if kind == "bytes" else values / 255
    n = 40_000
    with drawing_from(stream(0, kind)):
        x = binarize(stored.repeat(n, 1), 255.0 if kind == "bytes" else 1.0)
    assert x.dtype == torch.uint8
    p = values.double() / 255
    mean = x.double().mean(0)
    assert ((mean - p).abs() <= 5 * (p * (1 - p) / n).sqrt() + 2e-5).all()
    assert mean[0] == 0
    assert mean[255] == 1


def test_cells_are_independent():
    with drawing_from(stream(0, "cells")):
        x = binarize(torch.full((20_000, 8), 128, dtype=torch.uint8), 255.0).double()
    correlation = np.corrcoef(x.numpy().T) - np.eye(8)
    assert np.abs(correlation).max() < 5 / np.sqrt(20_000)


def test_dynamic_is_drawn_afresh_and_fixed_is_not():
    data = as_dataset(np.full((50, 6, 6), 100, np.uint8), "grey", divisor=255.0)
    rows = Rows(data.x, Prepare(255.0, binarize="dynamic"))
    with drawing_from(stream(0, "epochs")):
        first, second = (next(iter(rows.batches(50))).x for _ in range(2))
    assert not torch.equal(first, second)
    once = rows.drawn_once(stream(0, "once"))
    assert torch.equal(next(iter(once.batches(50))).x, next(iter(once.batches(50))).x)
    assert torch.equal(once.x, rows.drawn_once(stream(0, "once")).x)


def test_binary_moments_are_those_of_the_draws():
    data = as_dataset(np.array([[0, 255], [128, 255]], np.uint8), "grey", divisor=255.0)
    facts: Facts = gather(data)
    mean, var = Prepare(255.0, binarize="dynamic").moments(facts)
    p = 64 / 255
    assert mean.tolist() == pytest.approx([p, 1.0])
    assert var.tolist() == pytest.approx([p * (1 - p), 0.0])
