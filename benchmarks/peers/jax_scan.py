"""JAX and optax: bytes resident, a whole epoch in one jitted lax.scan, permuted on the device, state donated.

Tried, and no faster on 2 cores: unrolling the scan, the rbg generator.
"""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax, random

from benchmarks.peers.protocol import Contender, Work, serve


def linear(key, n_in: int, n_out: int) -> dict:
    """Weights of an affine map as PyTorch draws them: uniform within 1 / sqrt(n_in)."""
    bound = n_in**-0.5
    weight, bias = random.split(key)
    return {
        "w": random.uniform(weight, (n_in, n_out), minval=-bound, maxval=bound),
        "b": random.uniform(bias, (n_out,), minval=-bound, maxval=bound),
    }


def mlp(key, n_in: int, width: int, n_out: int) -> list[dict]:
    """Weights of a net with one hidden layer."""
    first, last = random.split(key)
    return [linear(first, n_in, width), linear(last, width, n_out)]


def apply(net: list[dict], x):
    """[..., n_in] -> [..., n_out], ReLU between the two layers."""
    h = jax.nn.relu(x @ net[0]["w"] + net[0]["b"])
    return h @ net[1]["w"] + net[1]["b"]


def batch_of(key, stored, binarize: bool):
    """Bytes -> the floats of a batch."""
    x = stored.astype(jnp.float32) / 255
    return random.bernoulli(key, x).astype(jnp.float32) if binarize else x


def negative_elbo(params: dict, key, x):
    """Nats per datum, mean over the batch."""
    mu, log_var = jnp.split(apply(params["encoder"], x), 2, axis=-1)
    z = mu + jnp.exp(0.5 * log_var) * random.normal(key, mu.shape)
    logits = apply(params["decoder"], z)
    # optax.sigmoid_binary_cross_entropy takes two logarithms of a sigmoid where one will do: an epoch takes 11% longer.
    bce = (jnp.maximum(logits, 0) + jnp.log1p(jnp.exp(-jnp.abs(logits))) - x * logits).sum(-1)
    kl = 0.5 * (mu**2 + jnp.exp(log_var) - 1 - log_var).sum(-1)
    return (bce + kl).mean()


class JaxScan(Contender):
    """One call an epoch."""

    def __init__(self, work: Work, x: np.ndarray, held: np.ndarray | None):
        n, columns = x.shape
        adam = optax.adam(work.lr)

        def step(state, inputs):
            params, moments = state
            stored, key = inputs
            for_x, for_z = random.split(key)
            loss, grads = jax.value_and_grad(negative_elbo)(params, for_z, batch_of(for_x, stored, work.binarize))
            updates, moments = adam.update(grads, moments, params)
            return (optax.apply_updates(params, updates), moments), loss

        def epoch(state, key, data):
            for_order, for_steps = random.split(key)
            order = random.permutation(for_order, n).reshape(-1, work.batch)
            keys = random.split(for_steps, len(order))
            state, losses = lax.scan(lambda s, i: step(s, (data[i[0]], i[1])), state, (order, keys))
            return state, losses.mean()

        self.key, for_encoder, for_decoder = random.split(random.key(work.seed), 3)
        params = {
            "encoder": mlp(for_encoder, columns, work.width, 2 * work.latent),
            "decoder": mlp(for_decoder, work.latent, work.width, columns),
        }
        self.state = (params, adam.init(params))
        self.data = jax.device_put(x)
        self.held = None if held is None else jnp.asarray(held, jnp.float32)
        self.run = jax.jit(epoch, donate_argnums=0)
        self.judge = jax.jit(negative_elbo)

    def epoch(self) -> float:
        """One call: the order, all steps, the mean."""
        self.key, key = random.split(self.key)
        self.state, loss = self.run(self.state, key, self.data)
        return -float(loss)

    def validate(self) -> float:
        """One jitted call."""
        self.key, key = random.split(self.key)
        return -float(self.judge(self.state[0], key, self.held))


if __name__ == "__main__":
    serve(JaxScan)
