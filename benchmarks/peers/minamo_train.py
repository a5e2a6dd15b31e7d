"""minamo: its own training loop over resident bytes, without judging convergence.

Further keys of the work: "compile" and "precision", words as in training ("auto" unless given), and "epochs_ahead", the
length of the run that "auto" is to suppose: what repays itself in a run of a minute or more is measured as it will be.
"""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import torch

from benchmarks.peers.protocol import Contender, Work, serve
from minamo import LatentVariableModel
from minamo.data import Prepare, Rows
from minamo.families import Diagonal
from minamo.likelihoods import Bernoulli
from minamo.nets import Mlp
from minamo.posteriors import Amortized
from minamo.priors import StandardNormal
from minamo.randomness import drawing_from, stream
from minamo.training import Settings, choose_engine, fast_cpu, train

EPOCHS_AHEAD = 200


def model_of(columns: int, width: int, latent: int, seed: int) -> LatentVariableModel:
    """Build the model that all contenders train."""
    with drawing_from(stream(seed, "weights")):
        encoder = Mlp(columns, 2 * latent, (width,), torch.nn.ReLU)
        decoder = Mlp(latent, columns, (width,), torch.nn.ReLU)
    return LatentVariableModel(StandardNormal(latent), Bernoulli(decoder), Amortized(encoder, Diagonal(latent)))


class MinamoTrain(Contender):
    """One next() an epoch."""

    def __init__(self, work: Work, x: np.ndarray, held: np.ndarray | None):
        self.stack = ExitStack()
        self.stack.enter_context(fast_cpu())  # as minamo fit does
        model = model_of(x.shape[1], work.width, work.latent, work.seed)
        rows = Rows(x, Prepare(divisor=255.0, binarize="dynamic" if work.binarize else "none"))
        engine, self.note = choose_engine(
            model,
            work.extra.get("compile", "auto"),
            work.extra.get("precision", "auto"),
            work.batch,
            work.extra.get("epochs_ahead", EPOCHS_AHEAD) * len(x) // work.batch,
        )
        self.states = train(model, rows, None, Settings(work.batch, work.lr, 10**9, None, work.seed, engine=engine))

    def epoch(self) -> float:
        """Go to the next yield."""
        return next(self.states).record["elbo"]


if __name__ == "__main__":
    serve(MinamoTrain)
