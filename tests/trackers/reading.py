"""What trackers hold, read with their own readers."""

from __future__ import annotations

from typing import Any

from minamo.run import TENSORBOARD, Run


def tensorboard(run: Run) -> Any:
    """TensorBoard's own reader of a run's events, with nothing thinned out."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run.place(TENSORBOARD)), dict.fromkeys(("scalars", "images", "tensors"), 0))
    return found.Reload()


def tensorboard_curves(run: Run) -> dict[str, dict[int, float]]:
    """Return name -> epoch -> value; the evidence is not a curve."""
    found = tensorboard(run)
    events = {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    return _curves(events)


def mlflow_client(uri: str | None = None) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri)


def mlflow_curves(run: Run) -> dict[str, dict[int, float]]:
    """The same from MLflow's store."""
    client, key = mlflow_client(run.mlflow["tracking_uri"]), run.mlflow["run_id"]
    names = client.get_run(key).data.metrics
    return _curves({name: [(m.step, m.value) for m in client.get_metric_history(key, name)] for name in names})


def _curves(events: dict[str, list[tuple[int, float]]]) -> dict[str, dict[int, float]]:
    found = {}
    for name, points in events.items():
        if not name.startswith("evidence/"):
            steps = [step for step, _ in points]
            assert len(steps) == len(set(steps)), f"{name} holds an epoch twice: {steps}"
            found[name] = dict(points)
    return found
