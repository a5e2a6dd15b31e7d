"""minamo encode."""

from __future__ import annotations

from minamo.cli import arguments as a


def encode(run: a.RunArgument, source: a.SourceArgument, output: a.OutputOption, split: a.SplitOption = None) -> None:
    """Write the posterior mean of every row: the same rows give the same answers."""
    a.check_ending(output, (".npz", ".npy", ".csv"))
    vae = a.open_model(run)
    z = vae.transform(a.choose(vae, source, split).rows)
    a.write_values(output, z, a.latent_names(vae))
    print(f"{output}: posterior means of {a.counted(len(z), 'row')}, {z.shape[1]} latents")
