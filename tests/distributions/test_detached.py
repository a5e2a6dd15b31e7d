"""A distribution cut from the graph."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Beta, Independent, MultivariateNormal, Normal

from minamo.distributions import detached


def cholesky() -> Tensor:
    return torch.tensor([[2.0, 0.0], [0.5, 1.0]], dtype=torch.float64, requires_grad=True)


class OwnWay(Normal):
    """Brings its own method, and knows better than its parent."""

    def detached(self) -> Normal:
        return OwnWay(self.loc.detach(), self.scale.detach())


@pytest.mark.parametrize(
    "q",
    [
        Normal(cholesky()[0], 2.0),
        Independent(Normal(cholesky(), 2.0), 1),
        MultivariateNormal(cholesky()[0], scale_tril=cholesky()),
        MultivariateNormal(cholesky()[0], covariance_matrix=cholesky() @ cholesky().mT),
        MultivariateNormal(cholesky()[0], precision_matrix=cholesky() @ cholesky().mT),
        Independent(OwnWay(cholesky(), 2.0), 1),
    ],
    ids=["normal", "independent", "scale_tril", "covariance", "precision", "its own way"],
)
def test_detached_is_the_same_law_without_its_graph(q):
    held = detached(q)
    value = torch.tensor([0.3, -1.2], dtype=torch.float64)
    assert q.log_prob(value).requires_grad
    assert not held.log_prob(value).requires_grad
    assert torch.allclose(held.log_prob(value), q.log_prob(value), rtol=0, atol=1e-12)
    assert type(held) is type(q)


def test_detached_names_the_class_it_does_not_know():
    with pytest.raises(NotImplementedError, match="Beta cannot be cut"):
        detached(Independent(Beta(torch.ones(2), torch.ones(2)), 1))


def test_detached_does_not_take_a_subclass_for_its_parent():
    class Narrower(Normal):
        pass

    with pytest.raises(NotImplementedError, match="Narrower"):
        detached(Narrower(0.0, 1.0))
