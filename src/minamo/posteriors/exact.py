"""q(z|x) = p(z|x), where the model lets it be known."""

from __future__ import annotations

import torch
from torch.distributions import Distribution, MultivariateNormal

from minamo.batch import Batch, LogJoint
from minamo.posteriors.base import Posterior


class Exact(Posterior):
    """The posterior of a model whose log p(x, z) is quadratic in z: linear decoder, Normal likelihood, Normal prior.

    N(m, Lambda^-1), with Lambda = -d2 log p(x, z)/dz2 and m = Lambda^-1 d log p(x, z)/dz at z = 0. The KL to the
    posterior is 0, so the ELBO is log p(x), and training is EM: this the E-step, a gradient step on the decoder in
    place of the M-step. q is returned out of the graph, since at the exact posterior the ELBO has no gradient
    towards it.

    Args:
        latent_dim: width of z.
    """

    name = "exact"

    def __init__(self, latent_dim: int):
        super().__init__()
        self.latent_dim = latent_dim
        self.draws = latent_dim + 1

    def forward(self, batch: Batch, log_joint: LogJoint) -> Distribution:
        """Return p(z|x) for the rows of `batch`."""
        n, d = len(batch.x), self.latent_dim
        # The gradient of a quadratic is affine: at 0 it is Lambda m, and at a unit vector e_i less by Lambda e_i.
        at = torch.cat([batch.x.new_zeros(1, d), torch.eye(d, dtype=batch.x.dtype, device=batch.x.device)])
        with torch.enable_grad():
            z = at[:, None].expand(-1, n, -1).clone().requires_grad_()
            (gradient,) = torch.autograd.grad(log_joint(z).sum(), z)
        gradient = gradient.detach()
        precision = (gradient[:1] - gradient[1:]).movedim(0, -2)
        precision = 0.5 * (precision + precision.mT)
        mean = torch.linalg.solve(precision, gradient[0])
        return MultivariateNormal(mean, precision_matrix=precision, validate_args=False)
