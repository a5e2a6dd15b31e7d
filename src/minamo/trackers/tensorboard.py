"""TensorBoard: event files in the run directory; `tensorboard --logdir` on a folder of runs shows them side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from minamo.run import TENSORBOARD
from minamo.trackers.base import Tracker, facts, measures, notes, numbers

SHOWN_BESIDE = ("elbo", "validation_elbo", "training_elbo")
"""Curves whose last values stand beside the parameters in TensorBoard's table of runs."""


class TensorBoard(Tracker):
    """Whenever it begins it writes the whole log, after the mark that hides what TensorBoard had read before.

    So it needs no memory of its place. A scalar is a float32, as TensorBoard has them; the clock of an epoch is the
    seconds of training in the log.
    """

    name = "tensorboard"
    needs = ("tensorboard",)

    def begin(self) -> None:
        """See `Tracker`."""
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        config, lines = self.run.config, self.run.history()
        self.started = time.time() - (lines[-1]["seconds"] if lines else 0.0)
        self.taken = 0
        self.writer = SummaryWriter(str(self.run.place(TENSORBOARD)), purge_step=0)
        found = facts(config)
        for part in hparams(found, dict.fromkeys(SHOWN_BESIDE)):
            self.writer.file_writer.add_summary(part)  # type: ignore[union-attr]
        rows = "\n".join(f"| {name} | {value} |" for name, value in found.items())
        self.writer.add_text("parameters", f"| parameter | value |\n|---|---|\n{rows}", 0)
        self.writer.add_text("notes", notes(config), 0)

    def follow(self, lines: Sequence[dict[str, Any]]) -> None:
        """See `Tracker`."""
        for line in lines[self.taken :]:
            for name, value in numbers(line).items():
                self.writer.add_scalar(name, value, line["epoch"], self.started + line["seconds"])
        self.taken = len(lines)
        self.writer.flush()

    def finish(self, measured: dict[str, Any]) -> None:
        """See `Tracker`."""
        for name, value in measures(measured).items():
            self.writer.add_scalar(name, value, measured["epochs"])
        for path in self.run.pictures():
            pixels = np.asarray(Image.open(path).convert("RGB"))
            self.writer.add_image(path.stem, pixels, measured["epochs"], dataformats="HWC")

    def end(self, how: str) -> None:
        """See `Tracker`."""
        self.writer.close()
