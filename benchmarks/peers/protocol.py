"""How speed.py talks to a contender, and the data that all of them train on.

Command:  python -m benchmarks.peers.NAME '{"width": 400, "latent": 20, "batch": 128}'        (fields: see Work)

The worker prints one line of JSON when it is ready, {"ready": seconds since its process started, "note": what it
chose}, and one for every line it reads: "epoch" trains one epoch, {"seconds", "rows", "elbo"}; "validate" gives
{"validation_elbo"}; "memory" gives {"peak_mb"}. It ends with its input. All else that it prints goes to stderr.

All contenders train one model: x / 255 in [0, 1], or x ~ Bernoulli(x / 255) drawn afresh at each step; encoder
D -> width, ReLU -> mean and log variance; decoder latent -> width, ReLU -> D logits; cross-entropy on logits, summed
over columns; prior N(0, I), one draw of z; the mean over the batch; Adam; PyTorch's initial weights. ELBOs are in nats
per datum, means over the epoch, each batch before its own step.
"""

from __future__ import annotations

import json
import os
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

ROWS = 60_000


@dataclass(frozen=True)
class Work:
    """What is trained, on what."""

    width: int = 400
    latent: int = 20
    batch: int = 128
    data: str = "mnist"
    """"mnist", or "rows64": rows of 64 columns."""
    binarize: bool = False
    lr: float = 1e-3
    seed: int = 0
    rows: int = ROWS
    """At most so many rows, the first; the ragged last batch is left out."""
    validation: int = 0
    """So many rows, the last of the 60,000, are held out, binarized once; 0: "validate" is not asked for."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Every other key: settings of one contender."""

    @classmethod
    def read(cls, text: str) -> Work:
        """Make one from JSON."""
        given = json.loads(text)
        known = {f.name: given.pop(f.name) for f in fields(cls) if f.name in given and f.name != "extra"}
        return cls(**known, extra=given)

    def arrays(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the training rows [N, D], bytes 0 to 255, and the held-out rows, 0/1, or None."""
        x = mnist() if self.data == "mnist" else rows64()
        held = None
        if self.validation:
            grey = x[-self.validation :]
            held = (np.random.default_rng(1).random(grey.shape, np.float32) < grey / np.float32(255)).astype(np.uint8)
            x = x[: -self.validation]
        n = min(self.rows, len(x))
        # A copy: the rows that do not take part are not kept.
        return x[: n - n % self.batch].copy(), held


def mnist() -> np.ndarray:
    """Read what minamo.load("mnist", "train") reads, without importing torch for contenders that need none."""
    folder = os.environ.get("MINAMO_DATA")
    if not folder:
        raise SystemExit("MINAMO_DATA must name the folder of mnist.npz")
    with np.load(Path(folder) / "mnist.npz") as archive:
        return archive["x_train"].reshape(ROWS, 784)


def rows64() -> np.ndarray:
    """Repeat scikit-learn's 1797 digits, in a fixed random order."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    x = np.round(bunch.data / 16 * 255).astype(np.uint8)
    return x[np.random.default_rng(0).integers(0, len(x), ROWS)]


def peak_mb() -> float:
    """The most memory that this process has held; getrusage would count that of the process it was forked from, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


class Contender(ABC):
    """A model in training. The constructor takes the work and its arrays, and does all that precedes a first step."""

    note = ""

    @abstractmethod
    def __init__(self, work: Work, x: np.ndarray, held: np.ndarray | None): ...

    @abstractmethod
    def epoch(self) -> float:
        """Train on every row once, in a new random order; return the mean ELBO."""

    def validate(self) -> float:
        """Return the mean ELBO of the held-out rows, one draw of z each."""
        raise NotImplementedError(f"{type(self).__name__} does not validate")


def serve(contender: type[Contender]) -> None:
    """Be a worker: read commands, print answers."""
    # Libraries print: what they have for stdout goes to stderr, and only answers leave by the real one.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**answer: float | str) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    x, held = (work := Work.read(sys.argv[1])).arrays()
    peer = contender(work, x, held)
    say(ready=age(), note=peer.note)
    for line in sys.stdin:
        started = time.perf_counter()
        match line.strip():
            case "epoch":
                elbo = peer.epoch()
                say(seconds=time.perf_counter() - started, rows=len(x), elbo=elbo)
            case "validate":
                say(validation_elbo=peer.validate())
            case "memory":
                say(peak_mb=peak_mb())
            case other:
                raise SystemExit(f"no such command: {other!r}")


def age() -> float:
    """Seconds since the kernel started this process (Linux)."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
