"""What the recipes share: train while saying how far it is, judge, say how long it took."""

from __future__ import annotations

import time
from pathlib import Path

from minamo import VAE, Evidence, fast_cpu
from minamo.data import Dataset

SAID_EVERY = 20.0
"""Seconds between two lines of a training."""


def fitted(vae: VAE, data: Dataset, save: str | Path | None = None) -> VAE:
    """Fit to `data`, a line now and then; write the model where a place is given."""
    started = said = time.perf_counter()
    with fast_cpu():
        plan = vae.plan(data)
        print("\n".join(vae.notes_), flush=True)
        for state in vae.train(plan):
            line, now = state.record, time.perf_counter()
            if now - said > SAID_EVERY or "note" in line:
                said = now
                watched = "validation_elbo" if "validation_elbo" in line else "training_elbo"
                print(
                    f"epoch {state.epoch:>4}  {line['seconds']:5.0f} s  elbo {line['elbo']:.2f}  "
                    f"{watched.replace('_', ' ')} {line.get(watched, float('nan')):.2f}  {line.get('note', '')}",
                    flush=True,
                )
    print(f"trained {vae.n_epochs_} epochs in {(time.perf_counter() - started) / 60:.1f} minutes", flush=True)
    if save is not None:
        vae.save(save)
    return vae


def judged(vae: VAE, data: Dataset, samples: int) -> Evidence:
    """Measure on `data`, binarized once by seed 0 where it is; print the table."""
    started = time.perf_counter()
    with fast_cpu():
        found = vae.evidence(data, k=samples, seed=0)
    print(found)
    print(f"judged in {(time.perf_counter() - started) / 60:.1f} minutes", flush=True)
    return found
