"""minamo score."""

from __future__ import annotations

from typing import Annotated

import typer

from minamo.cli import arguments as a


def score(
    run: a.RunArgument,
    source: a.SourceArgument,
    output: a.OutputOption,
    split: a.SplitOption = None,
    samples: Annotated[int, typer.Option(min=1, help="K, draws of z for each row.")] = 100,
) -> None:
    """Write log p(x) of every row (IWAE-K, nats): low values are surprising rows."""
    a.check_ending(output, (".npz", ".npy", ".csv"))
    vae = a.open_model(run)
    log_p = vae.score_samples(a.choose(vae, source, split).rows, samples)
    a.write_values(output, log_p[:, None], ["log_p"])
    print(f"{output}: log p(x) of {a.counted(len(log_p), 'row')}, mean {log_p.mean():.4f} nats")
