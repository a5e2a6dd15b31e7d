"""minamo explore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def explore(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that minamo fit wrote, or writes now.")],
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the address in a browser.")] = True,
) -> None:
    """Explore the latent space of a run in the browser: a page that only this machine can reach."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        from minamo.errors import ConfigError

        raise ConfigError(f"explore needs {error.name}: pip install 'minamo[explore]'") from error
    from minamo.explorer.server import serve

    serve(run, browser)
