"""minamo data."""

from __future__ import annotations

from typing import Annotated

import typer

from minamo.cli.arguments import SOURCE_HELP


def data(
    source: Annotated[str | None, typer.Argument(metavar="[SOURCE]", help=SOURCE_HELP, show_default=False)] = None,
) -> None:
    """List the data sets at hand, or describe one."""
    print(_listing() if source is None else _description(source))


def _listing() -> str:
    from minamo.data.builtin import ADDRESSES, cache, found

    lines = ["digits         built in: 1797 images of 8 x 8"]
    for name in ADDRESSES:
        path = found(name)
        state = str(path) if path else f"not in {cache()}; downloaded there when first used, or set MINAMO_DATA"
        lines.append(f"{name:<14} {state}")
    return "\n".join(lines)


def _description(source: str) -> str:
    from minamo.data import gather, load
    from minamo.words import choose_likelihood

    found = load(source)
    facts = gather(found)
    shape = " x ".join(map(str, found.schema.shape))
    word, why = choose_likelihood(facts, "none")
    lines = [
        f"{found.name}: {len(found)} rows of {shape} ({found.schema.kind}, stored as {found.x.dtype})",
        f"{found.schema.unit}, from {facts.low:g} to {facts.high:g}",
        f"constant columns: {len(facts.constant)} of {found.schema.n_columns}",
        f"likelihood auto would take {word}: {why}",
        f"fingerprint {found.fingerprint()[:16]}",
    ]
    if found.part != "all":
        lines.insert(1, f"this is its {found.part} part")
    return "\n".join(lines)
