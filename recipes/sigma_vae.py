"""What sigma of a normal likelihood does: the literature's sigma = 1 beside one that is learned, on grey images.

Command:  MINAMO_DATA=folder python -m recipes.sigma_vae mnist       (or: fashion-mnist)
Seen:     half a minute each; sigma = 1 beside learned
              mnist           log p -738.69 ± 0.05, 745.1 ± 1.9   rate 6.1, 68   active 7, 30 of 32   sigma 0.087
              fashion-mnist   log p -735.48 ± 0.05, 599.8 ± 2.8   rate 4.9, 39   active 4, 31
          Samples with the learned sigma are sharp, and after so few epochs fewer of them are whole: what the prior
          draws lies where no datum does
Paper:    FID of MNIST samples 59.9 with sigma = 1, 32.2 calibrated: "Simple and Effective VAE Training with Calibrated
          Decoders" (Rybkin, Daniilidis, Levine, 2021)

Two fits that differ in sigma alone: nets 784-400-400-32 and back, pixels in [0, 1], 20 epochs. Printed: log p by 100
importance samples on the 10,000 test images, rate, active latents. Written: samples of both, side by side.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from minamo import VAE, load
from minamo.report import grid
from recipes.training import fitted, judged

SHOWN = 64
GAP_COLUMNS = 1


def main() -> None:
    """Fit both, judge both, draw both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", choices=("mnist", "fashion-mnist"))
    parser.add_argument("--max-epochs", type=int, default=20)
    parser.add_argument("-o", "--output", type=Path, default=Path("sigma.png"))
    options = parser.parse_args()
    test, halves = load(options.data, "test"), []
    for scale in (1.0, "shared"):
        vae = VAE(
            32,
            likelihood="normal",
            scale=scale,
            validation=10_000,
            batch_size=250,
            schedule="cosine",
            max_epochs=options.max_epochs,
        )
        found = judged(fitted(vae, load(options.data, "train")), test, 100)
        print(f"scale {scale}: log p {found.iwae}, rate {found.kl}, active {found.active_units}\n", flush=True)
        halves.append(vae.sample(SHOWN).reshape(8, 8, -1))
    between = np.ones((8, GAP_COLUMNS, halves[0].shape[2]))
    picture = np.concatenate([halves[0], between, halves[1]], 1)
    options.output.write_bytes(grid(picture.reshape(-1, picture.shape[2]), (28, 28), columns=picture.shape[1]))
    print(f"{options.output}: 64 samples with sigma = 1 on the left, with the learned sigma on the right")


if __name__ == "__main__":
    main()
