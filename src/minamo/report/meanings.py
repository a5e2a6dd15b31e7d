"""What each number of a report means, in one plain sentence."""

from __future__ import annotations

MEANINGS = {
    "elbo": "A lower bound on log p(x), the log-density the model gives to a datum: reconstruction less KL. "
    "Higher is better.",
    "reconstruction": "J1: how well a datum is decoded from draws of its own latents.",
    "kl": "J2: what the latents of a datum cost, beyond what the prior knows of them.",
    "iwae": "A tighter lower bound on log p(x) from {samples} draws; what separates it from the ELBO is lost by "
    "the encoder.",
    "bits_per_dim": "The same bound as the bits that one column would take. Lower is better.",
    "active_units": "Latents that move with the datum: the variance of their posterior mean exceeds 0.01.",
    "mutual_information": "How much a latent tells about which datum it came from; at the ceiling it tells every one "
    "of them from every other.",
    "scale": "sigma of the normal likelihood: the typical error of a reconstruction.",
    "var": "sigma^2 of the normal likelihood.",
    "forecast_units": "How many latents a linear decoder could keep alive, computed before training.",
    "steps": "Gradient steps that the posterior took.",
    "marginal_kl": "How far the aggregated posterior lies from the prior: what samples from the prior miss.",
    "effective_samples": "How many equally weighted draws say as much as the {samples} that were made.",
    "pareto_k": "How heavy the tail of the importance weights is; above 0.7 their mean cannot be relied on.",
    "unreliable": "Share of data for which that is so: their log p may be well above the bound.",
}
"""By the name of a measure; `{samples}` is K."""


def meaning(name: str, samples: object) -> str:
    """The sentence for a measure, or an empty one where none is known."""
    if name.startswith("iwae"):
        samples, name = name.partition("-")[2] or samples, "iwae"
    return MEANINGS.get(name, "").format(samples=samples)
