"""minamo evidence."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minamo.cli import arguments as a
from minamo.cli.progress import Count

if TYPE_CHECKING:
    from minamo.data import Rows
    from minamo.estimator import VAE
    from minamo.evidence import Annealing, Evidence, Measure

SAMPLED = 1000
"""Rows by which an interrupted evaluation knows its data again."""
Table = list[tuple[str, "Measure"]]
Part = tuple[dict[str, Any], Table, list[str]]
"""What a further measure adds: to the JSON object, to the table, and below the table."""


def evidence(
    run: a.RunArgument,
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="Default: the run's own data.", show_default=False)
    ] = None,
    split: a.SplitOption = None,
    samples: Annotated[
        str, typer.Option(help="K, draws of z for each datum; or a list such as 100,1000,5000.")
    ] = "100",
    gaps: Annotated[
        bool, typer.Option("--gaps", help="Also split log p - ELBO into approximation and amortization gap.")
    ] = False,
    ais: Annotated[bool, typer.Option("--ais", help="Also bound log p by annealed importance sampling.")] = False,
    sandwich: Annotated[
        int | None, typer.Option(min=2, help="Also bound log p from both sides, on N simulated data.", metavar="N")
    ] = None,
    calibration: Annotated[
        int | None, typer.Option(min=100, help="Also test q(z|x) for being the posterior, on N of them.", metavar="N")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="OTHER", help="Also compare with another run, on the same rows.")
    ] = None,
    temperatures: Annotated[
        int | None, typer.Option(min=1, help="Of --ais and --sandwich; default 500.", show_default=False)
    ] = None,
    chains: Annotated[
        int | None, typer.Option(min=1, help="Of --ais and --sandwich; default 8.", show_default=False)
    ] = None,
    memory: Annotated[float, typer.Option(min=0.001, help="GB to be held beside model and data, at most.")] = 1.0,
    rows: Annotated[int | None, typer.Option(min=2, help="Measure so many rows only.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="Of the draws; default: the run's.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Measure a fitted model: ELBO, its two terms and IWAE-K, with standard errors."""
    ks, vae = _counts(samples), a.open_model(run)
    other = None if against is None else a.open_model(against)
    chosen = _choose(vae, run, source, split)
    served = chosen.rows if rows is None else chosen.rows.spread(rows)
    budget, seeded = int(memory * 1e9), vae.seed_ if seed is None else seed
    path = _path(temperatures, chains)
    names = (str(run), str(against))
    parts: list[Part] = []
    # Refused, if at all, before the work begins.
    if other is not None:
        _refuse_other_rows(vae, other, chosen, names)
    of = {"source": chosen.source, "split": chosen.split, "rows": len(served), "samples": ks, "seed": seeded}
    with Count(len(served), "rows") as count:
        telling = _telling(count, ks[-1])
        found = vae.evidence(served, ks, seed=seed, memory=budget, progress=telling, kept=_kept(run, served, of))
    _refuse_impossible(vae, chosen, found.iwae)
    if ais:
        parts.append(_annealed(vae, chosen, served, path, found, seeded, budget))
    if sandwich:
        parts.append(_sandwiched(vae, served, sandwich, path, seeded, budget))
    if calibration:
        parts.append(_calibrated(vae, served, calibration, seeded, budget))
    if other is not None:
        parts.append(_compared(vae, other, served, found, names, seeded, budget))
    if gaps:
        with Count(len(served), "rows") as count:
            ladder = vae.gaps(served, ks[-1], seed=seed, progress=count.show)
        parts.append(({"gaps": ladder.to_json()}, [], [str(ladder)]))
    told = {**found.to_json(), "source": chosen.source, "split": chosen.split, "seed": seeded}
    for part, _, _ in parts:
        told |= part
    if as_json:
        print(json.dumps(told))
    else:
        show(found, f"{chosen.source}, {chosen.split}", parts)
    _record(run, told)


def _kept(run: Path, served: Rows, of: dict[str, Any]) -> Any:
    """Where the evaluation of a run goes on from after an interruption, given its arithmetic."""
    import hashlib

    from minamo.run import Run

    if run.is_file():
        return None
    some = next(served.spread(SAMPLED).batches(SAMPLED))
    of = {**of, "data": hashlib.sha256(some.x.numpy().tobytes()).hexdigest()}
    return lambda arithmetic: Run.open(run).kept_weights({**of, "arithmetic": arithmetic})


