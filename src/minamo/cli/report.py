"""minamo report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minamo.cli import arguments as a

COMPARISON = "comparison.html"


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="A folder that minamo fit wrote, or several.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help=f"Default: report.html in the run; of several, {COMPARISON} here.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write one page that says all of a run, or sets several side by side with their paired differences."""
    from minamo.files import write_atomically
    from minamo.report import differences, open_run, render, render_side_by_side, summarize
    from minamo.run import REPORT

    place = output or (runs[0] / REPORT if len(runs) == 1 else Path(COMPARISON))
    a.check_ending(place, (".html", ".htm"))
    if len(runs) == 1:
        summary = summarize(open_run(runs[0]))
        page, missing = render(summary), summary["missing"]
    else:
        opened, names = [open_run(path) for path in runs], _names(runs)
        told = differences(opened, names)
        summaries = [{**summarize(run), "name": name} for run, name in zip(opened, names, strict=True)]
        page, missing = render_side_by_side(summaries, told), [m for s in summaries for m in s["missing"]]
    write_atomically(place, lambda file: file.write(page.encode()))
    for sentence in missing:
        print(f"missing: {sentence}")
    print(f"{place}: {len(page.encode()) / 1e6:.1f} MB, opens in a browser")


def _names(runs: list[Path]) -> list[str]:
    """The folders' names, or as much of their paths as tells them apart."""
    short = [path.resolve().name for path in runs]
    return short if len(set(short)) == len(short) else [str(path) for path in runs]
