"""Processes that train the same model, one each, and do so when told to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Worker:
    """A contender's process."""

    def __init__(self, python: str, module: str, work: dict[str, Any]):
        self.module = module
        # What torch.compile keeps from an earlier process would hide what a first run costs.
        self.cache = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [python, "-m", f"benchmarks.peers.{module}", json.dumps(work)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))),
                "TORCHINDUCTOR_CACHE_DIR": self.cache.name,
            },
        )
        hello = self._answer()
        self.ready: float = hello["ready"]
        self.note: str = hello["note"]

    def ask(self, command: str) -> dict[str, Any]:
        """Send a command, wait for what it gives."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """Close its input and wait."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self.cache.cleanup()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.module} has ended with code {self.process.wait()}: its own words are above")
        return json.loads(line)


def say(line: str) -> None:
    """Tell how far things are."""
    print(line, file=sys.stderr, flush=True)
