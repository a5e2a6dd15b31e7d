"""What is shown while a model is trained."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from minamo.training import Settings, State

EVERY = 10.0
"""Seconds between lines where the terminal cannot redraw one."""


class Progress:
    """One line, redrawn after every epoch; on a plain stream a line now and then."""

    def __init__(self, settings: Settings, drops: int):
        self.settings = settings
        self.drops = drops
        self.console = Console(stderr=True, highlight=False)
        self.live = Live(console=self.console, refresh_per_second=8) if self.console.is_terminal else None
        self.printed = -math.inf

    def __enter__(self) -> Progress:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *problem: object) -> None:
        if self.live:
            self.live.stop()

    def show(self, state: State) -> None:
        """Show the epoch that has just ended."""
        if "note" in state.record:
            self.console.print(f"note: {state.record['note']}", soft_wrap=True)
        line = epoch_line(state.record, self._time_left(state))
        if self.live:
            self.live.update(Text(line))
        elif time.monotonic() - self.printed > EVERY or state.stopped:
            self.printed = time.monotonic()
            print(line, file=sys.stderr, flush=True)

    def _time_left(self, state: State) -> str:
        """What is left if nothing better comes, or up to the cap where nothing is judged."""
        each = state.record["seconds"] / state.epoch
        to_cap = self.settings.max_epochs - state.epoch
        patience = self.settings.patience
        if patience is None:
            return clock(each * to_cap)
        least = patience - state.plateau.since + (self.drops - state.drops) * patience
        return f"at least {clock(each * min(least, to_cap))}"


class Count:
    """One line that counts on stderr: "rows 512 of 10,000, 4:10 left"."""

    def __init__(self, n: int, what: str):
        self.n = n
        self.what = what
        self.console = Console(stderr=True, highlight=False)
        self.live = Live(console=self.console, refresh_per_second=4) if self.console.is_terminal else None
        self.started = self.printed = time.monotonic()

    def __enter__(self) -> Count:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *problem: object) -> None:
        if self.live:
            self.live.stop()

    def show(self, done: int, note: str = "") -> None:
        """Say how many are done, what is left at this speed, and what is known so far."""
        now = time.monotonic()
        line = f"{self.what} {done:,} of {self.n:,}, {clock((now - self.started) * (self.n - done) / done)} left"
        line += f", {note}" if note else ""
        if self.live:
            self.live.update(Text(line))
        elif now - self.printed > EVERY:
            self.printed = now
            print(line, file=sys.stderr, flush=True)


def epoch_line(record: dict[str, Any], left: str) -> str:
    """One epoch in one line."""
    line = (
        f"epoch {record['epoch']:>4}  ELBO {record['elbo']:.2f} = J1 {record['reconstruction']:.2f} "
        f"- J2 {record['kl']:.2f}"
    )
    for name in ("validation", "training"):
        if f"{name}_elbo" in record:
            judged = record.get(f"{name}_objective")
            line += f"  {name} {record[f'{name}_elbo']:.3f}"
            line += ("" if judged is None else f", objective {judged:.3f}") + f" (best: epoch {record['best_epoch']})"
    return line + f"  {record['samples_per_s']:,.0f} samples/s  left {left}"


def clock(seconds: float) -> str:
    """m:ss, or h:mm:ss."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
