"""Run: a directory, and the only file that knows what is called what inside it."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from torch import Tensor, nn

from minamo import model_file
from minamo.errors import RunError
from minamo.files import PART, write_atomically
from minamo.training import State

CONFIG = "config.json"
LOG = "log.jsonl"
CHECKPOINT = "checkpoint.safetensors"
MODEL = "model.safetensors"
EVIDENCE = "evidence.json"
WEIGHTS = "weights.safetensors"
MEASURED = "measured.jsonl"
SAMPLES = "samples.png"
RECONSTRUCTIONS = "reconstructions.png"
PSEUDO_INPUTS = "pseudo_inputs.png"
CURVES = "curves.png"
REPORT = "report.html"
TENSORBOARD = "tensorboard"
MLFLOW = "mlflow.json"


KEEP_EVERY = 10.0
"""Seconds between two savings of an evaluation."""


class KeptWeights:
    """The file from which an evaluation that was interrupted goes on; a convenience: what cannot be kept is not.

    Args:
        path: the file.
        of: what is evaluated, and how; a file that says anything else is not taken up.
    """

    def __init__(self, path: Path, of: dict[str, Any]):
        self.path, self.of = path, of
        self.saved = time.monotonic()

    def load(self) -> tuple[dict[str, Tensor], int] | None:
        """See `minamo.evidence.Kept`."""
        if not self.path.exists():
            return None
        try:
            tensors, header = model_file.read(self.path, "weights")
        except RunError:
            return None
        return (tensors, header["done"]) if header["of"] == self.of else None

    def save(self, tensors: dict[str, Tensor], done: int) -> None:
        """See `minamo.evidence.Kept`; every ten seconds."""
        if time.monotonic() - self.saved < KEEP_EVERY:
            return
        with suppress(RunError, OSError):
            model_file.write(self.path, tensors, {"kind": "weights", "of": self.of, "done": done})
        self.saved = time.monotonic()


class Run:
    """A run directory that exists."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @staticmethod
    def refuse_occupied(path: str | Path) -> None:
        """Raise RunError if a new run cannot begin at `path`; nothing is written."""
        folder = Path(path)
        if (folder / CONFIG).exists():
            raise RunError(f"{folder} holds another run: go on with it (--resume), or choose another folder")
        if folder.exists() and (not folder.is_dir() or any(not p.name.endswith(PART) for p in folder.iterdir())):
            raise RunError(f"{folder} exists and is not an empty folder: choose another one")

    @classmethod
    def create(cls, path: str | Path, config: dict[str, Any]) -> Run:
        """Begin a run in a new or empty folder."""
        cls.refuse_occupied(path)
        run = cls(path)
        try:
            run.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot make the folder {run.path}: {error.strerror}") from error
        run.record(config)
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run that was begun before."""
        if not (Path(path) / CONFIG).is_file():
            raise RunError(f"there is no run in '{path}': expected a folder that minamo fit has written")
        return cls(path)

    @property
    def config(self) -> dict[str, Any]:
        """What the run was started with."""
        try:
            found = json.loads((self.path / CONFIG).read_text())
            missing = [key for key in ("params", "source", "fingerprint", "threads") if key not in found]
        except (ValueError, TypeError) as error:
            raise RunError(f"{self.path / CONFIG} is damaged: {error}") from error
        if missing:
            raise RunError(f"{self.path / CONFIG} is damaged: it has no {', '.join(missing)}")
        return found

    def record(self, config: dict[str, Any]) -> None:
        """Replace the configuration."""
        self._write_json(CONFIG, config)

    @property
    def model(self) -> Path:
        """The model file."""
        if not (self.path / MODEL).exists():
            raise RunError(
                f"{self.path} has no model yet: its training was stopped before the first checkpoint; use --resume"
            )
        return self.path / MODEL

    def place(self, name: str) -> Path:
        """Where a file of this run goes."""
        return self.path / name

    def save(self, state: State, description: dict[str, Any]) -> None:
        """Write the checkpoint and the model with the best weights so far, each whole or not at all."""
        tensors, plain = state.to_parts()
        model_file.write(self.path / CHECKPOINT, tensors, {"kind": "checkpoint", "state": plain})
        ending = {"stopped": state.stopped, "epochs": state.epoch}
        model_file.write(self.path / MODEL, state.best, {"kind": "model", **description, **ending})

    def checkpoint(self, model: nn.Module) -> State | None:
        """Return the state of the last checkpoint, or None if training never reached one.

        Args:
            model: that is to go on from it; it is left as it is.

        Raises:
            RunError: the checkpoint cannot be read, or is of another model.
        """
        path = self.path / CHECKPOINT
        if not path.exists():
            return None
        tensors, header = model_file.read(path, "checkpoint", [name for name, _ in model.named_parameters()])
        state = State.from_parts(tensors, header["state"])
        state.refuse_unlike(model, str(path))
        return state

    def log(self, record: dict[str, Any]) -> None:
        """Append one epoch."""
        self._append_json(LOG, record)

    def history(self) -> list[dict[str, Any]]:
        """Every epoch in the log; a last line cut short by a crash is left out."""
        if not (self.path / LOG).exists():
            return []
        lines, found = (self.path / LOG).read_text().splitlines(), []
        for number, line in enumerate(lines, start=1):
            try:
                found.append(json.loads(line))
            except ValueError as error:
                if number < len(lines):
                    raise RunError(f"{self.path / LOG} is damaged at line {number}: restore it or delete it") from error
        return found

    def since_last_epoch(self) -> float | None:
        """Seconds since an epoch was logged, or None if none has been."""
        try:
            return max(0.0, time.time() - (self.path / LOG).stat().st_mtime)
        except OSError:
            return None

    def rewind(self, epoch: int) -> None:
        """Take from the log what came after `epoch`: it is about to be repeated."""
        lines = [json.dumps(r) + "\n" for r in self.history() if r["epoch"] <= epoch]
        write_atomically(self.path / LOG, lambda file: file.write("".join(lines).encode()))

    def save_evidence(self, found: dict[str, Any]) -> None:
        """Write what `minamo fit` measured at its end."""
        self._write_json(EVIDENCE, found)

    def add_measured(self, found: dict[str, Any]) -> None:
        """Append what `minamo evidence` measured, and on what, as one line."""
        self._append_json(MEASURED, found)

    def kept_weights(self, of: dict[str, Any]) -> KeptWeights:
        """Return where an evaluation of this run's model goes on from."""
        model = hashlib.sha256(self.model.read_bytes()).hexdigest()
        return KeptWeights(self.path / WEIGHTS, {**of, "model": model})

    def forget_weights(self) -> None:
        """The evaluation has ended."""
        with suppress(OSError):
            (self.path / WEIGHTS).unlink(missing_ok=True)

    def measured(self, epochs: int) -> dict[str, Any] | None:
        """Return what was measured on the weights after so many epochs, or None if that is not on record."""
        try:
            found = json.loads((self.path / EVIDENCE).read_text())
            return found if found["epochs"] == epochs else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def pictures(self) -> list[Path]:
        """The pictures of data and samples that fit has drawn."""
        drawn = (self.path / name for name in (SAMPLES, RECONSTRUCTIONS, PSEUDO_INPUTS))
        return [path for path in drawn if path.is_file()]

    def shown(self) -> list[Path]:
        """What is to be looked at where the run directory is not: configuration, report, pictures."""
        return [path for path in (self.path / CONFIG, self.path / REPORT) if path.is_file()] + self.pictures()

    @property
    def mlflow(self) -> dict[str, str]:
        """Where MLflow has this run, `tracking_uri` and `run_id`; empty where it has not."""
        try:
            return json.loads((self.path / MLFLOW).read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path / MLFLOW} is damaged ({error}): delete it to begin a new run there") from error

    def record_mlflow(self, tracking_uri: str, run_id: str) -> None:
        """Keep where MLflow has this run; name and password, before the host or in a query, are not kept."""
        parts = urlsplit(tracking_uri)
        address = tracking_uri.partition("?")[0]
        if "@" in parts.netloc:
            address = address.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1)
        self._write_json(MLFLOW, {"tracking_uri": address, "run_id": run_id})

    def what_is_there(self) -> list[str]:
        """The files that a run has, by name, of those that say something about it."""
        return [name for name in (CONFIG, LOG, MODEL) if (self.path / name).is_file()]

    def _append_json(self, name: str, value: dict[str, Any]) -> None:
        try:
            with open(self.path / name, "a") as file:
                file.write(json.dumps(value) + "\n")
        except OSError as error:
            raise RunError(f"cannot write {self.path / name}: {error.strerror}") from error

    def _write_json(self, name: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, indent=2) + "\n"
        write_atomically(self.path / name, lambda file: file.write(text.encode()))
