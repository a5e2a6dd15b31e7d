"""minamo reconstruct."""

from __future__ import annotations

from typing import Annotated

import typer

from minamo.cli import arguments as a


def reconstruct(
    run: a.RunArgument,
    source: a.SourceArgument,
    output: a.OutputOption,
    split: a.SplitOption = None,
    n: Annotated[int, typer.Option("-n", "--number", min=1, help="Rows in a picture.")] = 32,
) -> None:
    """Encode and decode: the decoder mean at the posterior mean of every row."""
    from minamo.report import pairs

    a.check_ending(output, (".png", ".npz", ".npy", ".csv"))
    vae = a.open_model(run)
    rows = a.choose(vae, source, split).rows
    if output.suffix.lower() == ".png":
        rows = rows.first(n)
        shown = a.intensities(vae, vae.seen(rows)), a.intensities(vae, vae.reconstruct(rows))
        a.write_picture(output, vae, lambda shape: pairs(*shown, shape))
        print(f"{output}: {a.counted(len(rows), 'row')} above their reconstructions")
        return
    a.write_values(output, vae.reconstruct(rows), a.column_names(vae))
    print(f"{output}: reconstructions of {a.counted(len(rows), 'row')}")
