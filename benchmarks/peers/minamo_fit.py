"""minamo as `minamo fit mnist --binarize dynamic` sets it up: for the time to a given validation ELBO.

All its defaults (two hidden layers of 400, 32 latents, batches of 128), its own reading of the data and its own choice
of a step; the held-out rows are judged after every epoch, by the moving average of the weights, as a run does.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from benchmarks.peers.protocol import Contender, Work, serve
from minamo import VAE, fast_cpu
from minamo.data import Prepare, Rows, as_dataset


class MinamoFit(Contender):
    """One next() an epoch, its validation included."""

    def __init__(self, work: Work, x: np.ndarray, held: np.ndarray | None):
        self.stack = ExitStack()
        self.stack.enter_context(fast_cpu())
        vae = VAE(binarize="dynamic", validation=0, random_state=work.seed, compile=work.extra.get("compile", "auto"))
        plan = vae.plan(as_dataset(x, "mnist", kind="image", divisor=255.0))
        self.note = plan.description["engine"]["said"]
        if held is not None:
            plan = replace(plan, watched=Rows(held, Prepare()), watch_name="validation")
        self.states = vae.train(plan)

    def epoch(self) -> float:
        """Go to the next yield."""
        self.state = next(self.states)
        return self.state.record["elbo"]

    def validate(self) -> float:
        """What the epoch has measured at its end."""
        return self.state.record["validation_elbo"]


if __name__ == "__main__":
    serve(MinamoFit)
