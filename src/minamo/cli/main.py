"""The program: its commands, and how it fails (one line on stderr, exit code 2)."""

from __future__ import annotations

import signal
import sys
from itertools import pairwise
from typing import Any, NoReturn

import typer

from minamo.cli import data, encode, evidence, explore, fit, reconstruct, report, sample, score
from minamo.cli.arguments import INTERRUPTED
from minamo.errors import MinamoError

app = typer.Typer(
    name="minamo",
    help="Fit variational autoencoders to arrays, tables and images, and report numbers that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.command("fit")(fit.fit)
app.command("evidence")(evidence.evidence)
app.command("sample")(sample.sample)
app.command("reconstruct")(reconstruct.reconstruct)
app.command("encode")(encode.encode)
app.command("score")(score.score)
app.command("report")(report.report)
app.command("explore")(explore.explore)
app.command("data")(data.data)

ClickException: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 2 for a refusal, 130 for an interruption."""
    command: Any = typer.main.get_command(app)
    try:
        return command.main(args=arguments, prog_name="minamo", standalone_mode=False) or 0
    except ClickException as error:
        words = sys.argv[1:] if arguments is None else arguments
        return _refuse((error.format_message() or "no command given; minamo --help lists them") + _given(error, words))
    except MinamoError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
    except MemoryError as error:
        return _refuse(f"not enough memory ({error}); use fewer rows, or a smaller type such as float32")
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        return _refuse("not enough memory for arrays of this size: use fewer latents, narrower layers, fewer samples")
    except (KeyboardInterrupt, typer.Abort):
        return _refuse("interrupted", INTERRUPTED)


def _refuse(message: str, code: int = 2) -> int:
    print("minamo: " + " ".join(message.split()), file=sys.stderr)
    return code


def _given(error: Any, words: list[str]) -> str:
    """What came, where an option's value could not be read."""
    names = getattr(getattr(error, "param", None), "opts", [])
    found = [value for name, value in pairwise(words) if name in names]
    return f", got '{found[0]}'" if found else ""


def _as_interrupt(number: int, frame: object) -> NoReturn:
    """Let `kill` end a run the way Ctrl-C does: with its state saved."""
    raise KeyboardInterrupt
