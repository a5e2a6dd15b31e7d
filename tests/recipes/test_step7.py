"""The recipe's header, held to."""

import itertools
import os
from pathlib import Path

import pytest

from recipes.step7 import build, losses

MNIST = Path(os.environ.get("MINAMO_DATA", "")) / "mnist.npz"
needs_mnist = pytest.mark.skipif(not MNIST.is_file(), reason="needs mnist.npz in the folder MINAMO_DATA")


def test_the_nets_are_those_of_the_script():
    assert sum(p.numel() for p in build().parameters() if p.requires_grad) == 326_824


@pytest.mark.slow
@needs_mnist
def test_two_epochs_land_where_the_script_does():
    second = next(itertools.islice(losses(epochs=2), 1, None))
    assert second[0] == pytest.approx(45.3, abs=0.6)
