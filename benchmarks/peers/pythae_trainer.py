"""pythae: its VAE with an encoder and a decoder of our shape, an epoch being its BaseTrainer's own train_step.

Its loss "bce" sums over columns and takes the mean over the batch, and train_step returns the mean of that over
batches: the negative ELBO per datum. It works on probabilities, so the decoder ends in a sigmoid. What
BaseTrainer.train does beside train_step (copying the best model, checkpoints, progress bars) is left out. pythae 0.1.2
neither imports torchvision nor asks for it.
"""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import logging
import tempfile

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import CallbackHandler
from torch import Tensor, nn

from benchmarks.peers.protocol import Contender, Work, serve


class Encoder(BaseEncoder):
    """x -> mean and log variance of z."""

    def __init__(self, n_columns: int, width: int, latent: int):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_columns, width), nn.ReLU())
        self.mu, self.log_var = nn.Linear(width, latent), nn.Linear(width, latent)

    def forward(self, x: Tensor) -> ModelOutput:
        """[B, D] -> 2 x [B, L]."""
        h = self.body(x)
        return ModelOutput(embedding=self.mu(h), log_covariance=self.log_var(h))


class Decoder(BaseDecoder):
    """z -> probabilities."""

    def __init__(self, n_columns: int, width: int, latent: int):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(latent, width), nn.ReLU(), nn.Linear(width, n_columns), nn.Sigmoid())

    def forward(self, z: Tensor) -> ModelOutput:
        """[B, L] -> [B, D]."""
        return ModelOutput(reconstruction=self.body(z))


class Binarized(VAE):
    """Draws x ~ Bernoulli(x) for a whole batch: faster than in a dataset's __getitem__. 0 and 1 stay as they are."""

    def forward(self, inputs, **kwargs) -> ModelOutput:
        """As VAE.forward."""
        return super().forward({"data": torch.bernoulli(inputs["data"])}, **kwargs)


class Quiet(BaseTrainer):
    """Without the progress bar and the printer that BaseTrainer always adds."""

    def _setup_callbacks(self) -> None:
        self.callback_handler = CallbackHandler(callbacks=[], model=self.model)


class PythaeTrainer(Contender):
    """Its DataLoader, its loop."""

    def __init__(self, work: Work, x: np.ndarray, held: np.ndarray | None):
        logging.disable(logging.INFO)
        torch.manual_seed(work.seed)
        columns = x.shape[1]
        shape = columns, work.width, work.latent
        config = VAEConfig(input_dim=(columns,), latent_dim=work.latent, reconstruction_loss="bce")
        model = (Binarized if work.binarize else VAE)(config, encoder=Encoder(*shape), decoder=Decoder(*shape))
        # Asked for by prepare_training; nothing is written there.
        self.folder = tempfile.TemporaryDirectory()
        self.trainer = Quiet(
            model,
            BaseDataset(torch.from_numpy(x).float() / 255, torch.zeros(len(x))),
            None if held is None else BaseDataset(torch.from_numpy(held), torch.zeros(len(held))),
            BaseTrainerConfig(
                output_dir=self.folder.name,
                per_device_train_batch_size=work.batch,
                per_device_eval_batch_size=1000,  # 10,000 rows in equal batches: the mean of their means is the mean
                learning_rate=work.lr,
                seed=work.seed,
                no_cuda=True,
            ),
        )
        self.trainer.prepare_training()
        self.n_epochs = 0

    def epoch(self) -> float:
        """The trainer's own; it counts them."""
        self.n_epochs += 1
        return -float(self.trainer.train_step(self.n_epochs))

    def validate(self) -> float:
        """The trainer's eval_step."""
        return -float(self.trainer.eval_step(self.n_epochs))


if __name__ == "__main__":
    serve(PythaeTrainer)
