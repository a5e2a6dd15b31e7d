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
    n: Annotated[int, typer.Option("-n", "--number", help="Rows in a picture.")] = 32,
) -> None:
    """Encode and decode: the decoder mean at the posterior mean of every row."""
    from minamo.report import pairs

    a.check_ending(output, (".png", ".npz", ".npy", ".csv"))
    vae = a.open_model(run)
    data = a.choose(vae, source, split).taken
    if output.suffix.lower() == ".png":
        import numpy as np

        data = data.take(np.arange(min(n, len(data))))
        seen = vae.seen(data)
        a.write_picture(output, vae, lambda shape: pairs(seen, vae.reconstruct(data), shape))
        print(f"{output}: {a.counted(len(data), 'row')} above their reconstructions")
        return
    a.write_values(output, vae.reconstruct(data), a.column_names(vae))
    print(f"{output}: reconstructions of {a.counted(len(data), 'row')}")
