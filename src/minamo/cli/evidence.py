"""minamo evidence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minamo.cli import arguments as a
from minamo.cli.progress import Count

if TYPE_CHECKING:
    from minamo.estimator import VAE
    from minamo.evidence import Evidence


def evidence(
    run: a.RunArgument,
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="Default: the run's own data.", show_default=False)
    ] = None,
    split: a.SplitOption = None,
    samples: Annotated[int, typer.Option(min=1, help="K, draws of z for each datum.")] = 100,
    gaps: Annotated[
        bool, typer.Option("--gaps", help="Also split log p - ELBO into approximation and amortization gap.")
    ] = False,
    rows: Annotated[int | None, typer.Option(min=2, help="Measure so many rows only.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="Of the draws; default: the run's.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Measure a fitted model: ELBO, its two terms and IWAE-K, with standard errors."""
    vae = a.open_model(run)
    chosen = _choose(vae, run, source, split)
    served = chosen.rows if rows is None else chosen.rows.spread(rows)
    found = vae.evidence(served, samples, seed=seed)
    ladder = None
    if gaps:
        with Count(len(served), "rows") as count:
            ladder = vae.gaps(served, samples, seed=seed, progress=count.show)
    if as_json:
        told = {**found.to_json(), "source": chosen.source, "split": chosen.split}
        print(json.dumps(told if ladder is None else {**told, "gaps": ladder.to_json()}))
        return
    show(found, f"{chosen.source}, {chosen.split}")
    if ladder is not None:
        print(ladder)


def show(found: Evidence, title: str) -> None:
    """Print the table."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Evidence: {title}", box=box.SIMPLE_HEAD, title_justify="left")
    for name, side in (("measure", "left"), ("value ± standard error", "right"), ("unit", "left")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for name, measure in found.measures.items():
        table.add_row(f"iwae-{found.samples}" if name == "iwae" else name, str(measure), measure.unit)
    console = Console(highlight=False)
    console.print(table)
    for remark in found.remarks:
        console.print(remark, soft_wrap=True)


def _choose(vae: VAE, run: Path, source: str | None, split: str | None) -> a.Chosen:
    """The rows that were asked for; of data that come in parts the test rows are meant, of its own the held-out."""
    from minamo.data.source import has_test
    from minamo.errors import ConfigError
    from minamo.run import Run

    if source is not None:
        return a.choose(vae, source, split or ("test" if has_test(source) else None))
    if run.is_file():
        raise ConfigError("a model file does not know where its data lie: name a SOURCE")
    source = str(Run.open(run).config["source"])
    return a.choose(vae, source, split or ("validation" if vae.validation else "train"), own=split != "test")
