"""Charts: where training converged, what weighed the KL, and columns whose units differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minamo import VAE
from minamo.report import Opened, Served, of_model, render
from minamo.report.figures import learning, per_latent, strokes, traversal
from minamo.report.summary import curves, ending
from tests.report.test_page import Tags

RATES = [1e-3] * 4 + [1e-4] * 3 + [1e-5] * 2
HISTORY = [
    {"epoch": e, "elbo": -9.0 + e, "reconstruction": -8.0 + e, "kl": 1.0, "learning_rate": rate,
     "validation_elbo": -9.5 + e, "best_epoch": min(e, 7)}
    for e, rate in enumerate(RATES, start=1)
]  # fmt: skip


def told(params: dict) -> dict:
    description = {"params": {"batch_size": 10, **params}, "data": {"training_rows": 100}}
    found = curves(Opened(Path(), config=description, history=HISTORY))
    assert found is not None
    return found


def places(figure: dict, dash: str) -> list[float]:
    return [s["x0"] for s in figure["layout"]["shapes"] if s["line"]["dash"] == dash]


def test_convergence_is_marked_on_every_curve():
    drawn = learning(told({"schedule": "plateau"}))
    assert set(drawn) == {"elbo", "reconstruction", "kl"}
    for figure in drawn.values():
        assert places(figure, "dot") == [5, 8]
        assert places(figure, "dash") == [7]
        assert figure["layout"]["annotations"][0]["text"] == "best: epoch 7"


def test_a_cosine_falls_at_every_epoch_and_is_not_marked():
    assert places(learning(told({"schedule": "cosine"}))["elbo"], "dot") == []


def test_the_weight_of_the_kl_is_drawn_where_it_moved():
    assert "kl_weight" not in learning(told({"warmup": 0}))
    figure = learning(told({"warmup": 4}))["kl_weight"]
    line = figure["data"][0]
    # Ten steps an epoch, the weight of step t is (t + 1) / 40: the mean of the first epoch is 5.5 / 40.
    assert line["y"] == pytest.approx([5.5 / 40, 15.5 / 40, 25.5 / 40, 35.5 / 40, 1, 1, 1, 1, 1])
    assert line["x"] == list(range(1, 10))
    assert figure["layout"]["xaxis"]["range"] == [1, 9]
    assert learning(told({"warmup": 2}))["kl_weight"]["layout"]["xaxis"]["range"] == [1, 5]


@pytest.mark.parametrize(("given", "nats"), [(None, 25), (8.0, 8)])
def test_a_warm_up_of_the_capacity_is_drawn_as_one(given, nats):
    """What rises is the capacity, in nats; the weight stays."""
    drawn = learning(told({"warmup": 4, "objective": "capacity", "capacity": given, "beta": None}))
    assert "kl_weight" not in drawn
    line, layout = drawn["capacity"]["data"][0], drawn["capacity"]["layout"]
    shares = [5.5 / 40, 15.5 / 40, 25.5 / 40, 35.5 / 40, 1, 1, 1, 1, 1]
    assert line["y"] == pytest.approx([nats * share for share in shares])
    assert layout["yaxis"]["title"]["text"] == "capacity in training, nats per datum"
    assert layout["xaxis"]["range"] == [1, 9]


@pytest.mark.parametrize(
    ("objective", "what"),
    [
        ("elbo", "bound"),
        ("iwae", "bound"),
        ("beta", "objective"),
        ("free-bits", "objective"),
        ("capacity", "objective"),
    ],
)
def test_what_stopped_improving_is_what_was_maximized(objective, what):
    header = {"stopped": "converged", "epochs": 9, "params": {"objective": objective, "max_epochs": 50}}
    said = ending(Opened(Path(), header=header))
    assert said == f"Converged after 9 epochs: the {what} had stopped improving at three step sizes."


def test_columns_of_other_units_move_side_by_side():
    """The third latent's figure: a column of dates and one of millionths, each by its own standard deviation."""
    moves = {
        "latents": [4], "z": [[-1.0, 1.0]], "names": ["date", "<b>tiny"], "standardized": True,
        "center": [1.7e9, 0.0], "spread": [1e6, 1e-6], "values": [[[1.6e9, 2e-6], [1.701e9, -1e-6]]],
    }  # fmt: skip
    figure = traversal(moves, 0)
    assert [line["y"] for line in figure["data"]] == [pytest.approx([-100, 1]), pytest.approx([2, -1])]
    assert figure["data"][1]["text"] == ["&lt;b&gt;tiny: 2e-06", "&lt;b&gt;tiny: -1e-06"]
    assert not figure["layout"]["showlegend"]
    assert figure["layout"]["yaxis"]["title"]["text"] == "decoded, standard deviations"


def test_more_columns_than_colors_are_told_apart():
    found = strokes([str(i) for i in range(12)])
    assert len({(color, dash) for _, color, dash in found}) == 12


def test_latents_without_a_known_kl_are_shown_by_their_variance():
    one = {"latent": 0, "kl": None, "variance": 0.5, "active": True}
    assert per_latent([one])["data"][0]["y"] == [0.5]


def test_a_table_is_shown_as_it_was_given():
    """Dates keep their digits and a 0 is 0, though the model sees standardized float32."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(90, 1))
    x = np.hstack([1.7e9 + 86_400 * rng.integers(0, 99, (90, 1)), (z > 0) * 1.0, 1e-6 * z, rng.normal(size=(90, 1))])
    vae = VAE(latent_dim=1, hidden=(8,), max_epochs=2, patience=None, compile="off").fit(x)
    assert (vae.seen(x) == x).all()
    rows = vae.rows(x)
    summary = of_model(vae, Served(rows, "training", rows))
    assert {row[1] for row in summary["pairs"]["real_values"]} == {0.0, 1.0}
    text = Tags(render(summary)).text
    assert len({row[0] for row in summary["pairs"]["real_values"]}) > 5
    assert "e-17" not in text
    # No label is known, and no column of dashes says so eight times.
    page = render(summary)
    assert '<th scope="col">label</th>' not in page
    for one in summary["worst"]["rows"]:
        one["label"] = "7"
    assert '<th scope="col">label</th>' in render(summary)
    moves = summary["traversals"]
    z = np.array(moves["z"])[0]
    assert np.array(moves["values"])[0] == pytest.approx(vae.inverse_transform(z[:, None]), rel=1e-3)
