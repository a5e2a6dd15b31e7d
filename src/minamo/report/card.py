"""A model as a notebook shows it: a small card of HTML, of what is known already; nothing is measured for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minamo import words
from minamo.estimator import VAE
from minamo.evidence import reference
from minamo.likelihoods import Normal
from minamo.report.opened import Opened
from minamo.report.summary import ending
from minamo.report.templates import environment

NAMED = 6
"""Columns whose names are shown."""


def card(vae: VAE) -> str:
    """Return an HTML fragment that needs no network and no script; every text is escaped.

    Args:
        vae: not fitted, its parameters are shown where they are not the defaults; fitted, what it has become.
    """
    told: dict[str, Any] = {"name": type(vae).__name__, "notes": ()}
    if hasattr(vae, "description_"):
        told |= {"state": ending(Opened(Path(), vae=vae)), "lines": _fitted(vae), "notes": vae.notes_}
    else:
        told["lines"] = _changed(vae)
        told["state"] = "not fitted" + ("" if told["lines"] else "; all parameters have their defaults")
    return environment().get_template("card.html").render(told)


def _changed(vae: VAE) -> list[tuple[str, str]]:
    """Parameters that are not the defaults."""
    usual = type(vae)().get_params()
    # By their words: two arrays have no single answer to whether they are equal.
    return [(name, repr(v)) for name, v in vae.get_params().items() if repr(v) != repr(usual[name])]


def _fitted(vae: VAE) -> list[tuple[str, str]]:
    """A line for each thing that is known of a fitted model."""
    description, model = vae.description_, vae.model_
    params = description["params"]
    net = " ".join([params["net"], "-".join(map(str, params["hidden"] or words.NETS[params["net"]]))]).strip()
    foretold = description.get("forecast")
    lines = [
        ("data", _data(vae)),
        ("prior", _prior(vae)),
        ("likelihood", _likelihood(vae)),
        ("posterior", f"{params['posterior']}, {params['family']}; net {net}"),
        (
            "latents",
            f"{description['latent_dim']}"
            + ("" if foretold is None else f", of which a linear decoder could keep {foretold} alive"),
        ),
        ("weights", _weights(model)),
    ]
    found = vae.evidence_
    if found is not None:
        bounds = f"ELBO {found.elbo} {found.elbo.unit}, iwae-{found.samples} {found.iwae}"
        lines.append(("last measured", f"{bounds}, of {found.elbo.n} rows"))
    return lines


def _data(vae: VAE) -> str:
    schema, data = vae.schema_, vae.description_["data"]
    rows = (
        f"images of {' × '.join(map(str, schema.shape))}"
        if schema.kind == "image"
        else f"rows of {schema.n_columns} columns"
    )
    names = ", ".join(map(str, schema.names[:NAMED])) + (", ..." if len(schema.names) > NAMED else "")
    told = f"{data['name']}: {data['rows']} {rows}, {data['training_rows']} to train on"
    return told + (f" ({names})" if names else "")


def _prior(vae: VAE) -> str:
    params, after = vae.description_["params"], vae.description_.get("ex_post")
    told = "N(0, I)" if params["prior"] == "normal" else params["prior"]
    told += f" of {params['components']} components" if params["prior"] in ("mixture", "vamp") else ""
    return told + (", fitted after training" if after else "")


def _likelihood(vae: VAE) -> str:
    law = vae.model_.likelihood
    sigma = f", sigma {float(law.scale.detach()):.4g} (model units)" if isinstance(law, Normal) else ""
    binarized = "" if vae.prepare_.binarize == "none" else f", data binarized ({vae.prepare_.binarize})"
    return f"{law.name}{sigma}{binarized}; densities with respect to {reference(law, vae.schema_.unit)}"


def _weights(model: Any) -> str:
    """How many numbers are learned, and by which part; those that two parts share count for the first."""
    parts = {"p(z)": model.prior, "p(x|z)": model.likelihood, "q(z|x)": model.posterior}
    counted = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    each = ", ".join(f"{n:,} of {name}" for name, n in counted.items() if n)
    return f"{sum(counted.values()):,}" + (f": {each}" if each else "")
