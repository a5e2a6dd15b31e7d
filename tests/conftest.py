"""What holds for every test."""

import os

import hypothesis
import pytest
import torch
from torch.distributions import Distribution

os.environ.setdefault("COLUMNS", "200")
# A law does not depend on how busy the machine is.
hypothesis.settings.register_profile("law", deadline=None, derandomize=True)
hypothesis.settings.load_profile("law")


@pytest.fixture(autouse=True)
def global_state_is_untouched():
    """The library never seeds globally and leaves torch's switches as they were."""
    rng, dtype, grad = torch.get_rng_state(), torch.get_default_dtype(), torch.is_grad_enabled()
    validate = Distribution._validate_args
    yield
    assert torch.equal(torch.get_rng_state(), rng), "the global random state has moved"
    assert torch.get_default_dtype() is dtype
    assert torch.is_grad_enabled() is grad
    assert Distribution._validate_args is validate
