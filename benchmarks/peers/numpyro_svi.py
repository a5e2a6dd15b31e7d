"""NumPyro: SVI with Trace_ELBO as in its VAE example, on resident bytes, a whole epoch in one jitted lax.scan.

Trace_ELBO takes the KL at the draw of z, not in closed form: the same expectation. It sums over the batch where others
take the mean; Adam does not mind.
"""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax import lax, random
from numpyro import distributions as dist
from numpyro.infer import SVI, Trace_ELBO

from benchmarks.peers.jax_scan import apply, batch_of, mlp
from benchmarks.peers.protocol import Contender, Work, serve


class NumpyroSvi(Contender):
    """One call an epoch."""

    def __init__(self, work: Work, x: np.ndarray, held: np.ndarray | None):
        # Of a grey value, validated, the log-probability would be -inf.
        numpyro.enable_validation(False)
        n, columns = x.shape

        def model(batch):
            decoder = numpyro.param("decoder", lambda key: mlp(key, work.latent, work.width, columns))
            with numpyro.plate("batch", len(batch)):
                z = numpyro.sample("z", dist.Normal(0, 1).expand([work.latent]).to_event(1))
                numpyro.sample("x", dist.Bernoulli(logits=apply(decoder, z)).to_event(1), obs=batch)

        def guide(batch):
            encoder = numpyro.param("encoder", lambda key: mlp(key, columns, work.width, 2 * work.latent))
            mu, log_var = jnp.split(apply(encoder, batch), 2, axis=-1)
            with numpyro.plate("batch", len(batch)):
                numpyro.sample("z", dist.Normal(mu, jnp.exp(0.5 * log_var)).to_event(1))

        svi = SVI(model, guide, numpyro.optim.Adam(work.lr), Trace_ELBO())

        def epoch(state, key, data):
            for_order, for_steps = random.split(key)
            order = random.permutation(for_order, n).reshape(-1, work.batch)
            keys = random.split(for_steps, len(order))
            state, losses = lax.scan(
                lambda s, i: svi.update(s, batch_of(i[1], data[i[0]], work.binarize)), state, (order, keys)
            )
            return state, losses.sum() / n

        self.key, key = random.split(random.key(work.seed))
        self.state = svi.init(key, jnp.zeros((work.batch, columns)))
        self.data = jax.device_put(x)
        self.held = None if held is None else jnp.asarray(held, jnp.float32)
        self.run = jax.jit(epoch, donate_argnums=0)
        self.judge = jax.jit(svi.evaluate)

    def epoch(self) -> float:
        """One call: the order, all steps, the sum."""
        self.key, key = random.split(self.key)
        self.state, loss = self.run(self.state, key, self.data)
        return -float(loss)

    def validate(self) -> float:
        """One call of SVI.evaluate."""
        assert self.held is not None
        return -float(self.judge(self.state, self.held)) / len(self.held)


if __name__ == "__main__":
    serve(NumpyroSvi)
