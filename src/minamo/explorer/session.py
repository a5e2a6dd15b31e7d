"""What the explorer knows of one run: every answer is plain values, computed under one lock."""

from __future__ import annotations

import base64
import io
import math
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from minamo.batch import Batch
from minamo.data.dataset import as_dataset
from minamo.data.rows import Rows
from minamo.errors import DataError, RunError
from minamo.estimator import VAE
from minamo.evidence import evaluate
from minamo.explorer.going import has_ended, how_it_goes, model_shown
from minamo.randomness import drawing_from, stream
from minamo.report import column_names, grid, intensities, is_picture, open_run
from minamo.report.opened import Opened, at, read, spread_rows, thin
from minamo.report.summary import curves, ending
from minamo.report.values import DIGITS, plain
from minamo.run import Run

MAP_POINTS = 60_000
"""Rows on the map at most."""
MOST_IMAGES = 256
"""Data decoded for one answer."""
BOUND_DRAWS = 1000
SURPRISE_ROWS = 200
"""Rows whose log p says what is usual..."""
SURPRISE_DRAWS = 100
"""...by so many draws."""
FURTHEST = 1e4
"""A latent coordinate is taken up to here."""


class Session:
    """One run, its model and its data.

    Torch's generator is lent to one answer at a time, so every answer is given under a lock.

    Args:
        path: the run directory.

    Raises:
        RunError: there is no run.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.lock = threading.RLock()
        self.found = open_run(self.path)
        self._missing_data: list[str] = []
        self._rows: Rows | None = None
        self._of = 0
        self._latents: np.ndarray | None = None
        self._usual: np.ndarray | None = None

    @property
    def vae(self) -> VAE:
        """The model, or RunError if the run has none yet."""
        if self.found.vae is None:
            raise RunError("this run has no model yet: its curves are shown while it trains")
        return self.found.vae

    def about(self) -> dict[str, Any]:
        """What the page needs at its start; a model that has been saved since is read again."""
        with self.lock:
            self.found = open_run(self.path)
            without = self._without_model().missing
            self._missing_data = [words for words in self.found.missing if words not in without]
            self._rows = self._latents = self._usual = None
            told: dict[str, Any] = {"name": self.path.resolve().name, "model": False}
            if self.found.vae is None:
                return told
            z, served = self._z(), self.found.served
            return {
                **told,
                "model": True,
                "epochs": self.vae.n_epochs_,
                "shown": model_shown(self.found),
                "picture": is_picture(self.vae),
                "shape": list(self.vae.schema_.shape),
                "range": list(self.vae.description_["range"]),
                "columns": column_names(self.vae)[:200],
                "latents": self._order(z).tolist(),
                "low": np.percentile(z, 0.5, 0).tolist(),
                "high": np.percentile(z, 99.5, 0).tolist(),
                "mean": z.mean(0).tolist(),
                "rows": len(z) if served is not None else 0,
            }

    def history(self) -> dict[str, Any]:
        """The curves, how training goes or ended, and after which epoch a model was last saved: read afresh."""
        fresh = self._without_model()
        ended = has_ended(fresh)
        return {
            "curves": curves(fresh),
            "ended": ended,
            # Which weights are shown is said by `about`: those on the page may be older.
            "state": ending(replace(fresh, history=[]))
            if ended
            else how_it_goes(fresh, Run(self.path).since_last_epoch()),
            "missing": fresh.missing + self._missing_data,
            "epochs": fresh.epochs,
        }

    def map(self, first: int, second: int) -> dict[str, Any]:
        """Posterior means along two latents, labels where there are any, and how many rows the data have."""
        with self.lock:
            z, served = self._z(), self.found.served
            first, second = self._latent(first), self._latent(second)
            if served is None:
                return {"x": [], "y": [], "label": None, "of": 0}
            rows = self._mapped()
            x, y = (z[:, j].round(4).tolist() for j in (first, second))
            return {"x": x, "y": y, "label": served.labels_at(rows), "of": self._of}

    def decode(self, z: list[Any], draw: bool = False, seed: int = 0) -> dict[str, Any]:
        """The mean of p(x|z), or a draw from it, for every z, and which datum's posterior mean lies nearest to it."""
        with self.lock:
            shown = [self._shown(x) for x in self._decoded(z, draw, seed)]
            return {"shown": shown, "near": [self._nearest(one) for one in self._latent_vectors(z)]}

    def datum(self, place: int) -> dict[str, Any]:
        """A point of the map: its datum, reconstruction, posterior and bounds."""
        with self.lock:
            rows = self._mapped()
            if not 0 <= place < len(rows):
                raise DataError(f"there are {len(rows)} points, 0 to {len(rows) - 1}; got {place}")
            return {**self._told(at(rows, np.array([place]))), **self._named(place)}

    def encode_image(self, pixels: np.ndarray) -> dict[str, Any]:
        """`encode` 8-bit pixels: 0 to 255 is the range of the data the model was fitted on, or [0, 1] inside it."""
        low, high = self.vae.description_["range"]
        x = pixels / 255
        return self.encode(x if low >= 0 and high <= 1 else low + x * (high - low))

    def encode(self, x: np.ndarray) -> dict[str, Any]:
        """Where a datum of one's own lands, x in data units, and how surprising it is.

        Raises:
            DataError: it has another size, or values the likelihood gives no probability.
        """
        with self.lock:
            vae = self.vae
            if x.size != vae.schema_.n_columns:
                raise DataError(f"expected {vae.schema_.n_columns} numbers, got {x.size}")
            data = as_dataset(x.reshape(1, *vae.schema_.shape), "what you gave", kind=vae.schema_.kind, divisor=1.0)
            one = vae.rows(data)
            told = self._told(one)
            usual = self._usual_log_p()
            if usual is not None:
                # By as many draws as the others had: more would make it look likelier.
                told["lower_than"] = float((usual > self._log_p(one)[0]).mean())
                told["compared"] = len(usual)
                told["usual"] = [float(v) for v in np.percentile(usual, [5, 50, 95])]
            return told

    def path_between(
        self, start: Any, end: Any, how: str, steps: int, draw: bool = False, seed: int = 0
    ) -> dict[str, Any]:
        """Data along a line or a great circle from one z to another, and the z's."""
        with self.lock:
            if how not in ("line", "circle"):
                raise DataError(f"a path is a line or a circle, got {how!r}")
            one, two = self._latent_vectors([start, end])
            z = path(one, two, max(2, min(int(steps), MOST_IMAGES)), how)
            return {"z": z.tolist(), **self._pictured(self._decoded(z.tolist(), draw, seed))}

    def sample(self, n: int, temperature: float, draw: bool, seed: int) -> dict[str, Any]:
        """New data; deviations of z from the mean of the prior's draws are scaled by the temperature."""
        with self.lock:
            if not 0 < n <= MOST_IMAGES or not 0 <= temperature <= 10:
                raise DataError(f"say 1 to {MOST_IMAGES} samples at a temperature of 0 to 10, got {n} at {temperature}")
            with torch.no_grad(), drawing_from(stream(seed, "explore", "prior")):
                z = self.vae.model_.prior().sample(torch.Size([max(n, 1000)])).double().numpy()
            z = z.mean(0) + temperature * (z[:n] - z.mean(0)) if temperature != 1 else z[:n]
            return {"z": z.tolist(), **self._pictured(self._decoded(z.tolist(), draw, seed))}

    def npz(self, z: list[Any], draw: bool = False, seed: int = 0) -> bytes:
        """The z's and what they decode to, as a file: arrays z [n, latent_dim] and x [n, *shape]."""
        with self.lock:
            x = self._decoded(z, draw, seed)
            file = io.BytesIO()
            np.savez_compressed(file, z=np.asarray(z), x=x.reshape(len(x), *self.vae.schema_.shape))
            return file.getvalue()

    # -- inside --------------------------------------------------------------------------------------------------

    def _without_model(self) -> Opened:
        """What is in the run directory now; building a model takes torch's generator, so it needs the lock."""
        return open_run(self.path, with_model=False)

    def _named(self, place: int) -> dict[str, Any]:
        """Row and label of a point of the map."""
        one, served = at(self._mapped(), np.array([place])), self.found.served
        labels = served.labels_at(one) if served is not None else None
        row = int(one.numbers[0]) if one.numbers is not None else place
        return {"row": row, "label": labels[0] if labels else None}

    def _nearest(self, z: np.ndarray) -> dict[str, Any] | None:
        """The point of the map that is nearest in all latents, and its distance."""
        if self.found.served is None:
            return None
        means = self._z()
        apart = self._squares - 2 * means @ z  # |m - z|² less |z|², without a copy of all means
        place = int(apart.argmin())
        return {**self._named(place), "distance": float(np.linalg.norm(means[place] - z))}

    def _mapped(self) -> Rows:
        """The rows on the map."""
        if self.found.served is None:
            raise DataError("the data of this run are not at hand, so there are no points")
        if self._rows is None:
            vae = self.vae
            data = read(vae, str(self.found.config["source"]))
            n = MAP_POINTS if vae.posterior in ("amortized", "exact") else spread_rows(vae)
            self._of = len(data)
            self._rows = vae.rows(data, thin(np.arange(len(data)), n), own=True)
        return self._rows

    def _z(self) -> np.ndarray:
        """Posterior means of the mapped rows, or draws of the prior where there are no data."""
        if self._latents is not None:
            return self._latents
        model = self.vae.model_
        if self.found.served is None:
            with torch.no_grad(), drawing_from(stream(0, "explore", "range")):
                z = model.prior().sample(torch.Size([2000]))
        else:
            with torch.no_grad():
                z = torch.cat([model.infer(b).mean for b in self._mapped().batches(1024)])
        self._latents = found = z.double().numpy()
        self._squares = (found**2).sum(1)
        return found

    def _order(self, z: np.ndarray) -> np.ndarray:
        return np.argsort(-z.var(0), kind="stable")

    def _latent(self, j: int) -> int:
        if not 0 <= j < self.vae.description_["latent_dim"]:
            raise DataError(f"there are {self.vae.description_['latent_dim']} latents, z0 and on; got z{j}")
        return j

    def _latent_vectors(self, z: list[Any]) -> np.ndarray:
        """Check z's [n, latent_dim]."""
        d = self.vae.description_["latent_dim"]
        try:
            found = np.asarray(z, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"z must be numbers, {d} for each datum") from error
        if found.ndim != 2 or found.shape[1] != d or not 1 <= len(found) <= MOST_IMAGES:
            raise DataError(f"z must have shape [1 to {MOST_IMAGES}, {d}], got {list(found.shape)}")
        if not (np.abs(found) <= FURTHEST).all():
            raise DataError(f"z must be finite, between {-FURTHEST:g} and {FURTHEST:g}")
        return found

    def _decoded(self, z: list[Any], draw: bool, seed: int) -> np.ndarray:
        """X [n, D] in data units; in float32, which the eye cannot tell from float64 and which takes half the time."""
        vae, checked = self.vae, torch.from_numpy(self._latent_vectors(z)).float()
        with torch.no_grad(), drawing_from(stream(seed, "explore", "draw")):
            law = vae.model_.likelihood(checked)
            return vae.prepare_.to_data(law.sample() if draw else law.mean).numpy()

    def _told(self, one: Rows) -> dict[str, Any]:
        """Datum, reconstruction, posterior and bounds of one row."""
        vae = self.vae
        with drawing_from(stream(vae.seed_, "explore", "bounds")):
            bounds = evaluate(vae.model_, one, BOUND_DRAWS)
        batch: Batch = next(one.batches(1))
        with torch.no_grad():
            q = vae.model_.infer(batch)
            mean = q.mean[0].double()
            try:
                spread = q.stddev[0].double().tolist()
            except NotImplementedError:
                spread = None
        return {
            "datum": self._shown(vae.seen(one)[0]),
            "again": self._shown(self._decoded([mean.tolist()], False, 0)[0]),
            "z": mean.tolist(),
            "spread": spread,
            "elbo": float(bounds.elbo[0]),
            "log_p": float(bounds.iwae[0]),
            "reconstruction": float(bounds.reconstruction[0]),
            "kl": float(bounds.kl[0]),
            "draws": BOUND_DRAWS,
        }

    def _usual_log_p(self) -> np.ndarray | None:
        """log p of some judged rows."""
        served = self.found.served
        if self._usual is None and served is not None:
            self._usual = self._log_p(served.judged.spread(SURPRISE_ROWS))
        return self._usual

    def _log_p(self, rows: Rows) -> np.ndarray:
        """log p of rows, as they are compared: from below, by a few draws."""
        with drawing_from(stream(self.vae.seed_, "explore", "usual")):
            return evaluate(self.vae.model_, rows, SURPRISE_DRAWS).iwae.numpy()

    def _shown(self, x: np.ndarray) -> Any:
        """One datum: a PNG as a data URL, or a list of values."""
        return (
            _url(grid(intensities(self.vae, x[None]), self.vae.schema_.shape, 1))
            if is_picture(self.vae)
            else plain(x[:200], DIGITS)
        )

    def _pictured(self, x: np.ndarray) -> dict[str, Any]:
        """Several data: one sheet, or a list of rows."""
        if is_picture(self.vae):
            return {"sheet": _url(grid(intensities(self.vae, x), self.vae.schema_.shape)), "n": len(x)}
        return {"values": [self._shown(row) for row in x], "n": len(x)}


def path(start: np.ndarray, end: np.ndarray, steps: int, how: str = "line") -> np.ndarray:
    """Points from start to end, [steps, D]: on the line, or on the great circle (the length changing evenly).

    Between directions that are the same or opposite there is no one circle, and the line is taken.

    >>> path(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 3, "circle").round(3).tolist()
    [[1.0, 0.0], [0.707, 0.707], [0.0, 1.0]]
    """
    t = np.linspace(0, 1, steps)[:, None]
    a, b = np.linalg.norm(start), np.linalg.norm(end)
    if how == "circle" and a > 0 and b > 0:
        angle = math.acos(float(np.clip(start @ end / (a * b), -1, 1)))
        if 1e-6 < angle < math.pi - 1e-6:
            around = (np.sin((1 - t) * angle) * start / a + np.sin(t * angle) * end / b) / math.sin(angle)
            return around * ((1 - t) * a + t * b)
    return (1 - t) * start + t * end


def _url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