def show(found: Evidence, title: str, parts: list[Part] | None = None) -> None:
    """Print the table, and what stands below it."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Evidence: {title}", box=box.SIMPLE_HEAD, title_justify="left")
    for name, side in (("measure", "left"), ("value ± standard error", "right"), ("unit", "left")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for name, measure in [*found.shown, *(row for _, rows, _ in parts or [] for row in rows)]:
        table.add_row(name, str(measure), measure.unit)
    console = Console(highlight=False)
    console.print(table)
    for remark in [*found.remarks, *(line for _, _, lines in parts or [] for line in lines)]:
        console.print(remark, soft_wrap=True)


def _counts(samples: str) -> list[int]:
    """The numbers of draws in a list such as 100,1000,5000."""
    from minamo.errors import ConfigError

    try:
        ks = sorted({int(word) for word in samples.split(",")})
    except ValueError:
        ks = []
    if not ks or ks[0] < 1:
        raise ConfigError(f"--samples takes numbers of draws such as 100 or 100,1000,5000, got '{samples}'")
    return ks


def _path(temperatures: int | None, chains: int | None) -> Annealing:
    """The defaults of annealing, but for what was asked."""
    from minamo.evidence import Annealing

    usual = Annealing()
    return Annealing(temperatures or usual.temperatures, chains or usual.chains)


def _telling(count: Count, k: int) -> Any:
    return lambda done, mean, se: count.show(done, f"iwae-{k} {mean:.2f} ± {se:.2f} so far")


def _annealed(
    vae: VAE, chosen: a.Chosen, served: Rows, path: Annealing, known: Evidence, seed: int, memory: int
) -> Part:
    """Annealed importance sampling of the rows, and what it finds above the best of the other bounds."""
    from minamo.evidence import Measure, annealed

    with Count(len(served), "rows annealed") as count:
        found = annealed(vae.model_, served, path, seed=seed, memory=memory, progress=count.show)
    assert known.by_row is not None
    log_p = Measure.mean_of(found.log_p, "nats/datum")
    _refuse_impossible(vae, chosen, log_p)
    table = [
        (f"ais-{path.temperatures}", log_p),
        (f"ais - iwae-{known.samples}", Measure.mean_of(found.log_p - known.by_row, "nats/datum, paired")),
        ("effective_chains", Measure.mean_of(found.effective, f"of {path.chains} chains")),
    ]
    names = ("log_p", "above_iwae", "effective_chains")
    plain = {name: measure.to_json() for name, (_, measure) in zip(names, table, strict=True)}
    return {"ais": {**plain, "temperatures": path.temperatures, "chains": path.chains}}, table, []


def _sandwiched(vae: VAE, served: Rows, n: int, path: Annealing, seed: int, memory: int) -> Part:
    """Both bounds on data drawn from the model."""
    from minamo.evidence import sandwich

    with Count(n, "simulated data") as count:
        found = sandwich(vae.model_, n, path, seed=seed, memory=memory, log_det=served.log_det, progress=count.show)
    return {"sandwich": found.to_json()}, [], [str(found)]


def _calibrated(vae: VAE, served: Rows, n: int, seed: int, memory: int) -> Part:
    """Ranks on data drawn from the model, predictive coverage on the rows."""
    from minamo.evidence import calibration, predictive_coverage

    ranks = calibration(vae.model_, n, seed=seed, memory=memory)
    cover = predictive_coverage(vae.model_, served, seed=seed, memory=memory)
    plain = {**ranks.to_json(), "predictive_coverage": cover.to_json()}
    return {"calibration": plain}, [("predictive_coverage", cover)], [str(ranks)]


def _compared(
    vae: VAE, other: VAE, served: Rows, found: Evidence, names: tuple[str, str], seed: int, memory: int
) -> Part:
    """The paired difference to another model."""
    from minamo.evidence import compare

    k = found.samples
    # What bf16 costs is little beside an error of evidence, but a difference may be smaller still.
    known = found.by_row if found.arithmetic.startswith("float32") else None
    with Count(len(served), "rows compared") as count:
        ours, theirs = vae.paired(
            [other], served, k, names=names, seed=seed, memory=memory, progress=_telling(count, k), known=known
        )
    compared = compare(ours, theirs, names, f"iwae-{k}")
    return {"comparison": compared.to_json()}, [], [str(compared)]


def _refuse_impossible(vae: VAE, chosen: a.Chosen, log_p: Measure) -> None:
    """Rows that a model has seen with the very bits they are judged by have no floor."""
    from minamo.evidence import refuse_below_floor

    how = vae.prepare_.binarize
    if how == "dynamic" or (how == "fixed" and chosen.split != "train"):
        refuse_below_floor(chosen.source, log_p)


def _refuse_other_rows(vae: VAE, other: VAE, chosen: a.Chosen, names: tuple[str, str]) -> None:
    """Training and held-out rows are those of one run; of another they may be neither."""
    from minamo.errors import DataError

    vae.refuse_unlike(other, names, own=chosen.rows.numbers is not None)
    if chosen.split in ("train", "validation") and (vae.validation, vae.seed_) != (other.validation, other.seed_):
        raise DataError(
            f"the {chosen.split} rows of {names[0]} are not those of {names[1]}, whose held-out rows differ: name a "
            "SOURCE that neither was trained on, such as mnist --split test"
        )


def _record(run: Path, told: dict[str, Any]) -> None:
    """Keep what was measured in the run; one that cannot be written to has still been measured."""
    from minamo.errors import RunError
    from minamo.run import Run

    if run.is_file():
        return
    Run.open(run).forget_weights()
    try:
        Run.open(run).add_measured(told)
    except RunError as error:
        print(f"note: not kept in the run: {error}", file=sys.stderr)


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
