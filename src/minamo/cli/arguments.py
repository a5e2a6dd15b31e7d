"""Arguments that several commands share, and what they are turned into."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

if TYPE_CHECKING:
    import numpy as np

    from minamo.data import Rows
    from minamo.estimator import VAE

SOURCE_HELP = "A .npz, .npy, .csv or .parquet file, a folder of images, or digits, mnist, fashion-mnist."

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A folder that minamo fit wrote, or a model file.")]
SourceArgument = Annotated[str, typer.Argument(metavar="SOURCE", help=SOURCE_HELP)]
OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write, by its ending.")]
SplitOption = Annotated[
    str | None, typer.Option("--split", help="train, validation, test or all: which rows.", show_default=False)
]
INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""
SPLITS = ("train", "validation", "test", "all")


def open_model(run: Path) -> VAE:
    """The fitted model of a run directory, or of a model file."""
    from minamo.estimator import VAE
    from minamo.run import Run

    return VAE.load(run if run.is_file() else Run.open(run).model)


class Chosen(NamedTuple):
    """Rows of a source that a command works on."""

    rows: Rows
    source: str
    split: str


def choose(vae: VAE, source: str, split: str | None = None, own: bool = False) -> Chosen:
    """Read the rows that were asked for: the columns the model was fitted on, in their order.

    Args:
        vae: the fitted model.
        source: what `minamo.data.load` takes.
        split: "train" and "validation" are the rows the run trained on and held out, if the source is its own
            data; of other data "train" and "test" are the parts they may come in. None takes all rows of the
            training part, or of data that do not come in parts.
        own: the source was not named, so it must be what it was when the run was fitted.
    """
    from minamo.data import load
    from minamo.data.dataset import aligned
    from minamo.errors import ConfigError
    from minamo.plan import split as split_rows
    from minamo.words import check

    if split is not None:
        check("split", split, SPLITS)
    high = vae.description_["range"][1]
    if split in ("train", "validation"):
        data = aligned(load(source), vae.schema_, high)
        if data.fingerprint() == vae.description_["fingerprint"]:
            train, held_out = split_rows(len(data), vae.validation, vae.seed_)
            index = train if split == "train" else held_out
            if not len(index):
                raise ConfigError("the run held out no validation rows; say train")
            return Chosen(vae.rows(data, index, own=True), data.name, split)
        if own:
            raise ConfigError(f"{source} is not what it was when the run was fitted (its fingerprint differs)")
        if split == "validation":
            raise ConfigError(
                f"{source} is not the data of this run and has no validation rows; say train, test or all"
            )
    data = aligned(load(source, None if split == "all" else split), vae.schema_, high)
    return Chosen(vae.rows(data), data.name, split or "all")


def intensities(vae: VAE, x: np.ndarray) -> np.ndarray:
    """See `minamo.report.intensities`, which is imported when it is used: the help does not wait for it."""
    from minamo.report import intensities

    return intensities(vae, x)


def absolute(source: str) -> str:
    """A path that still holds from another folder; names of built-in data stay as they are."""
    from minamo.data.builtin import NAMES

    return source if source in NAMES else os.path.abspath(source)


def write_values(path: Path, values: Any, names: list[str]) -> None:
    """Write an array [N, C] as .npz (array x), .npy or .csv, whole or not at all."""
    import numpy as np

    from minamo.errors import ConfigError
    from minamo.files import write_atomically

    ending = path.suffix.lower()
    if ending == ".npz":
        write_atomically(path, lambda file: np.savez_compressed(file, x=values))
    elif ending == ".npy":
        write_atomically(path, lambda file: np.save(file, values))
    elif ending == ".csv":
        import pyarrow
        from pyarrow import csv

        table = pyarrow.table({name: values[:, j] for j, name in enumerate(names)})
        write_atomically(path, lambda file: csv.write_csv(table, file))
    else:
        raise ConfigError(f"cannot write '{path.name}': its ending must be .npz, .npy or .csv (or .png for images)")


def write_picture(path: Path, vae: VAE, picture: Any) -> None:
    """Write PNG bytes from `picture(shape)`, if the model is one of images."""
    from minamo.errors import ConfigError
    from minamo.files import write_atomically

    if not is_picture(vae):
        raise ConfigError(f"cannot draw '{path.name}': the model's data are not images; write .npz, .npy or .csv")
    content = picture(vae.schema_.shape)
    write_atomically(path, lambda file: file.write(content))


def is_picture(vae: VAE) -> bool:
    """Whether a datum can be shown as an image."""
    from minamo.report import is_picture

    return is_picture(vae)


def column_names(vae: VAE) -> list[str]:
    """One name for each column of the data."""
    from minamo.report import column_names

    return column_names(vae)


def latent_names(vae: VAE) -> list[str]:
    """z0, z1, ..."""
    return [f"z{j}" for j in range(vae.description_["latent_dim"])]


def check_ending(path: Path, endings: tuple[str, ...]) -> None:
    """Refuse an output file before the work for it is done."""
    from minamo.errors import ConfigError

    if path.suffix.lower() not in endings:
        raise ConfigError(f"cannot write '{path.name}': its ending must be one of {', '.join(endings)}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"cannot write '{path}': the folder {path.absolute().parent} does not exist")


def counted(n: int, what: str) -> str:
    """Say 1 row, 64 rows."""
    return f"{n} {what}" + ("" if n == 1 else "s")
