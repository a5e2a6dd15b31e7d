"""The trackers of a run that is trained: none of them can end it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from minamo.errors import ConfigError, first_line

if TYPE_CHECKING:
    from minamo.run import Run
    from minamo.trackers import Tracker


def trackers(words: Sequence[str]) -> list[type[Tracker]]:
    """Look the trackers up, or raise ConfigError: a word that is none, a package that is not there."""
    from minamo.words import TRACKERS, look_up

    found = [look_up("tracker", word, TRACKERS) for word in dict.fromkeys(words)]
    for tracker in found:
        tracker.require()
    return found


def stored_trackers(words: Sequence[str]) -> list[type[Tracker]]:
    """Look up those that a run began with; one that this machine cannot serve is named and left out."""
    found = []
    for word in words:
        try:
            found += trackers([word])
        except ConfigError as error:
            print(f"note: {error}; the run goes on without it", file=sys.stderr)
    return found


class Tracking:
    """Trackers while a run is trained; one that fails is named once and left out.

    Args:
        run: what is tracked.
        kinds: by which trackers.
    """

    def __init__(self, run: Run, kinds: Sequence[type[Tracker]]):
        self.run = run
        self.trackers = [kind(run) for kind in kinds]
        self.measured = False

    def __enter__(self) -> Tracking:
        self.begin()
        self.follow()
        return self

    def __exit__(self, kind: type[BaseException] | None, *problem: object) -> None:
        how = "finished" if self.measured else "failed" if kind and issubclass(kind, Exception) else "stopped"
        self._each(lambda tracker: tracker.end(how))

    def begin(self) -> None:
        """Begin, or begin again: an interruption may have cut short what was being sent."""
        self._each(self._begin)

    def follow(self) -> None:
        """Show what the log holds. To be called after a checkpoint: what a resumed run repeats, nobody has seen."""
        self._each(lambda tracker: tracker.follow(self.run.history()))

    def finish(self, measured: dict[str, Any]) -> None:
        """Add what was measured."""
        self._each(lambda tracker: tracker.finish(measured))
        self.measured = True

    @staticmethod
    def _begin(tracker: Tracker) -> None:
        words = tracker.begin()
        if words:
            print(f"note: tracker {tracker.name}: {words}", file=sys.stderr)

    def _each(self, act: Callable[[Tracker], None]) -> None:
        for tracker in list(self.trackers):
            try:
                act(tracker)
            # Whatever stops a tracker (no server, a full disk, a package of another version), the run goes on.
            except Exception as error:
                self.trackers.remove(tracker)
                reason = _without_password(first_line(error))
                after = f"minamo fit -o {self.run.path} --resume sends what is missing"
                print(f"note: tracker {tracker.name} has failed ({reason}); the run goes on, {after}", file=sys.stderr)


def _without_password(words: str) -> str:
    """What is said of an address, which a screen or a log may keep, without who asks there and by which password.

    >>> _without_password("no answer from http://me:p@ss@host/a, postgresql://host/db?user=me&password=x&ssl=1")
    'no answer from http://host/a, postgresql://host/db?...'
    """
    return re.sub(r"(://[^\s?]*)\?[^\s,;)'\"]*", r"\1?...", re.sub(r"://[^/\s]*@", "://", words))
