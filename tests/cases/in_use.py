"""One row for each part that a step may be made of: how VAE is asked for it, and a plan with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from minamo import VAE
from minamo.data import as_dataset
from minamo.plan import Plan
from minamo.words import FAMILIES, LIKELIHOODS, NETS, OBJECTIVES, PRIORS
from tests.test_parts_in_use import SMALL, data

PARTS: dict[str, dict[str, Any]] = {
    **{f"likelihood {word}": {"likelihood": word} for word in LIKELIHOODS},
    **{f"prior {word}": {"prior": word, "components": 5} for word in PRIORS},
    **{f"family {word}": {"family": word} for word in FAMILIES},
    **{f"net {word}": {"net": word} for word in NETS if "conv" not in word and word != "linear"},
    **{f"objective {word}": {"objective": word, "draws": 1 + (word in ("iwae", "dreg"))} for word in OBJECTIVES},
    "posterior semi-amortized": {"posterior": "semi-amortized"},
    "posterior per-datum": {"posterior": "per-datum"},
    "posterior exact": {"posterior": "exact", "net": "linear"},
    "scale analytic": {"scale": "analytic"},
    "binarized": {"likelihood": "bernoulli", "binarize": "dynamic"},
}


def planned(options: dict[str, Any], **more: Any) -> tuple[VAE, Plan]:
    """A model of data that its likelihood is for, ready to be trained."""
    options = {**SMALL, "likelihood": "normal", **options, **more}
    if options.get("net") == "linear":
        options["hidden"] = None
    x = data(options["likelihood"])[:100]
    if options.get("binarize"):
        x = x.astype(np.uint8) * 255
    vae = VAE(**options)
    return vae, vae.plan(as_dataset(x, "x"))
