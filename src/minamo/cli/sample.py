"""minamo sample."""

from __future__ import annotations

from typing import Annotated

import typer

from minamo.cli import arguments as a


def sample(
    run: a.RunArgument,
    output: a.OutputOption,
    n: Annotated[int, typer.Option("-n", "--number", min=1, help="How many.")] = 64,
    draw: Annotated[bool, typer.Option("--draw/--mean", help="x ~ p(x|z), or its mean.")] = False,
    seed: Annotated[int | None, typer.Option(help="Of the draws; default: the run's.", show_default=False)] = None,
) -> None:
    """Draw z from the prior and decode: decoder means (default) or draws."""
    from minamo.report import grid

    a.check_ending(output, (".png", ".npz", ".npy", ".csv"))
    vae = a.open_model(run)
    x = vae.sample(n, draw=draw, seed=seed)
    if output.suffix.lower() == ".png":
        a.write_picture(output, vae, lambda shape: grid(a.intensities(vae, x), shape))
    else:
        a.write_values(output, x, a.column_names(vae))
    print(f"{output}: {n} samples, {'draws from' if draw else 'means of'} p(x|z) with z from the prior")
