"""MLflow: a run in whichever store MLFLOW_TRACKING_URI names, or MLflow's own default."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minamo.run import Run
from minamo.trackers.base import Tracker, facts, measures, notes, numbers

EXPERIMENT = "minamo"
ENDINGS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
AT_ONCE = 1000
"""Numbers that a store takes in one message."""
DEFAULTS = {
    # Seven retries of two minutes each are MLflow's own: training would wait for a server that has gone.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # MLflow would report to its makers; who tracks a run has not asked for that.
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Settings of MLflow's that hold unless the environment says otherwise."""


class Mlflow(Tracker):
    """What a store holds it cannot be made to forget, so it is asked what it has, and given the rest.

    The run's id, and where its store is, are kept in the run directory. Parameters are MLflow's to write once: a cap
    that was raised later stands in config.json, which is copied beside the report and the pictures at the end; the
    model stays in the run directory, which a tag names.
    """

    name = "mlflow"
    needs = ("mlflow", "sqlalchemy", "alembic")

    def __init__(self, run: Run):
        super().__init__(run)
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)

    def begin(self) -> str | None:
        """See `Tracker`."""
        from mlflow import MlflowClient
        from mlflow.entities import Param

        kept, config, lines = self.run.mlflow, self.run.config, self.run.history()
        self.started = time.time() - (lines[-1]["seconds"] if lines else 0.0)
        address = os.environ.get("MLFLOW_TRACKING_URI") or kept.get("tracking_uri")
        self.client = MlflowClient(_absolute(address) if address else None)
        before = kept.get("run_id")
        self.id = self._found(before) or self._made()
        self.seen: dict[str, set[int]] = {}
        there = self.client.get_run(self.id).data.params
        params = [Param(name, str(value)) for name, value in facts(config).items() if name not in there]
        self.client.log_batch(self.id, params=params)
        self.client.set_tag(self.id, "mlflow.note.content", notes(config))
        self.client.set_tag(self.id, "minamo.run", str(self.run.path.absolute()))
        self.client.update_run(self.id, "RUNNING")
        if before in (None, self.id):
            return None
        here = self.run.mlflow["tracking_uri"]
        return f"run {before} of {kept['tracking_uri']} is not in {here}: run {self.id} was begun there in its place"

    def follow(self, lines: Sequence[dict[str, Any]]) -> None:
        """See `Tracker`."""
        self._send([(k, v, x["epoch"], self.started + x["seconds"]) for x in lines for k, v in numbers(x).items()])

    def finish(self, measured: dict[str, Any]) -> None:
        """See `Tracker`."""
        now = time.time()
        self._send([(name, value, measured["epochs"], now) for name, value in measures(measured).items()])
        for path in self.run.shown():
            self.client.log_artifact(self.id, str(path))

    def end(self, how: str) -> None:
        """See `Tracker`."""
        self.client.set_terminated(self.id, ENDINGS[how])

    def _found(self, kept: str | None) -> str | None:
        """The id of the run that was made before, if this store has it."""
        from mlflow.exceptions import MlflowException

        if kept is None:
            return None
        try:
            return kept if self.client.get_run(kept).info.lifecycle_stage == "active" else None
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _made(self) -> str:
        """Make the run, and keep its id."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = self.client.get_experiment_by_name(name)
        place = experiment.experiment_id if experiment else self.client.create_experiment(name)
        made = self.client.create_run(place, run_name=Path(self.run.path).absolute().name).info.run_id
        self.run.record_mlflow(self.client.tracking_uri, made)
        return made

    def _send(self, points: list[tuple[str, float, int, float]]) -> None:
        """Send name, value, step and seconds since 1970 of every point that the store does not have."""
        from mlflow.entities import Metric

        new = [Metric(n, v, int(1000 * at), step) for n, v, step, at in points if step not in self._steps(n)]
        for first in range(0, len(new), AT_ONCE):
            some = new[first : first + AT_ONCE]
            self.client.log_batch(self.id, metrics=some)
            for metric in some:
                self._steps(metric.key).add(metric.step)

    def _steps(self, name: str) -> set[int]:
        """The steps at which the store has this number: asked once, since only this run's process sends any."""
        if name not in self.seen:
            self.seen[name] = {metric.step for metric in self.client.get_metric_history(self.id, name)}
        return self.seen[name]


def _absolute(address: str) -> str:
    """The same store from whichever folder: files of SQLite and plain paths are named from the root.

    >>> _absolute("https://host/path"), _absolute("sqlite:////here/store.db"), _absolute("sqlite:///:memory:")
    ('https://host/path', 'sqlite:////here/store.db', 'sqlite:///:memory:')
    """
    from mlflow.utils.uri import resolve_uri_if_local
    from sqlalchemy import make_url

    if not address.startswith("sqlite"):
        return str(resolve_uri_if_local(address))
    url = make_url(address)
    name = url.database or ":memory:"
    if name == ":memory:" or name.startswith("file:") or Path(name).is_absolute():
        return address
    return url.set(database=str(Path(name).absolute())).render_as_string(hide_password=False)
